"""The arrows of imports in `sammix_core`: a room imports from the rooms below it alone, and nothing runs in a circle.

All imports count, those inside functions and those for type checkers too. CONTRIBUTING.md has the picture of this.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# From the top of the house to the ground: a room imports from rooms that come after it.
ROOMS = [
    "cli",
    "batch",
    "pacs",
    "finetuning",
    "training",
    "datasets",
    "evaluation",
    "lesions",
    "monai_bundle",
    "segmentation",
    "refinement",
    "guidance",
    "sam",
    "embeddings",
    "engines",
    "preprocessing",
    "volume_io",
    "model_store",
    "masks",
    "boxes",
    "volume",
]
# The files at the root, which every room may import, and `models`, which holds no code
ROOT_FILES = {"__init__", "documents", "errors", "files", "progress", "version"}

Edge = tuple[str, str]  # the module that imports, the module that is imported


def modules_under(root: Path) -> dict[str, Path]:
    """Every module of the package `root / "sammix_core"` by its full name."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((root / "sammix_core").rglob("*.py"))
    }


def imports(source: str, modules: Iterable[str]) -> set[str]:
    """The modules of `sammix_core` that a source imports, at its head, in a function or for a type checker."""
    known, imported = set(modules), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: a relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                imported.add(submodule if submodule in known else str(node.module))
    return {name for name in imported if name.split(".")[0] == "sammix_core"}


def edges_under(root: Path) -> set[Edge]:
    modules = modules_under(root)
    return {
        (name, imported)
        for name, path in modules.items()
        for imported in imports(path.read_text(encoding="utf-8"), modules)
    }


def room(module: str) -> str:
    """The folder right under `sammix_core`; of a file at the root, its own name."""
    return [*module.split("."), "__init__"][1]


def arrows_back(edges: Iterable[Edge]) -> list[Edge]:
    """The imports from a room above, or from any room into a file at the root."""
    rank = {name: number for number, name in enumerate(ROOMS)} | dict.fromkeys(ROOT_FILES, len(ROOMS))
    return [edge for edge in sorted(edges) if rank[room(edge[0])] > rank[room(edge[1])]]


def circle(edges: Iterable[Edge]) -> list[str]:
    """Modules that import each other in a circle; empty where there is none."""
    graph: dict[str, set[str]] = {}
    for importing, imported in edges:
        graph.setdefault(importing, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def through_own_init(edges: Iterable[Edge], packages: Iterable[str]) -> list[Edge]:
    """The imports of names from `sammix_core` itself, or from the `__init__` of a package around the file."""
    own = set(packages)
    return [
        (importing, imported)
        for importing, imported in sorted(edges)
        if imported == "sammix_core" or (imported in own and importing.startswith(f"{imported}."))
    ]


@pytest.fixture(scope="module")
def edges() -> set[Edge]:
    edges = edges_under(ROOT)
    assert len(edges) > 500
    # The package offers its public names from wherever they are made.
    return {edge for edge in edges if edge[0] != "sammix_core"}


def test_the_root_holds_the_few_files_that_every_room_needs() -> None:
    package = ROOT / "sammix_core"
    assert {path.stem for path in package.glob("*.py")} == ROOT_FILES
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert rooms <= set(ROOMS), "a new room needs its place in the order above"


def test_no_arrow_runs_back(edges: set[Edge]) -> None:
    assert arrows_back(edges) == []


def test_nothing_runs_in_a_circle(edges: set[Edge]) -> None:
    assert circle(edges) == []


def test_no_file_imports_through_its_own_package(edges: set[Edge]) -> None:
    packages = [name for name, path in modules_under(ROOT).items() if path.name == "__init__.py"]
    assert through_own_init(edges, packages) == []


def test_what_breaks_a_rule_is_found(tmp_path: Path) -> None:
    files = {
        "__init__.py": "",
        "files.py": "def write():\n    from sammix_core.volume.volume import Volume\n",
        "volume/__init__.py": "from sammix_core.volume.volume import Volume\n",
        "volume/volume.py": "if TYPE_CHECKING:\n    from sammix_core.boxes import box\n",
        "boxes/__init__.py": "",
        "boxes/box.py": "import numpy\nfrom sammix_core.volume import Volume\n",
        "boxes/track.py": "from sammix_core import Box, boxes\n",
    }
    for name, source in files.items():
        path = tmp_path / "sammix_core" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    edges = edges_under(tmp_path)
    assert arrows_back(edges) == [
        ("sammix_core.files", "sammix_core.volume.volume"),
        ("sammix_core.volume.volume", "sammix_core.boxes.box"),
    ]
    assert set(circle(edges)) == {f"sammix_core.{name}" for name in ("volume", "volume.volume", "boxes.box")}
    packages = [name for name, path in modules_under(tmp_path).items() if path.name == "__init__.py"]
    assert through_own_init(edges, packages) == [
        ("sammix_core.boxes.track", "sammix_core"),
        ("sammix_core.boxes.track", "sammix_core.boxes"),
    ]
