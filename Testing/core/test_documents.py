"""Settings as plain JSON values, and back with names and types checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sammix_core.documents import settings_from_dict, settings_to_dict
from sammix_core.errors import InputError


@dataclass(frozen=True)
class Every:
    name: str
    steps: int = 3
    rate: float = 0.5
    fast: bool = False
    blocks: tuple[int, ...] = (2,)
    padding: tuple[float, float] = (0.0, 1.0)
    threshold: float | str = "otsu"
    folder: Path | None = None


def test_settings_come_back_as_they_were() -> None:
    settings = Every("a", 4, 1.0, True, (1, 2), (0.5, 2.0), 0.3, Path("x/y"))
    entry = settings_to_dict(settings)
    assert entry["blocks"] == [1, 2]
    assert entry["folder"] == str(Path("x/y"))
    assert settings_from_dict(Every, entry, "The run") == settings
    assert settings_from_dict(Every, {"name": "a", "rate": 2}, "The run") == Every("a", rate=2.0)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ([], "The run must be an object of settings"),
        ({}, "The run lacks the key 'name'"),
        ({"name": "a", "colour": 1}, "The run has the unknown key 'colour'"),
        ({"name": 1}, "The run: name must be a text, not 1"),
        ({"name": "a", "steps": True}, "steps must be a whole number, not True"),
        ({"name": "a", "steps": 2.0}, "steps must be a whole number, not 2.0"),
        ({"name": "a", "rate": "fast"}, "rate must be a number, not 'fast'"),
        ({"name": "a", "fast": 1}, "fast must be true or false"),
        ({"name": "a", "blocks": 2}, "blocks must be a list of whole numbers, not 2"),
        ({"name": "a", "blocks": [2, "3"]}, "blocks must be a list of whole numbers"),
        ({"name": "a", "padding": [1.0]}, "padding must be a list of 2 numbers"),
        ({"name": "a", "threshold": None}, "threshold must be a number or a text, not None"),
        ({"name": "a", "folder": 3}, "folder must be a path or null"),
    ],
)
def test_a_wrong_name_or_type_is_one_sentence(entry: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        settings_from_dict(Every, entry, "The run")
