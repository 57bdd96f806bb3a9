"""What each format's reader hands on, before anything is known of Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sammix_core.errors import InputError

# How far the length of a direction may be from 1 before it is no rounding any more.
_LARGEST_LENGTH_ERROR = 1e-3

# From this |cos| of the angle between two axes on, a grid is sheared: 0.06 degrees, half a millimetre over a body.
_LARGEST_COSINE = 1e-3


@dataclass(frozen=True)
class RawImage:
    """Numbers and geometry as the file states them.

    Attributes:
        array: (k, j, i), any real dtype in native byte order.
        spacing: (i, j, k) in mm.
        origin: LPS in mm of the centre of voxel (0, 0, 0).
        direction: (3, 3) float64; its columns are the LPS directions of the i, j and k axes.
        spacing_known: Whether the file really states a spacing.
        said_to_be_ct: Whether the file itself says that it is CT, as DICOM does.
        rescale_stated: Whether the file says how its numbers become Hounsfield units, as DICOM should.
        notes: Sentences on what was odd.
        slice_positions_mm: See `sammix_core.volume.volume.Volume`.
        grid_header: See `sammix_core.volume.volume.Volume`.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: np.ndarray
    spacing_known: bool = True
    said_to_be_ct: bool = False
    rescale_stated: bool = False
    notes: tuple[str, ...] = ()
    slice_positions_mm: np.ndarray | None = None
    grid_header: bytes | None = None


def is_placeholder_geometry(spacing: tuple[float, ...], origin: tuple[float, ...], direction: np.ndarray) -> bool:
    """Whether a geometry is what software writes when it knows none: 1 x 1 x 1 at the origin, along the axes.

    An array saved with `nibabel.Nifti1Image(array, numpy.eye(4))` or by SimpleITK without a spacing looks so.
    """
    along_axes = np.array_equal(np.abs(direction), np.eye(3))
    return along_axes and all(step == 1.0 for step in spacing) and all(place == 0.0 for place in origin)


def check_geometry(name: str, spacing: tuple[float, ...], origin: tuple[float, ...], direction: np.ndarray) -> None:
    """Refuses a grid that no volume can have.

    Args:
        name: The file's name, for the sentence.
        spacing: (i, j, k) in mm.
        origin: LPS in mm.
        direction: (3, 3), unit vectors of the axes in its columns.

    Raises:
        InputError: The grid is sheared, flat or not finite.
    """
    numbers = np.concatenate([spacing, origin, np.ravel(direction)])
    lengths = np.linalg.norm(direction, axis=0)
    if not np.isfinite(numbers).all() or min(spacing) <= 0 or np.abs(lengths - 1).max() > _LARGEST_LENGTH_ERROR:
        raise InputError(f"{name} has a damaged header: its spacing, origin or direction is impossible.")
    cosines = direction.T @ direction / np.outer(lengths, lengths)
    if np.abs(cosines - np.eye(3)).max() > _LARGEST_COSINE:
        raise sheared(name)


def sheared(name: str) -> InputError:
    """The sentence for a grid whose axes are not at right angles."""
    return InputError(
        f"{name} has a sheared grid (its axes are not at right angles); resample it to a straight one first."
    )
