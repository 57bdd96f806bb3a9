"""The wheel carries everything: built, installed elsewhere, it finds its model and segments with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.model_store import resolve

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sammix_core"
LARGEST_WEIGHTS_BYTES = 20_000_000
LARGEST_MODELS_BYTES = 35_000_000

REPORT_MODELS = """
import json, sammix_core
from sammix_core.model_store import find_faults, list_models, resolve, verify
print(json.dumps({
    "package": sammix_core.__file__,
    "models": {model.spec: [str(model.path), model.shipped, verify(model)] for model in list_models()},
    "faults": find_faults(),
    "liver": resolve("liver").spec,
}))
"""

Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that an old build folder cannot add to it and none is left behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(PACKAGE, source / "sammix_core", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE.txt"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """A folder where the wheel is installed, far from the checkout."""
    target = wheel.parent / "site"
    pip("install", "--no-deps", "--target", str(target), str(wheel))
    return target


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Run:
    """Runs this Python elsewhere, with the installed wheel in front of the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(site), "SAMMIX_HOME": str(tmp_path / "home")}

    def run(*arguments: str) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--no-index", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def relative_files(folder: Path) -> set[str]:
    return {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_every_module_and_every_model_file_is_in_it(site: Path) -> None:
    wanted = {file for file in relative_files(PACKAGE) if file.endswith((".py", "py.typed")) or "models/" in file}
    assert wanted - relative_files(site / "sammix_core") == set()


def test_it_brings_nothing_that_another_package_could_bring_too(site: Path) -> None:
    names = {entry.name for entry in site.iterdir() if not entry.name.endswith(".dist-info")}
    assert names <= {"sammix_core", "bin", "Scripts"}


def test_the_command_is_installed(site: Path) -> None:
    (entry_points,) = site.glob("sammix-*.dist-info/entry_points.txt")
    assert "sammix = sammix_core.cli.app:main" in entry_points.read_text()


def test_the_models_are_not_too_large(site: Path) -> None:
    sizes = {file: file.stat().st_size for file in (site / "sammix_core" / "models").rglob("*") if file.is_file()}
    weights = [size for file, size in sizes.items() if file.name == "weights.safetensors"]
    assert weights
    assert max(weights) <= LARGEST_WEIGHTS_BYTES
    assert sum(sizes.values()) <= LARGEST_MODELS_BYTES


def test_the_installed_package_finds_its_own_models_and_they_are_sound(site: Path, run: Run) -> None:
    report = json.loads(run("-c", REPORT_MODELS).stdout)
    assert Path(report["package"]).is_relative_to(site.resolve())
    assert report["faults"] == []
    assert report["liver"] in report["models"]
    for path, shipped, faults in report["models"].values():
        assert Path(path).is_relative_to(site.resolve())
        assert shipped
        assert faults == []


def test_the_installed_package_segments(run: Run, tmp_path: Path) -> None:
    """A body with one bright organ, and a box round that: what comes out is the organ, on the grid of the input."""
    j, i = np.mgrid[:96, :112]
    body = ((i - 56) / 52) ** 2 + ((j - 48) / 42) ** 2 < 1
    organ = ((i - 38) / 24) ** 2 + ((j - 44) / 26) ** 2 < 1
    generator = np.random.default_rng(7)
    slices = np.stack([np.where(body, np.where(organ, 130, 20), -1000)] * 3)  # (k, j, i), HU
    volume = (slices + generator.normal(0, 8, slices.shape)).astype(np.int16)
    # nibabel is (i, j, k) and RAS: this is LPS, as a DICOM series would be.
    affine = np.diag([-3.0, -3.0, 5.0, 1.0])
    nibabel.Nifti1Image(volume.transpose(2, 1, 0), affine).to_filename(tmp_path / "ct.nii.gz")
    box = (13, 17, 63, 71)
    BoxTrack((112, 96, 3), "k", [Box(k, *box, source=BoxSource.EDITED) for k in range(3)]).write(tmp_path / "in.json")

    command = "import sys; from sammix_core.cli.app import main; sys.exit(main())"
    files = ["-o", "liver.nii.gz", "--boxes-in", "in.json", "--report", "report.json"]
    run("-c", command, "segment", "ct.nii.gz", *files, "--device", "cpu", "--quiet")

    liver = nibabel.load(tmp_path / "liver.nii.gz")
    np.testing.assert_allclose(liver.affine, affine)
    mask = np.asarray(liver.dataobj).transpose(2, 1, 0) > 0
    assert mask.shape == volume.shape
    overlap = 2 * (mask & organ).sum() / (mask.sum() + 3 * organ.sum())
    assert overlap > 0.9
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["model"] == resolve("liver").spec
