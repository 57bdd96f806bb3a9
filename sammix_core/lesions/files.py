"""Lesions as files: a labelmap with one segment for each lesion."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sammix_core.lesions.lesion import LIVER
from sammix_core.lesions.segments import lesion_segment
from sammix_core.volume.volume import Volume
from sammix_core.volume_io.labelmap_writing import check_output, segmentation_metadata, write_on_grid
from sammix_core.volume_io.segments import LIVER as LIVER_SEGMENT


def write_lesions(labelmap: np.ndarray, like: Volume, path: str | Path) -> None:
    """Writes liver and lesions, whole or not at all.

    Args:
        labelmap: (k, j, i) uint8, as `lesion_labelmap` returns it.
        like: The CT on whose grid it lies.
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
            metadata = segmentation_metadata(labelmap, segment)
            pairs.update({name.replace("Segment0_", f"Segment{index}_"): value for name, value in metadata.items()})
    write_on_grid(np.ascontiguousarray(labelmap), like, target, pairs)
