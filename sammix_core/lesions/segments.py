"""The segment of a lesion: name, colour and SNOMED codes."""

from __future__ import annotations

import colorsys

from sammix_core.lesions.lesion import FIRST_LESION
from sammix_core.volume_io.segments import LIVER as LIVER_SEGMENT
from sammix_core.volume_io.segments import Code, Segment

_ALTERED = Code("SCT", "49755003", "Morphologically Altered Structure")
_LESION = Code("SCT", "52988006", "Lesion")
# Slicer's lists have only "Mass", which not every lesion is.
_LESION_LIST = "DICOM CID 7159 Lesion Segmentation Types"
_GOLDEN = 0.618  # steps of hue that keep neighbouring lesions apart


def lesion_segment(label: int) -> Segment:
    """The segment of a label of `lesion_labelmap`: a lesion in the liver, with its own name and colour.

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
        context=_LESION_LIST,
    )
