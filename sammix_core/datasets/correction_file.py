"""One entry of a correction set as JSON: everything but the pixels of the slice, which lie in a file beside it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sammix_core.datasets.correction import Correction, Source
from sammix_core.datasets.labels import decode_runs, encode_runs
from sammix_core.documents import check_keys, read_json
from sammix_core.errors import InputError
from sammix_core.volume.axial_order import SliceBox

SCHEMA = "sammix-corrections/1"
_CASE = re.compile(r"case-[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEYS = {
    *("schema", "id", "number", "case", "slice", "slices", "shape", "spacing_mm", "spacing_known", "crop", "body"),
    *("box", "runs", "source", "model", "model_sha256", "held_back", "hu_sha256"),
}


@dataclass(frozen=True)
class Entry:
    """An entry as lists show it.

    Attributes:
        id: "case-3f9a02bd51c7-0012".
        case: The case's key.
        slice_index: Canonical index of the slice.
        source: Who made or approved the mask.
        area_px: Pixels of the mask; 0 where the structure is not there.
        held_back: Whether it is kept from learning and only checked.
        model: The model that was used, or None.
        number: Counts up in the order in which entries were added.
        box: Half-open (col_min, row_min, col_max, row_max) in canonical slice pixels, or None.
    """

    id: str
    case: str
    slice_index: int
    source: Source
    area_px: int
    held_back: bool
    model: str | None
    number: int
    box: SliceBox | None


def entry_id(case: str, slice_index: int) -> str:
    """The id of a case's slice: adding it again replaces it."""
    return f"{case}-{slice_index:04d}"


def check_case(case: str) -> str:
    """Refuses a case's name that is not an anonymous key, so that no patient's name gets onto the disk.

    Raises:
        InputError: It is none.
    """
    if _CASE.fullmatch(case) is None:
        raise InputError(
            "A case of a correction set is named by its key alone (CorrectionSet.case_key), as case-0123…."
        )
    return case


def to_text(correction: Correction, case: str, number: int, held_back: bool) -> str:
    """An entry as JSON text."""
    document = {
        "schema": SCHEMA,
        "id": entry_id(case, correction.slice_index),
        "number": number,
        "case": case,
        "slice": correction.slice_index,
        "slices": correction.slices,
        "shape": list(correction.hu.shape),
        "spacing_mm": list(correction.spacing_mm),
        "spacing_known": correction.spacing_known,
        "crop": list(correction.crop),
        "body": list(correction.body),
        "box": None if correction.box is None else list(correction.box),
        "runs": encode_runs(correction.mask),
        "source": correction.source.value,
        "model": correction.model,
        "model_sha256": correction.model_sha256,
        "held_back": held_back,
        "hu_sha256": correction.hu_sha256,
    }
    return json.dumps(document, separators=(", ", ": "), allow_nan=False) + "\n"


def read_entry(path: Path) -> tuple[Entry, dict[str, Any]]:
    """Reads an entry.

    Returns:
        The entry, and its document for `correction_from`.

    Raises:
        InputError: It is damaged, or of another version.
    """
    document = read_json(path, "correction")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"{path.name} is no correction of the kind {SCHEMA}.")
    check_keys(document, required=_KEYS, allowed=_KEYS, what=f"The correction {path.name}")
    try:
        return _entry(document, path), document
    except (TypeError, ValueError, KeyError, InputError) as error:
        raise InputError(f"The correction {path.name} is damaged; remove it and correct the slice again.") from error


def correction_from(document: dict[str, Any], hu: np.ndarray) -> Correction:
    """An entry and its pixels as a `Correction`; the document is one that `read_entry` gave."""
    rows, cols = document["shape"]
    slice_mm, row_mm, col_mm = (float(step) for step in document["spacing_mm"])
    return Correction(
        slice_index=document["slice"],
        slices=document["slices"],
        hu=hu,
        mask=decode_runs(document["runs"], (rows, cols)),
        spacing_mm=(slice_mm, row_mm, col_mm),
        spacing_known=document["spacing_known"],
        crop=_four(document["crop"]),
        body=_four(document["body"]),
        box=None if document["box"] is None else _four(document["box"]),
        source=Source(document["source"]),
        model=document["model"],
        model_sha256=document["model_sha256"],
    )


def _entry(document: dict[str, Any], path: Path) -> Entry:
    case, index = check_case(document["case"]), document["slice"]
    if type(index) is not int or not 0 <= index < document["slices"] or type(document["number"]) is not int:
        raise ValueError("slice")
    if document["id"] != entry_id(case, index) or path.stem != document["id"]:
        raise ValueError("id")
    if type(document["held_back"]) is not bool or type(document["spacing_known"]) is not bool:
        raise ValueError("flag")
    if _SHA256.fullmatch(document["hu_sha256"]) is None or not all(mm > 0 for mm in document["spacing_mm"]):
        raise ValueError("values")
    for name in ("model", "model_sha256"):
        if document[name] is not None and not isinstance(document[name], str):
            raise ValueError(name)
    rows, cols = document["shape"]
    area = int(np.count_nonzero(decode_runs(document["runs"], (rows, cols))))
    _four(document["crop"])
    _four(document["body"])
    box = None if document["box"] is None else _four(document["box"])
    source, held_back = Source(document["source"]), document["held_back"]
    return Entry(document["id"], case, index, source, area, held_back, document["model"], document["number"], box)


def _four(edges: Any) -> tuple[int, int, int, int]:
    first, second, third, fourth = edges
    if any(type(edge) is not int for edge in (first, second, third, fourth)) or first >= third or second >= fourth:
        raise ValueError("edges")
    return first, second, third, fourth
