"""Finds code in the module and the core that would fail only on Windows or macOS.

The systems themselves are points for a person in docs/slicer-checklist.md.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [path for folder in ("SAMMixSlicer", "sammix_core") for path in sorted((ROOT / folder).rglob("*.py"))]
# os.rename and Path.rename refuse on Windows where os.replace replaces; links need rights there; macOS forks badly.
BANNED = {"os.fork", "os.rename", "os.symlink", "os.link", ".symlink_to", ".hardlink_to", ".rename"}
# Not there on Windows: only behind a look at the system.
POSIX = {"os.killpg", "os.posix_fallocate", "fcntl.flock", "signal.SIGKILL", "os.getuid"}
GUARDS = ("os.name", "sys.platform", "hasattr(os,", "ImportError", "self._file is not None", "platform.system")


def _names(node: ast.AST) -> set[str]:
    """How an attribute can be called in the lists above."""
    return {ast.unparse(node), f".{node.attr}"} if isinstance(node, ast.Attribute) else set()


def _banned(source: str) -> list[str]:
    return [ast.unparse(node) for node in ast.walk(ast.parse(source)) if _names(node) & BANNED]


def _unguarded(source: str) -> list[str]:
    """What only POSIX has, outside of any branch that looks at the system."""
    found: list[str] = []

    def look(node: ast.AST, is_guarded: bool) -> None:
        if isinstance(node, ast.If | ast.IfExp):
            is_guarded |= any(guard in ast.unparse(node.test) for guard in GUARDS)
        if isinstance(node, ast.Try):
            is_guarded |= any(
                guard in ast.unparse(handler.type or node) for handler in node.handlers for guard in GUARDS
            )
        if _names(node) & POSIX and not is_guarded:
            found.append(ast.unparse(node))
        for child in ast.iter_child_nodes(node):
            look(child, is_guarded)

    look(ast.parse(source), False)
    return found


def test_the_code_calls_nothing_that_windows_or_macos_lack():
    assert len(SOURCES) > 100
    sources = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in SOURCES}
    assert {name: calls for name, source in sources.items() if (calls := _banned(source) + _unguarded(source))} == {}


@pytest.mark.parametrize("line", ["os.rename(a, b)", "path.symlink_to(other)", "context = os.fork()"])
def test_a_banned_call_is_found(line):
    assert _banned(line)


def test_a_posix_only_call_is_found_unless_the_platform_was_checked():
    assert _unguarded("os.killpg(1, 9)") == ["os.killpg"]
    assert _unguarded("if os.name == 'posix':\n    os.killpg(1, 9)") == []


def test_a_mac_with_mps_computes_on_its_cpu(monkeypatch):
    import torch

    from sammix_core.engines.device import choose_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "cpu"
