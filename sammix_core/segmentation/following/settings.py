"""How boxes are refitted and the organ is followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sammix_core.documents import settings_from_dict, settings_to_dict


@dataclass(frozen=True)
class FollowSettings:
    """How boxes are refitted and the organ is followed; kept in a model's manifest under guidance, "following".

    Attributes:
        grow: Share of its size by which a box grows on each side before it is refitted; at 0 nothing of all this is
            done.
        follow_mm: How far past the ends the organ is followed, and how far weak ends are decoded again; 0 disables
            both.
        least_score: Predicted IoU that a followed or filled slice needs.
        sure_score: Predicted IoU that a slice needs after shedding; slices at an end with less are decoded again.
        most_hu: Followed slices differ by at most this from those near the end that they start from.
        least_overlap: IoU of a followed mask with its neighbour's, at slices of up to 5 mm.
        least_area: Pixels, of a 256 x 256 image, that a followed mask, or a part shed or filled, needs.
        break_mm: Length of a stretch of doubtful slices that ends the organ; 0 drops nothing.
        doubt_hu: A slice is doubtful when its HU differ by more than this from the organ's.
        sure_probability: The map's median inside the mask from which a slice is never doubtful.
        mend: Whether slices are compared with their neighbours: parts shed and filled.
        part_share: Share of its own mask that a part shed or filled needs.
        shed_hu: A part is shed when its HU differ by more than this from the rest of the slice's mask.
        shed_rise: By how much the predicted IoU must rise without the part.
        bright_hu: A part brighter than the rest by more than this goes without a rise: no liver is.
        donor_score: Predicted IoU of the neighbour that says what to shed or to fill.
        fill_hu: A part is filled when its HU differ by less than this from the slice's mask.
        parts: Whether slices get boxes for parts of the organ that their neighbours show and they lack.
        missing_hu: A missing part differs from the neighbour's mask in the same place by at most this, or by
            `missing_sd` standard deviations of the neighbour's HU.
        missing_sd: Likewise.
        missing_mm2: Area that a missing part needs.
        missing_open_mm: Radius of the opening that takes narrow rims off a missing part.
        missing_cover: Share of the missing part that the decoder's answer must cover.
        missing_growth: The answer is at most so many times as large as the missing part.
        missing_even: Share of the answer that must be of the missing part's density.
        missing_score: Predicted IoU that the answer needs.
        run_mm2: Area that the largest slice of an added part needs; one that is smaller everywhere, as a vein is,
            only stays where it closes a gap between two masks.
        run_score: Predicted IoU that the surest slice of an added part needs.
        run_hu, run_sd: How far the density of an added part may be from the organ's: HU, or this many standard
            deviations of the organ's density, whichever is more; a liver with a giant tumour has many densities.
    """

    grow: float = 0.1
    follow_mm: float = 40.0
    least_score: float = 0.8
    sure_score: float = 0.85
    most_hu: float = 35.0
    least_overlap: float = 0.4
    least_area: float = 40.0
    break_mm: float = 20.0
    doubt_hu: float = 25.0
    sure_probability: float = 0.99
    mend: bool = True
    part_share: float = 0.06
    shed_hu: float = 18.0
    shed_rise: float = 0.02
    bright_hu: float = 80.0
    donor_score: float = 0.75
    fill_hu: float = 12.0
    parts: bool = True
    missing_hu: float = 20.0
    missing_sd: float = 1.5
    missing_mm2: float = 150.0
    missing_open_mm: float = 3.0
    missing_cover: float = 0.4
    missing_growth: float = 2.0
    missing_even: float = 0.7
    missing_score: float = 0.5
    run_mm2: float = 600.0
    run_score: float = 0.75
    run_hu: float = 15.0
    run_sd: float = 2.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain JSON values."""
        return settings_to_dict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> FollowSettings:
        """Reads the fields from a manifest.

        Raises:
            InputError: A field is not known to this version.
        """
        return settings_from_dict(cls, fields, "The model's following")


NOT_FOLLOWED = FollowSettings(grow=0.0, follow_mm=0.0, break_mm=0.0, mend=False, parts=False)
