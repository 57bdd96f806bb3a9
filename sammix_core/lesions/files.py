"""Lesions as files: a labelmap with one segment a lesion, and what each is called."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np

from sammix_core.lesions.components import FIRST_LESION, LIVER
from sammix_core.volume import Volume
from sammix_core.volume_io.labelmaps import check_output, segmentation_metadata, write_on_grid
from sammix_core.volume_io.segments import LIVER as LIVER_SEGMENT
from sammix_core.volume_io.segments import Code, Segment

_ALTERED = Code("SCT", "49755003", "Morphologically Altered Structure")
_LESION = Code("SCT", "52988006", "Lesion")
_GOLDEN = 0.618  # steps of hue that never come near each other soon


def lesion_segment(label: int) -> Segment:
    """What a label of `lesion_labelmap` means: a lesion in the liver, with a name and a colour of its own.

    Example:
        >>> lesion_segment(3).name
        'Lesion 2'
    """
    number = label - FIRST_LESION + 1
    return Segment(
        identifier=f"Segment_{label}",
        name=f"Lesion {number}",
        color=colorsys.hsv_to_rgb((0.13 + number * _GOLDEN) % 1.0, 0.75, 0.95),
        category=_ALTERED,
        type=_LESION,
        label_value=label,
        region=LIVER_SEGMENT.type,
    )


def write_lesions(labelmap: np.ndarray, like: Volume, path: str | Path) -> None:
    """Writes liver and lesions, whole or not at all.

    Args:
        labelmap: (k, j, i) uint8 what `lesion_labelmap` gave.
        like: The CT whose grid it has.
        path: The file; in a .seg.nrrd each lesion is a segment with name, colour and SNOMED codes.

    Raises:
        InputError: The format is unknown, or the file cannot be written.
    """
    target = check_output(path)
    pairs: dict[str, str] = {}
    if target.name.lower().endswith(".seg.nrrd"):
        labels = [int(label) for label in np.unique(labelmap) if label]
        for index, label in enumerate(labels):
            segment = LIVER_SEGMENT if label == LIVER else lesion_segment(label)
            own = segmentation_metadata(labelmap, segment)
            pairs.update({name.replace("Segment0_", f"Segment{index}_"): value for name, value in own.items()})
    write_on_grid(np.ascontiguousarray(labelmap), like, target, pairs)
