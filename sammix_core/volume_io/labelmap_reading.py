"""Labelmaps from files. They are no CT, so the checks on Hounsfield units do not apply to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sammix_core.errors import InputError

if TYPE_CHECKING:
    from sammix_core.volume.volume import Volume
    from sammix_core.volume_io.raw_image import RawImage

_NIFTI_SUFFIXES = (".nii", ".nii.gz")

# Headers round: NIfTI keeps float32, and a scanner's origin has a few decimals. A tenth of a voxel shifts no voxel.
_CORNER_TOLERANCE_VOXELS = 0.1


@dataclass(frozen=True)
class Labelmap:
    """Labels on a grid.

    Attributes:
        array: (k, j, i), an integer dtype.
        spacing: (i, j, k) in mm.
        origin: LPS in mm of the centre of voxel (0, 0, 0).
        direction: (3, 3) float64; its columns are the LPS unit vectors of the i, j and k axes.
        spacing_known: False where the file says nothing of its spacing.
        name: The file's base name, for messages.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: np.ndarray
    spacing_known: bool
    name: str

    def labels(self) -> list[int]:
        """The labels that occur, without the background 0, in ascending order."""
        return [int(label) for label in np.unique(self.array) if label != 0]

    def difference_from(self, other: Labelmap) -> str | None:
        """Says how the grid differs from another one, or None when both are the same.

        Grids are compared by where their corners lie, so that one written by another program, rounded, passes.
        """
        if self.array.shape != other.array.shape:
            mine, theirs = (" x ".join(map(str, reversed(grid.array.shape))) for grid in (self, other))
            return f"{self.name} has {mine} voxels and {other.name} has {theirs}"
        tolerance = _CORNER_TOLERANCE_VOXELS * min(*self.spacing, *other.spacing)
        distance = float(np.linalg.norm(self._corners_lps() - other._corners_lps(), axis=1).max())
        if distance > tolerance:
            return f"their corners lie up to {distance:.1f} mm apart"
        return None

    def _corners_lps(self) -> np.ndarray:
        """(8, 3) LPS in mm of the centres of the corner voxels."""
        last_ijk = np.array(self.array.shape[::-1]) - 1
        corners_ijk = np.array(list(np.ndindex(2, 2, 2))) * last_ijk
        return np.asarray(self.origin) + (corners_ijk * self.spacing) @ self.direction.T


def grid_difference(labelmap: Labelmap, volume: Volume) -> str | None:
    """How a labelmap's grid differs from a CT's, or None where it is the same; see `Labelmap.difference_from`."""
    grid = Labelmap(volume.array, volume.spacing, volume.origin, volume.direction, volume.spacing_known, "the CT")
    return labelmap.difference_from(grid)


def check_grid(labelmap: Labelmap, volume: Volume, case: str) -> None:
    """Refuses labels that do not lie on the CT's own grid, since they would be of other places than they say.

    Args:
        labelmap: The labels.
        volume: The CT.
        case: What the message calls both.

    Raises:
        InputError: The grids differ in size or place.
    """
    difference = grid_difference(labelmap, volume)
    if difference is not None:
        raise InputError(
            f"The labels and the CT of {case} lie on different grids ({difference}); save the labels on the grid of "
            "the CT."
        )


def read_labelmap(path: str | Path) -> Labelmap:
    """Reads a labelmap in NIfTI, NRRD or MetaImage.

    Args:
        path: The file.

    Returns:
        The labels on the file's own grid.

    Raises:
        InputError: The file is missing, cut short, of another format, not three-dimensional or holds no whole numbers.
    """
    file = Path(path).expanduser()
    try:
        image = _read(file)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    return Labelmap(
        array=_whole_numbers(image.array, file.name),
        spacing=image.spacing,
        origin=image.origin,
        direction=image.direction,
        spacing_known=image.spacing_known,
        name=file.name,
    )


def _read(file: Path) -> RawImage:
    from sammix_core.volume_io.itk_files import IMAGE_IO, read_itk_file
    from sammix_core.volume_io.nifti import read_nifti

    if not file.exists():
        raise InputError(f"{file} does not exist.")
    if not file.is_file():
        raise InputError(f"{file} is a folder; name one labelmap file.")
    if file.name.lower().endswith(_NIFTI_SUFFIXES):
        return read_nifti(file)
    if file.suffix.lower() in IMAGE_IO:
        return read_itk_file(file)
    known = ", ".join((*_NIFTI_SUFFIXES, *IMAGE_IO))
    raise InputError(f"{file.name} is no labelmap that can be read; known are {known}.")


def _whole_numbers(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind in "iu":
        return array
    labels = np.rint(array)
    if not np.array_equal(labels, array):
        raise InputError(f"{name} holds values that are not whole numbers, so it is no labelmap.")
    return labels.astype(np.int64)
