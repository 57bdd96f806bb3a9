"""Small studies for the benchmarks of batches: slabs of a few slices, cut from the CTs in ../shared/data."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

# With liver in the middle of the scan; each gives slabs from a third to two thirds of its height.
SOURCES = ("crlm1004", "hcc002_portal", "hcc005_portal", "hcc006_portal", "hcc009_portal", "hcc015_portal", "tace0697")


def write_slabs(data: Path, folder: Path, count: int, slices: int) -> list[Path]:
    """Writes slabs, each of its own slices, as study_00.nii.gz and so on.

    Args:
        data: The folder with the CTs.
        folder: Where to write.
        count: How many slabs.
        slices: Slices of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    per_source = -(-count // len(SOURCES))
    paths = []
    for name in SOURCES:
        image = nibabel.load(data / f"{name}_ct.nii.gz")
        height = image.shape[2]
        for start in np.linspace(height / 3, 2 * height / 3 - slices, per_source).astype(int):
            if len(paths) < count:
                paths.append(folder / f"study_{len(paths):02d}.nii.gz")
                nibabel.save(image.slicer[:, :, start : start + slices], paths[-1])
    return paths
