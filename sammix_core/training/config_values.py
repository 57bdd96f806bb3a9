"""What configurations of every training method share: how the file is read and how its values are checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

import yaml

from sammix_core.errors import InputError

PRECISIONS = ("32-true", "bf16-mixed")
_LEAST = {"batch": 1, "size": 1, "window_level": -1000}  # all other numbers begin at 0


class NamedCase(Protocol):
    """A case of a configuration, whatever its method."""

    @property
    def name(self) -> str:
        """Name of the patient."""

    @property
    def ct(self) -> Path:
        """The CT, a file or a DICOM folder."""

    @property
    def labels(self) -> Path | None:
        """A label file, a labelmap, or None."""


def read_entry(path: Path) -> dict[Any, Any]:
    """Reads a configuration's keys and values, whatever its method.

    Raises:
        InputError: The file is missing, not YAML, or something else than keys and values.
    """
    try:
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The training configuration {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML, so it is no training configuration.") from error
    if not isinstance(entry, dict):
        raise InputError(f"The training configuration {path} must be keys and values.")
    return entry


def check_config_keys(path: Path, entry: Mapping[Any, Any], required: set[str], optional: set[str]) -> None:
    """Refuses a configuration whose keys are not those of its method.

    Raises:
        InputError: Keys are missing or unknown; names them.
    """
    wrong = sorted(map(str, (required - entry.keys()) | (entry.keys() - required - optional)))
    if wrong:
        raise InputError(f"The training configuration {path} has missing or unknown keys: {', '.join(wrong)}.")


def check_cases(cases: Sequence[NamedCase], made_by_name: str | None = None) -> None:
    """Refuses cases that cannot be trained on.

    Args:
        cases: The cases.
        made_by_name: What is made by the cases' names ("folds are"), if anything; then each needs a name of its own.

    Raises:
        InputError: There are none, two have the same name, or a file of one is not there.
    """
    if not cases:
        raise InputError("The training configuration has no cases, so there is nothing to learn from.")
    if made_by_name is not None and len({case.name for case in cases}) < len(cases):
        raise InputError(f"Two training cases have the same name; {made_by_name} made by it, so each needs its own.")
    for case in cases:
        for file in (case.ct, case.labels):
            if file is not None and not file.exists():
                raise InputError(f"The training case {case.name} needs {file}, which is not there.")


def section(kind: Any, entry: dict[str, Any]) -> Any:
    """Builds one section's dataclass, refusing keys that it does not have and values of another kind."""
    known = {field.name: field.default for field in fields(kind)}
    unknown = sorted(map(str, entry.keys() - known.keys()))
    if unknown:
        raise InputError(f"The training configuration does not know the key {unknown[0]!r}.")
    for key, value in entry.items():
        check_kind(key, value, type(known[key]))
    return kind(**entry)


def check_kind(key: str, value: Any, kind: type) -> None:
    """Refuses a value of another kind than its key has; a whole number is a number too."""
    fine = type(value) is kind or (kind is float and type(value) is int)
    least = _LEAST.get(key, 0)
    if not fine or (kind in (int, float) and not least <= value < math.inf):
        names: dict[type, str] = {str: "a text", bool: "true or false", list: "a list", dict: "keys and values"}
        name = names.get(kind, f"a {'whole ' if kind is int else ''}number from {least}")
        raise InputError(f"The training configuration's {key} must be {name}, not {value!r}.")


def check_precision(name: str) -> str:
    """Refuses a precision that training does not have."""
    if name not in PRECISIONS:
        raise InputError(f"There is no precision {name!r} for training; choose one of {', '.join(PRECISIONS)}.")
    return name


def model_card(folder: Path, spec: str) -> str:
    """The model card that lies beside a configuration, or one that says that nobody wrote any.

    Args:
        folder: Where the configuration lies.
        spec: The model, as "liver/1.0.0".
    """
    card = folder / "MODEL_CARD.md"
    return card.read_text(encoding="utf-8") if card.is_file() else f"# {spec}\n\nNo card was written.\n"
