"""The extension as Slicer would build and install it, with stand-ins of Slicer's macros: nothing is left out."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STAND_INS = Path(__file__).parent / "data" / "slicer_cmake"
MODULES = Path("lib/Slicer-5.10/qt-scripted-modules")
# Folder of the repository: where its files lie below MODULES, and its lists of scripts and of resources
PARTS = {
    "SAMMixSlicer": (".", "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"),
    "sammix_core": ("sammix_core", "CORE_PYTHON_SCRIPTS", "CORE_RESOURCES"),
}

# The range of CMake that each Slicer's own CMakeLists.txt names; the fact "cmake-versions" says where it was read.
CMAKE_OF_SLICER = {"5.10": ("3.20.6", "3.22.6"), "5.12": ("3.28.0", "3.28.0"), "main": ("3.28.0", "3.28.0")}

VERIFY_MODELS = """
import json, sys
sys.path.insert(0, sys.argv[1])
import sammix_core
from sammix_core.model_store import list_models, verify
print(json.dumps([sammix_core.__file__, {model.spec: verify(model) for model in list_models()}]))
"""


def _tracked(folder: str) -> set[str]:
    """The files of a folder that git knows, relative to it, without the CMake file itself."""
    listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    names = {line.removeprefix(f"{folder}/") for line in listed.stdout.splitlines()}
    return {name for name in names if Path(name).name != "CMakeLists.txt" and (ROOT / folder / name).exists()}


def _listed(folder: str, variable: str) -> list[str]:
    """The entries of a ``set(variable ...)`` in the folder's CMake file."""
    text = (ROOT / folder / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(rf"set\({variable}\n(.*?)\)", text, re.DOTALL)
    assert found, f"{folder}/CMakeLists.txt sets no {variable}"
    return found[1].split()


def _cmake(*arguments: str) -> subprocess.CompletedProcess:
    import cmake

    program = Path(cmake.CMAKE_BIN_DIR) / "cmake"
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=120)


def _configure(source: Path, build: Path) -> subprocess.CompletedProcess:
    return _cmake(
        *("-S", str(source), "-B", str(build), f"-DSlicer_DIR={STAND_INS}"),
        f"-DCMAKE_TOOLCHAIN_FILE={STAND_INS / 'no_compiler.cmake'}",
    )


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension, configured and built."""
    folder = tmp_path_factory.mktemp("build")
    configured = _configure(ROOT, folder)
    assert configured.returncode == 0, configured.stderr
    built = _cmake("--build", str(folder))
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def installed(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of scripted modules in a staged installation."""
    stage = tmp_path_factory.mktemp("stage")
    done = _cmake("--install", str(build), "--prefix", str(stage))
    assert done.returncode == 0, done.stdout + done.stderr
    return stage / MODULES


@pytest.mark.parametrize("folder", PARTS)
def test_the_lists_name_the_tracked_files_and_no_others(folder):
    _, scripts, resources = PARTS[folder]
    tracked = _tracked(folder)
    python = {name for name in tracked if name.endswith(".py")}
    for variable, expected in ((scripts, python), (resources, tracked - python)):
        entries = _listed(folder, variable)
        missing = "\n  ".join(sorted(expected - set(entries)))
        assert not missing, f"to be added to {variable} in {folder}/CMakeLists.txt:\n  {missing}"
        assert set(entries) - expected == set(), f"{variable} in {folder}/CMakeLists.txt names files that git does not"
        assert entries == sorted(entries), f"{variable} in {folder}/CMakeLists.txt is not in order"


@pytest.mark.parametrize("folder", PARTS)
def test_every_file_is_installed_as_it_is(folder, installed):
    target = installed / PARTS[folder][0]
    for name in _tracked(folder):
        assert (target / name).read_bytes() == (ROOT / folder / name).read_bytes(), name


def test_nothing_else_is_installed(installed):
    expected = {(Path(where) / name).as_posix() for folder, (where, *_) in PARTS.items() for name in _tracked(folder)}
    found = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert found == expected


def test_only_the_module_itself_looks_like_a_module_to_slicer(installed):
    """Slicer takes every Python file beside the module for a module of its own."""
    assert [path.name for path in installed.glob("*.py")] == ["SAMMixSlicer.py"]
    folders = {path.name for path in installed.iterdir() if path.is_dir()}
    assert folders == {"Resources", "SAMMixSlicerLib", "sammix_core"}


def test_the_installed_core_finds_its_models(installed, tmp_path):
    # The staged folder goes first, before a checkout that is installed in editable mode.
    result = subprocess.run(
        [sys.executable, "-I", "-c", VERIFY_MODELS, str(installed)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    file, models = json.loads(result.stdout)
    assert Path(file) == installed / "sammix_core" / "__init__.py"
    assert any(spec.startswith("liver/") for spec in models)
    assert not any(models.values())


def test_the_weights_are_those_of_the_manifest(installed):
    (folder,) = (installed / "sammix_core" / "models" / "liver").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, expected in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected


def test_the_package_is_described_by_literal_values(build):
    lines = dict(line.split(" ", 1) for line in (build / "SAMMix.txt").read_text().splitlines())
    assert lines["depends"] == "PyTorch"
    assert lines["category"] == "Segmentation"
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    values = re.findall(r'set\(EXTENSION_(\w+) "([^"]+)"\)', text)
    assert {name.lower(): value for name, value in values} == lines
    assert not any("${" in value for _, value in values)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


@pytest.mark.parametrize("slicer", CMAKE_OF_SLICER)
def test_every_slicer_that_is_supported_can_configure_it(slicer):
    """CMake refuses a project that asks for a later one, and warns of policies that it was not told to have set."""
    oldest, newest = CMAKE_OF_SLICER[slicer]
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(r"cmake_minimum_required\(VERSION ([\d.]+)\.\.\.([\d.]+) FATAL_ERROR\)", text)
    assert found
    assert _version(found[1]) <= _version(oldest)
    assert _version(found[2]) >= _version(newest)


def test_no_command_is_newer_than_the_oldest_cmake():
    text = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("*/CMakeLists.txt"))
    text += (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    commands = set(re.findall(r"^\s*(\w+)\(", text, re.MULTILINE))
    assert commands <= {
        *("add_subdirectory", "cmake_minimum_required", "find_package", "if", "endif", "include", "install", "project"),
        *("set", "slicerMacroBuildScriptedModule", "slicer_add_python_unittest"),
    }


def test_the_docs_say_which_slicer_is_too_old():
    for page in ("README.md", "docs/tutorial.md"):
        text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
        assert re.search(r"5\.8[^.]*Python 3\.9", text), page


def test_a_missing_file_stops_the_configuration(tmp_path):
    source = tmp_path / "source"
    (source / "Broken").mkdir(parents=True)
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    text = re.sub(r"add_subdirectory\(\w+\)\n", "", text).replace(
        "include(${Slicer_USE_FILE})", "include(${Slicer_USE_FILE})\nadd_subdirectory(Broken)"
    )
    (source / "CMakeLists.txt").write_text(text)
    broken = "slicerMacroBuildScriptedModule(NAME Broken SCRIPTS Broken.py RESOURCES WITH_GENERIC_TESTS)\n"
    (source / "Broken" / "CMakeLists.txt").write_text(broken)
    configured = _configure(source, tmp_path / "build")
    assert configured.returncode != 0
    assert "Broken.py, which does not exist" in " ".join(configured.stderr.split())
