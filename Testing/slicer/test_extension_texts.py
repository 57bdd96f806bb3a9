"""User-visible texts go through Slicer's translation, where its tools, which read the code, find them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[2] / "SAMMixSlicer"
# The computing process knows no Slicer: its sentences, like those of the core, are English.
SOURCES = [path for path in sorted(MODULE.rglob("*.py")) if "worker" not in path.parts]
# Calls whose texts people read.
SHOWN = {"InputError", "begin", "newLineChart", "push", "say", "setText", "setTitle", "setToolTip"}


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _untranslatable(source: str) -> list[str]:
    """The calls in a source that show a text as it stands, or translate one that only exists at run time."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        for argument in node.args:
            is_text = isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value.strip()
            if _name(node.func) in SHOWN and (is_text or isinstance(argument, ast.JoinedStr)):
                found.append(ast.unparse(node))
            if _name(node.func) == "_" and isinstance(argument, ast.JoinedStr):
                found.append(ast.unparse(node))
    return found


def test_what_people_read_can_be_translated():
    assert len(SOURCES) > 50
    sources = {str(path.relative_to(MODULE)): path.read_text(encoding="utf-8") for path in SOURCES}
    assert {name: calls for name, source in sources.items() if (calls := _untranslatable(source))} == {}


@pytest.mark.parametrize("line", ["label.setText('Done')", "say(f'{n} slices')", "say(_(f'{n} slices'))"])
def test_a_text_that_cannot_be_translated_is_found(line):
    assert _untranslatable(line)


def test_a_text_that_can_be_translated_is_fine():
    assert _untranslatable("say(_('{n} slices').format(n=n)); label.setText(''); label.setText(text)") == []
