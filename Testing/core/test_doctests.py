"""The examples in the docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
from fake_network import a_fake_model

PACKAGE = Path(__file__).parents[2] / "sammix_core"
MODULES = sorted(
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)


def test_there_are_examples() -> None:
    assert {"sammix_core.boxes.track", "sammix_core.files", "sammix_core.volume.axial_order"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), extraglobs={"model": a_fake_model()})
    assert results.attempted > 0
    assert results.failed == 0
