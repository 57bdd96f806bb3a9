"""Reading JSON that a person may have edited: with sentences instead of tracebacks, and no slip read over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sammix_core.errors import InputError

# The largest that is made here, the boxes of 2,000 slices, has 0.4 MB. What is far larger is another file named by
# mistake, such as the CT, and is not read into memory.
_LARGEST_BYTES = 16 * 1024 * 1024


def read_json(path: str | Path, what: str) -> Any:
    """Reads a JSON file strictly: no key twice in one object, no NaN or infinity.

    Args:
        path: The file, UTF-8 with or without a byte order mark.
        what: What it should be, for the sentences: "box file".

    Returns:
        What `json.loads` makes of it.

    Raises:
        InputError: The file is missing, cannot be read, is too large, no text or no strict JSON; names the file.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputError(f"{path} is far too large to be a {what}.")
        # utf-8-sig: some editors put a byte order mark in front.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text, so it is no {what}.") from None
    except OSError as error:
        raise InputError(f"The {what} {path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is no valid JSON (line {error.lineno}: {error.msg}).") from None
    except (RecursionError, ValueError):
        # Brackets nested a thousand deep, or a number of thousands of digits.
        raise InputError(f"{path} is no {what}.") from None


def check_keys(entry: dict[str, Any], *, required: set[str], allowed: set[str], what: str) -> None:
    """Refuses an object with a key that is not known, or without one that is needed.

    Args:
        entry: The object.
        required: Keys that must be there.
        allowed: Keys that may be there.
        what: How the sentence begins: "The file".

    Raises:
        InputError: A key is unknown or missing.
    """
    if unknown := sorted(entry.keys() - allowed):
        raise InputError(f"{what} has the unknown key {unknown[0]!r}.")
    if missing := sorted(required - entry.keys()):
        raise InputError(f"{what} lacks the key {missing[0]!r}.")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """json.loads would quietly keep the last of two equal keys."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InputError(f"The key {key!r} is there twice in one object.")
        found[key] = value
    return found


def _refuse_constant(name: str) -> float:
    raise InputError(f"{name} is no number that JSON knows.")
