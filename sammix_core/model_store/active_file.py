"""The user's choice of versions on disk: which model a name means where it is not the newest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sammix_core.documents import read_json
from sammix_core.errors import InputError
from sammix_core.files import write_text_atomic
from sammix_core.model_store.manifest import is_name, is_version

SCHEMA = "sammix-active/1"
ACTIVE_FILE = "active.json"


def is_spec(text: str) -> bool:
    """Whether a text is a model's full name, "my-liver/1.0.0"."""
    name, _, version = text.partition("/")
    return is_name(name) and is_version(version)


def read_active(folder: Path) -> dict[str, str]:
    """Full name by name; empty without a choice.

    A file that cannot be read counts as no choice: the shipped models must work whatever lies there.

    Args:
        folder: The folder of the user's models.
    """
    try:
        document = read_json(folder / ACTIVE_FILE, "list of active models")
    except InputError:
        return {}
    chosen = document.get("active") if isinstance(document, dict) and document.get("schema") == SCHEMA else None
    if not isinstance(chosen, dict):
        return {}
    return {name: spec for name, spec in chosen.items() if is_name(name) and isinstance(spec, str) and is_spec(spec)}


def write_active(folder: Path, chosen: Mapping[str, str]) -> None:
    """Writes the choice, whole or not at all.

    Raises:
        InputError: It cannot be written; the choice is as it was.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {(error.strerror or str(error)).lower()}.") from error
    document = {"schema": SCHEMA, "active": dict(chosen)}
    write_text_atomic(folder / ACTIVE_FILE, json.dumps(document, indent=1, sort_keys=True) + "\n")
