"""Writing maps: a percentage a voxel, on the grid of the volume it belongs to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sammix_core.errors import InputError
from sammix_core.files import check_writable
from sammix_core.volume.volume import Volume
from sammix_core.volume_io.labelmap_writing import write_on_grid

MAP_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


def check_map_output(path: str | Path) -> Path:
    """Says early that a map could not be written.

    Args:
        path: The file that is to be written later.

    Returns:
        The file's real place.

    Raises:
        InputError: The format is unknown or one of segmentations, or the folder is missing or cannot be written to.
    """
    name = Path(path).name.lower()
    if name.endswith(".seg.nrrd"):
        raise InputError(f"{path} would be a segmentation for 3D Slicer, but this is a map of percentages; use .nrrd.")
    if not name.endswith(MAP_SUFFIXES):
        raise InputError(f"{path} has a format that cannot be written; use {', '.join(MAP_SUFFIXES)}.")
    return check_writable(path)


def write_percent_map(percent: np.ndarray, like: Volume, path: str | Path) -> None:
    """Writes a map as whole percentages, whole or not at all, on the grid of its volume.

    Args:
        percent: (k, j, i) uint8, 0 to 100.
        like: The volume whose grid it has.
        path: The file; its ending chooses the format, one of `MAP_SUFFIXES`.

    Raises:
        InputError: The format is unknown or the file cannot be written.
        ValueError: The map does not fit the volume, or holds no percentages.
    """
    target = check_map_output(path)
    if percent.shape != like.array.shape:
        raise ValueError(f"the map has shape {percent.shape}, the volume {like.array.shape}")
    if percent.dtype != np.uint8 or percent.max(initial=0) > 100:
        raise ValueError("a map is made of whole percentages, uint8 from 0 to 100")
    write_on_grid(percent, like, target, {"SAMMix.Unit": "percent"})
