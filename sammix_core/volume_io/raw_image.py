"""What each format's reader hands on, before anything is known of Hounsfield units."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sammix_core.errors import InputError
from sammix_core.volume.volume import DicomFrame

# How far the length of a direction may be from 1 before it is no rounding any more.
_LARGEST_LENGTH_ERROR = 1e-3

# Slices lean at most this much (60 degrees); no gantry tilts farther than 30.
_SMALLEST_UPRIGHT_COSINE = 0.5

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
        orientation_known: Whether the file really states how the patient lies in it.
        said_to_be_ct: Whether the file itself says that it is CT, as DICOM does.
        rescale_stated: Whether the file says how its numbers become Hounsfield units, as DICOM should.
        notes: Sentences on what was odd.
        slice_positions_mm: See `sammix_core.volume.volume.Volume`.
        grid_header: See `sammix_core.volume.volume.Volume`.
        dicom_frames: See `sammix_core.volume.volume.Volume`.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: np.ndarray
    spacing_known: bool = True
    orientation_known: bool = True
    said_to_be_ct: bool = False
    rescale_stated: bool = False
    notes: tuple[str, ...] = ()
    slice_positions_mm: np.ndarray | None = None
    grid_header: bytes | None = None
    dicom_frames: tuple[DicomFrame, ...] | None = None


def is_placeholder_geometry(spacing: tuple[float, ...], origin: tuple[float, ...], direction: np.ndarray) -> bool:
    """Whether a geometry is what software writes when it knows none: 1 x 1 x 1 at the origin, along the axes.

    An array saved with `nibabel.Nifti1Image(array, numpy.eye(4))` or by SimpleITK without a spacing looks so.
    """
    along_axes = np.array_equal(np.abs(direction), np.eye(3))
    return along_axes and all(step == 1.0 for step in spacing) and all(part == 0.0 for part in origin)


def is_orientation_stated(origin: tuple[float, ...], direction: np.ndarray) -> bool:
    """Whether a geometry says how the patient lies: not where it is along the axes and begins at the origin.

    So an array looks that was saved with a spacing alone (`numpy.diag` of it, or SimpleITK's SetSpacing); no scanner
    puts the first voxel exactly at the origin.
    """
    return not (np.array_equal(np.abs(direction), np.eye(3)) and all(part == 0.0 for part in origin))


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
    check_numbers(name, spacing, origin, direction)
    if not is_straight(direction):
        raise sheared(name)


def check_numbers(name: str, spacing: tuple[float, ...], origin: tuple[float, ...], direction: np.ndarray) -> None:
    """As `check_geometry`, but lets a sheared grid pass.

    Raises:
        InputError: The grid is flat or not finite.
    """
    numbers = np.concatenate([spacing, origin, np.ravel(direction)])
    lengths = np.linalg.norm(direction, axis=0)
    if not np.isfinite(numbers).all() or min(spacing) <= 0 or np.abs(lengths - 1).max() > _LARGEST_LENGTH_ERROR:
        raise InputError(f"{name} has a damaged header: its spacing, origin or direction is impossible.")


def is_straight(direction: np.ndarray) -> bool:
    """Whether the axes, unit vectors in the columns of (3, 3), are at right angles but for rounding."""
    lengths = np.linalg.norm(direction, axis=0)
    cosines = direction.T @ direction / np.outer(lengths, lengths)
    return bool(np.abs(cosines - np.eye(3)).max() <= _LARGEST_COSINE)


@dataclass(frozen=True)
class StraightGrid:
    """A grid with axes at right angles that stands in for one without.

    Attributes:
        spacing: (i, j, k) in mm.
        direction: (3, 3) float64, orthonormal columns in LPS.
        slice_positions_mm: (n_k,) along the normal of the slices where they are stacked at a slant; otherwise None.
        notes: A sentence on the slant.
    """

    spacing: tuple[float, float, float]
    direction: np.ndarray
    slice_positions_mm: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def straighten(ijk_to_lps: np.ndarray, n_k: int, name: str) -> StraightGrid:
    """Straightens a grid that rounding has sheared a little, or whose slices are stacked at a slant (gantry tilt).

    Args:
        ijk_to_lps: (3, 3) or (4, 4), voxel steps in LPS mm in its columns.
        n_k: Number of slices along the last axis.
        name: The file's name, for the sentence.

    Returns:
        The nearest grid at right angles; of slanted slices the stack that ITK makes of such a DICOM series, at the
        slanted step, with the positions of the slices along their normal.

    Raises:
        InputError: The axes in the plane of the slices are not at right angles, or the grid is impossible.
    """
    steps = np.asarray(ijk_to_lps, dtype=np.float64)[:3, :3]
    lengths = np.linalg.norm(steps, axis=0)
    if not np.isfinite(steps).all() or lengths.min() <= 0:
        raise InputError(f"{name} has a damaged header: its spacing, origin or direction is impossible.")
    direction = steps / lengths
    spacing = (float(lengths[0]), float(lengths[1]), float(lengths[2]))
    cosines = direction.T @ direction - np.eye(3)
    if np.abs(cosines).max() <= _LARGEST_COSINE:
        left, _, right = np.linalg.svd(direction)
        return StraightGrid(spacing, left @ right)
    normal = np.cross(direction[:, 0], direction[:, 1])
    normal /= np.linalg.norm(normal)
    along = float(normal @ direction[:, 2])
    if abs(cosines[0, 1]) > _LARGEST_COSINE or abs(along) < _SMALLEST_UPRIGHT_COSINE:
        raise sheared(name)
    straight = np.column_stack([direction[:, 0], direction[:, 1], math.copysign(1.0, along) * normal])
    left, _, right = np.linalg.svd(straight)
    positions = np.arange(n_k) * spacing[2] * abs(along)
    return StraightGrid(spacing, left @ right, positions, (tilt_note(math.degrees(math.acos(min(1.0, abs(along))))),))


def tilt_note(degrees: float) -> str:
    """The sentence on slices that are stacked at a slant."""
    return (
        f"The gantry was tilted by {degrees:.1f} degrees; the slices were processed one by one as they are, and the "
        "labelmap has the same straightened stack."
    )


def sheared(name: str) -> InputError:
    """The sentence for a grid whose axes are not at right angles."""
    return InputError(
        f"{name} has a sheared grid (its axes are not at right angles); resample it to a straight one first."
    )
