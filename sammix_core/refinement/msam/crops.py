"""Cubes cut from volumes: their position, and the normalisation of their values for the network.

The network's axes are those of RAS: to the patient's right, to anterior, to superior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sammix_core.volume.axial_order import AxialOrder

HU, NORMALISED = "hu", "normalised"  # units of an image's values
LARGEST_HU = 1000.0  # values are clamped to plus and minus this
_MIN_DEVIATION_HU = 1.0  # no CT has less noise; keeps a synthetic, uniform crop from being amplified


def to_ras(axial: np.ndarray) -> np.ndarray:
    """Canonical axial (slice, row, col) to (x, y, z) along R, A and S; a view."""
    return axial[:, ::-1, ::-1].transpose(2, 1, 0)


def to_axial(ras: np.ndarray) -> np.ndarray:
    """The inverse of `to_ras`; a view."""
    return ras.transpose(2, 1, 0)[:, ::-1, ::-1]


@dataclass(frozen=True)
class Cube:
    """A cube of voxels, which may reach beyond the volume.

    Attributes:
        start: Index of its first voxel along each axis; may be negative.
        size: Voxels along each axis.
    """

    start: tuple[int, int, int]
    size: int

    @classmethod
    def around(cls, centre: np.ndarray, size: int) -> Cube:
        """The cube whose centre is nearest to a point.

        Args:
            centre: (3,) in voxel indices; whole numbers are centres of voxels.
            size: Voxels along each axis.
        """
        x, y, z = (int(index) for index in np.floor(np.asarray(centre) - (size - 1) / 2 + 0.5))
        return cls((x, y, z), size)

    def cut(self, array: np.ndarray, fill: float = 0) -> np.ndarray:
        """Copies the cube out of a 3-D array; `fill` (or False) beyond it."""
        out = np.full((self.size,) * 3, fill, dtype=array.dtype)
        inside, outside = self._overlap(array.shape)
        out[inside] = array[outside]
        return out

    def paste(self, part: np.ndarray, array: np.ndarray) -> None:
        """Writes a part of the cube's size into a 3-D array, in place; what lies beyond the array is dropped."""
        inside, outside = self._overlap(array.shape)
        array[outside] = part[inside]

    def _overlap(self, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Where volume and cube meet, in indices of the cube and of the volume."""
        inside, outside = [], []
        for first, length in zip(self.start, shape, strict=True):
            low, high = max(first, 0), max(min(first + self.size, length), max(first, 0))
            inside.append(slice(low - first, high - first))
            outside.append(slice(low, high))
        return tuple(inside), tuple(outside)


def cut_image(image: np.ndarray, cube: Cube, values: str) -> np.ndarray:
    """Cuts the network's input out of an image.

    Args:
        image: (x, y, z).
        cube: The part to cut.
        values: `HU`, or `NORMALISED` for an image that needs no normalisation.

    Returns:
        (size, size, size) float32.
    """
    if values == NORMALISED:
        return cube.cut(image, fill=image.min()).astype(np.float32)
    return normalised(cube.cut(image))


def normalised(crop: np.ndarray) -> np.ndarray:
    """Standardises a crop by mean and deviation of its voxels above 0, as SAM-Med3D does.

    Args:
        crop: HU.

    Returns:
        float32 of the same shape. A crop without voxels above 0 is standardised by all its voxels.
    """
    values = np.clip(crop.astype(np.float32), -LARGEST_HU, LARGEST_HU)
    seen = values[values > 0]
    if seen.size == 0:
        seen = values
    return (values - seen.mean()) / max(float(seen.std()), _MIN_DEVIATION_HU)


def ras_index(order: AxialOrder, shape_kji: tuple[int, int, int], ijk: tuple[int, int, int]) -> tuple[int, int, int]:
    """The index of a voxel of the user's volume in `to_ras` of its canonical slices.

    Args:
        order: Of the volume.
        shape_kji: Of its array.
        ijk: The voxel.
    """
    shape = order.shape(shape_kji)
    pairs = zip(order.axes, order.flips, shape, strict=True)
    index, row, col = (n - 1 - ijk[axis] if flip else ijk[axis] for axis, flip, n in pairs)
    return shape[2] - 1 - col, shape[1] - 1 - row, index
