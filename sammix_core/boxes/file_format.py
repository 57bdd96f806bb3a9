"""`sammix-boxes/1` as text and as plain JSON values; what the values mean together, `BoxTrack` checks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from sammix_core.boxes.box import Box
from sammix_core.documents import check_keys
from sammix_core.errors import InputError

SCHEMA = "sammix-boxes/1"

_TRACK_KEYS = {"schema", "slice_axis", "shape", "boxes", "deleted"}


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
    check_keys(document, required=_TRACK_KEYS - {"deleted"}, allowed=_TRACK_KEYS, what="The file")
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


def _box_from_json(entry: Any) -> Box:
    if not isinstance(entry, dict):
        raise InputError("Each box must be a JSON object.")
    names = {field.name for field in fields(Box)}
    where = f"The box on slice {entry['slice_index']!r}" if "slice_index" in entry else "A box"
    check_keys(entry, required=names - {"score", "probability"}, allowed=names, what=where)
    return Box(**entry)
