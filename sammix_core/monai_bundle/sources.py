"""The files of SAMMix that a bundle needs to run, copied under a name of the bundle's own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_PACKAGE = "sammix_core"
_ROOT = Path(__file__).resolve().parents[1]
_IMPORT = re.compile(rf"^(\s*(?:from|import) ){_PACKAGE}\b", re.MULTILINE)


def copied_sources(entries: Iterable[str], parent: str) -> dict[str, str]:
    """The modules that others import, directly or not, with their imports renamed.

    Args:
        entries: Full names of modules: "sammix_core.monai_bundle.network".
        parent: The package that the copies lie in: with "scripts", `sammix_core` becomes `scripts.sammix_core`.

    Returns:
        The text of each file by its path, relative to the folder of `parent`: "sammix_core/errors.py".
    """
    return {
        path.relative_to(_ROOT.parent).as_posix(): _IMPORT.sub(rf"\g<1>{parent}.{_PACKAGE}", path.read_text("utf-8"))
        for path in sorted(_closure(entries))
    } | {f"{_PACKAGE}/__init__.py": ""}


def _closure(entries: Iterable[str]) -> set[Path]:
    found: set[str] = set()
    open_modules = list(entries)
    while open_modules:
        module = open_modules.pop()
        if module in found or module == _PACKAGE:
            continue
        found.add(module)
        # The packages around a module are imported before it.
        open_modules += [module.rpartition(".")[0], *_imports(_file(module))]
    return {_file(module) for module in found}


def _file(module: str) -> Path:
    path = _ROOT.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(path: Path) -> Iterator[str]:
    for node in _executed(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == _PACKAGE:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if _file(submodule).is_file() else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == _PACKAGE)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _executed(node)
