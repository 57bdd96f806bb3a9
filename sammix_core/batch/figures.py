"""The figures of a segmented study: what the table shows, and what decides which studies a person sees first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sammix_core.errors import WARNING
from sammix_core.evaluation.report import merged_notes, slices_with_mask
from sammix_core.segmentation.review import most_uncertain

if TYPE_CHECKING:
    from sammix_core.segmentation.result import SegmentationResult
    from sammix_core.volume.volume import Volume


@dataclass(frozen=True)
class Figures:
    """The figures of one result.

    Attributes:
        target: What was segmented, "liver".
        volume_ml: Volume of the mask; None where the spacing is unknown.
        slices: Axial slices of the volume.
        slices_with_mask: Slices with at least one voxel of the mask.
        slices_to_review: Slices that a person should review, see `sammix_core.segmentation.review`.
        worst_slice: The most uncertain one, along the user's slice axis; None where nothing needs review.
        worst_uncertainty: Its uncertainty, 0 to 1.
        worst_reasons: Its reasons, strongest first.
        warnings: What a person must read before the mask is used, without the word "Warning:".
        notes: Further sentences.
        model: "liver/2.0.0".
        device: "cpu" or "cuda".
        seconds: From reading to the encoded files.
    """

    target: str
    volume_ml: float | None
    slices: int
    slices_with_mask: int
    slices_to_review: int
    worst_slice: int | None
    worst_uncertainty: float
    worst_reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    model: str
    device: str
    seconds: float

    @classmethod
    def of(cls, result: SegmentationResult, volume: Volume, seconds: float) -> Figures:
        """Takes the figures of a result.

        Args:
            result: The segmenter's result.
            volume: The volume that was segmented.
            seconds: How long it took.
        """
        doubtful = most_uncertain(result.reviews)
        volume_ml = volume.mask_volume_ml(result.mask)
        notes = merged_notes(result.notes, volume.notes)
        return cls(
            target=result.target,
            volume_ml=None if volume_ml is None else round(volume_ml, 1),
            slices=len(result.slices),
            slices_with_mask=slices_with_mask(result),
            slices_to_review=len(doubtful),
            worst_slice=doubtful[0].slice_index if doubtful else None,
            worst_uncertainty=round(doubtful[0].uncertainty, 3) if doubtful else 0.0,
            worst_reasons=doubtful[0].reasons if doubtful else (),
            warnings=tuple(_sentence(note) for note in notes if note.startswith(WARNING)),
            notes=tuple(note for note in notes if not note.startswith(WARNING)),
            model=result.model,
            device=result.device,
            seconds=round(seconds, 2),
        )

    @property
    def review_share(self) -> float:
        """Slices to review as a share of those with a mask, 0 to 1."""
        return min(self.slices_to_review / max(self.slices_with_mask, 1), 1.0)


def _sentence(warning: str) -> str:
    """A warning without the word, with a capital."""
    text = warning.removeprefix(WARNING).strip()
    return text[:1].upper() + text[1:]
