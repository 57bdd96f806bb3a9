"""A CT in Hounsfield units with its geometry."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from sammix_core.volume.axial_order import AxialOrder

_MM3_PER_ML = 1000.0

# Left and posterior are up in LPS, right and anterior in RAS; the same matrix turns either into the other.
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class DicomFrame:
    """The DICOM image that one slice was read from.

    Attributes:
        path: Its file.
        index: Which frame of the file, from 0; 0 in a file with one image.
    """

    path: Path
    index: int


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT volume on the user's own grid.

    Attributes:
        array: (k, j, i), int16 or float32, Hounsfield units.
        spacing: (i, j, k) in mm, each > 0.
        origin: LPS in mm of the centre of voxel (0, 0, 0).
        direction: (3, 3) float64; its columns are the LPS unit vectors of the i, j and k axes.
        spacing_known: False where the file says nothing of its spacing; `spacing` is a placeholder then.
        orientation_known: False where the file says nothing of how the patient lies in it; `direction` is a guess then.
        notes: Plain sentences on what was odd in the input and what was done about it.
        slice_positions_mm: (n_k,) mm along the normal of the slices, ascending, where the steps between slices differ
            from each other or from `spacing[2]` (uneven spacing, gantry tilt); otherwise None.
        grid_header: The part of a NIfTI or NRRD header that states the grid, so that a labelmap of the same format can
            state it in the same bytes; otherwise None.
        dicom_frames: (n_k,) the DICOM image of each slice, where the volume was read from DICOM; otherwise None.
        found_order: How the axes become axial slices by the images, where the header does not state the orientation and
            they show another order than `direction`; otherwise None.

    Raises:
        ValueError: The parts do not fit each other.
    """

    array: np.ndarray = field(repr=False)
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: np.ndarray
    spacing_known: bool = True
    orientation_known: bool = True
    notes: tuple[str, ...] = ()
    slice_positions_mm: np.ndarray | None = None
    grid_header: bytes | None = field(default=None, repr=False)
    dicom_frames: tuple[DicomFrame, ...] | None = field(default=None, repr=False)
    found_order: AxialOrder | None = None

    def __post_init__(self) -> None:
        if self.array.ndim != 3 or 0 in self.array.shape:
            raise ValueError(f"a volume needs a (k, j, i) array, not one of shape {self.array.shape}")
        if self.array.dtype not in (np.int16, np.float32):
            raise ValueError(f"a volume is int16 or float32, not {self.array.dtype}")
        direction = np.asarray(self.direction, dtype=np.float64)
        if direction.shape != (3, 3) or not np.allclose(direction.T @ direction, np.eye(3), atol=5e-3):
            raise ValueError("the direction's columns must be unit vectors at right angles")
        if len(self.spacing) != 3 or not all(np.isfinite(step) and step > 0 for step in self.spacing):
            raise ValueError(f"the spacing must be three lengths above 0, not {self.spacing}")
        if self.slice_positions_mm is not None and len(self.slice_positions_mm) != self.array.shape[0]:
            raise ValueError("there must be one slice position a slice")
        if self.dicom_frames is not None and len(self.dicom_frames) != self.array.shape[0]:
            raise ValueError("there must be one DICOM image a slice")
        # A frozen dataclass takes the float64 copy only this way.
        object.__setattr__(self, "direction", direction)

    @property
    def shape_kji(self) -> tuple[int, int, int]:
        """The shape (n_k, n_j, n_i) of `array`."""
        n_k, n_j, n_i = self.array.shape
        return n_k, n_j, n_i

    @property
    def ijk_to_lps(self) -> np.ndarray:
        """(4, 4) float64: homogeneous voxel indices (i, j, k) to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def ijk_to_ras(self) -> np.ndarray:
        """(4, 4) float64: homogeneous voxel indices (i, j, k) to RAS mm."""
        return _RAS_TO_LPS @ self.ijk_to_lps

    @cached_property
    def axial_order(self) -> AxialOrder:
        """How this volume's axes become canonical axial slices."""
        return AxialOrder.from_direction(self.direction) if self.found_order is None else self.found_order

    def mask_volume_ml(self, mask: np.ndarray) -> float | None:
        """How much space a mask takes.

        Args:
            mask: (k, j, i) on this volume's grid; what is not 0 counts.

        Returns:
            Millilitres, or None where the spacing is unknown. Where slices are unevenly spaced each counts with the
            half ways to its neighbours.

        Raises:
            ValueError: The mask has another shape.
        """
        if mask.shape != self.array.shape:
            raise ValueError(f"the mask has shape {mask.shape}, the volume {self.array.shape}")
        if not self.spacing_known:
            return None
        voxels_a_slice = np.count_nonzero(mask, axis=(1, 2))
        volume_mm3 = float(voxels_a_slice @ self._slice_thickness_mm()) * self.spacing[0] * self.spacing[1]
        return volume_mm3 / _MM3_PER_ML

    def _slice_thickness_mm(self) -> np.ndarray:
        if self.slice_positions_mm is None or len(self.slice_positions_mm) < 2:
            return np.full(self.array.shape[0], self.spacing[2])
        steps = np.diff(self.slice_positions_mm)
        # The outermost slices have one neighbour; the way to it counts on both sides.
        return (np.append(steps, steps[-1]) + np.append(steps[0], steps)) / 2


def grid_from_ras(
    ijk_to_ras: np.ndarray,
) -> tuple[tuple[float, float, float], tuple[float, float, float], np.ndarray]:
    """Takes a matrix as 3D Slicer and NIfTI have it apart into what a `Volume` has; the inverse of `ijk_to_ras`.

    Args:
        ijk_to_ras: (4, 4), homogeneous voxel indices (i, j, k) to RAS mm.

    Returns:
        Spacing (i, j, k) in mm, origin in LPS mm, and (3, 3) direction whose columns are the LPS unit vectors of the
        axes. A singular matrix gives numbers that are not finite; `check_geometry` refuses those, and sheared grids.
    """
    lps = _RAS_TO_LPS @ np.asarray(ijk_to_ras, dtype=np.float64)
    lengths = np.linalg.norm(lps[:3, :3], axis=0)
    with np.errstate(invalid="ignore"):
        direction = lps[:3, :3] / lengths
    return (
        (float(lengths[0]), float(lengths[1]), float(lengths[2])),
        (float(lps[0, 3]), float(lps[1, 3]), float(lps[2, 3])),
        direction,
    )
