"""`sammix-boxes/1` as text and as plain JSON values; what the values mean together, `BoxTrack` checks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

from sammix_core.boxes.box import Box
from sammix_core.errors import InputError

SCHEMA = "sammix-boxes/1"

_TRACK_KEYS = {"schema", "slice_axis", "shape", "boxes", "deleted"}
# 2,000 slices need about 0.4 MB. What is far larger is another file named by mistake, and is not read into memory.
_LARGEST_FILE_BYTES = 16 * 1024 * 1024


class Content(NamedTuple):
    """What a box file holds, each value of the right kind but not yet checked against the others."""

    shape: Any
    slice_axis: Any
    boxes: list[Box]
    deleted: list[Any]


def to_document(
    shape: tuple[int, int, int], slice_axis: str, boxes: Iterable[Box], deleted: Iterable[int]
) -> dict[str, Any]:
    """The values of a box file, as `json.dumps` takes them; numbers that are not known are left out."""
    entries = []
    for box in boxes:
        entry = {name: value for name, value in asdict(box).items() if value is not None}
        entries.append({**entry, "source": box.source.value})
    return {
        "schema": SCHEMA,
        "slice_axis": slice_axis,
        "shape": list(shape),
        "boxes": entries,
        "deleted": sorted(deleted),
    }


def from_document(document: Any) -> Content:
    """Takes the values of a box file apart.

    Args:
        document: What `json.loads` returned.

    Returns:
        What is in it.

    Raises:
        InputError: Schema or keys are unknown or missing, or a value is of the wrong kind.
    """
    if not isinstance(document, dict) or "schema" not in document:
        raise InputError(f'This is no box file: it must be a JSON object with "schema": "{SCHEMA}".')
    if document["schema"] != SCHEMA:
        raise InputError(f"The schema {document['schema']!r} is unknown; this version reads {SCHEMA!r} only.")
    _check_keys(document, required=_TRACK_KEYS - {"deleted"}, allowed=_TRACK_KEYS, what="The file")
    for name in ("shape", "boxes", "deleted"):
        if not isinstance(document.get(name, []), list):
            raise InputError(f'"{name}" must be a list.')
    boxes = [_box_from_json(entry) for entry in document["boxes"]]
    return Content(tuple(document["shape"]), document["slice_axis"], boxes, document.get("deleted", []))


def to_text(document: dict[str, Any]) -> str:
    """The text of a box file, with one box a line, so that people can read it and diffs are small."""
    rows = [f'  "{name}": {json.dumps(document[name])}' for name in ("schema", "slice_axis", "shape")]
    boxes = ",\n".join("    " + json.dumps(box) for box in document["boxes"])
    rows.append(f'  "boxes": [\n{boxes}\n  ]' if boxes else '  "boxes": []')
    rows.append(f'  "deleted": {json.dumps(document["deleted"])}')
    return "{\n" + ",\n".join(rows) + "\n}\n"


def read_document(path: Path) -> Any:
    """Reads the JSON of a box file.

    Args:
        path: The file.

    Returns:
        Its values.

    Raises:
        InputError: The file is missing, too large, no text or no JSON, or names a key twice; the sentence names it.
    """
    text = _read_text(path)
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is no valid JSON (line {error.lineno}: {error.msg}).") from None
    except (RecursionError, ValueError):
        # Brackets nested a thousand deep, or a number of thousands of digits.
        raise InputError(f"{path} is no box file.") from None


def _box_from_json(entry: Any) -> Box:
    if not isinstance(entry, dict):
        raise InputError("Each box must be a JSON object.")
    names = {field.name for field in fields(Box)}
    where = f"The box on slice {entry['slice_index']!r}" if "slice_index" in entry else "A box"
    _check_keys(entry, required=names - {"score", "probability"}, allowed=names, what=where)
    return Box(**entry)


def _check_keys(entry: dict[str, Any], *, required: set[str], allowed: set[str], what: str) -> None:
    if unknown := sorted(entry.keys() - allowed):
        raise InputError(f"{what} has the unknown key {unknown[0]!r}.")
    if missing := sorted(required - entry.keys()):
        raise InputError(f"{what} lacks the key {missing[0]!r}.")


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise InputError(f"{path} is far too large to be a box file.")
        # utf-8-sig: some editors put a byte order mark in front.
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text, so it is no box file.") from None
    except OSError as error:
        raise InputError(f"The box file {path} cannot be read: {(error.strerror or str(error)).lower()}.") from error


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
