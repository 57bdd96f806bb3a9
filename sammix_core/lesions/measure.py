"""What is said of each lesion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sammix_core.lesions.diameter import longest_diameter
from sammix_core.volume import Volume

SCHEMA = "sammix-lesions/1"
# RECIST 1.1: a lesion can be followed from 10 mm on, or from twice the distance of slices where they are thicker.
_MEASURABLE_MM = 10.0


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        number: 1 is the largest; in a labelmap with the liver it has the label `number` + 1.
        voxels: How many it has.
        volume_ml: Millilitres; None where the spacing is unknown, as every figure in millimetres.
        longest_axial_mm: Longest diameter within one axial slice.
        measurable: Whether that is enough to be followed by RECIST 1.1.
        diameter_ends_ijk: Voxels of the CT at whose outline the diameter ends.
        centre_ijk: Its centre of mass, in voxel indices.
        mean_hu: Mean of its voxels.
    """

    number: int
    voxels: int
    volume_ml: float | None
    longest_axial_mm: float | None
    measurable: bool | None
    diameter_ends_ijk: tuple[tuple[int, int, int], tuple[int, int, int]] | None
    centre_ijk: tuple[float, float, float]
    mean_hu: float

    @property
    def name(self) -> str:
        """What people call it: "Lesion 1"."""
        return f"Lesion {self.number}"


def measure_lesions(volume: Volume, lesions: np.ndarray) -> list[Lesion]:
    """Measures each lesion.

    Args:
        volume: The CT.
        lesions: (k, j, i) what `lesion_components` gave.

    Returns:
        One entry a lesion, by number.
    """
    return [_measure(volume, lesions == number, int(number)) for number in np.unique(lesions) if number]


def _measure(volume: Volume, mask: np.ndarray, number: int) -> Lesion:
    places = np.argwhere(mask)
    k, j, i = places.mean(0).round(1).tolist()
    line = _diameter(volume, mask) if volume.spacing_known else None
    order = volume.axial_order
    least = max(_MEASURABLE_MM, 2 * order.spacing(volume.spacing)[0])
    return Lesion(
        number=number,
        voxels=len(places),
        volume_ml=volume.mask_volume_ml(mask),
        longest_axial_mm=None if line is None else line[0],
        measurable=None if line is None else line[0] >= least,
        diameter_ends_ijk=None if line is None else line[1],
        centre_ijk=(i, j, k),
        mean_hu=float(volume.array[mask].mean(dtype=np.float64)),
    )


def _diameter(
    volume: Volume, mask: np.ndarray
) -> tuple[float, tuple[tuple[int, int, int], tuple[int, int, int]]] | None:
    order = volume.axial_order
    axial = order.forward(mask)
    found = longest_diameter(axial, order.spacing(volume.spacing)[1:])
    if found is None:
        return None
    ends = [_voxel_of(volume, axial, found.slice, end) for end in found.ends]
    return found.mm, (ends[0], ends[1])


def _voxel_of(volume: Volume, axial: np.ndarray, index: int, end: tuple[float, float]) -> tuple[int, int, int]:
    """The voxel (i, j, k) of the mask whose outline a place on a canonical slice lies on."""
    pixels = np.argwhere(axial[index])
    row, col = pixels[np.abs(pixels - np.array(end)).sum(1).argmin()]
    marked = np.zeros(axial.shape, dtype=bool)
    marked[index, row, col] = True
    k, j, i = (int(one) for one in np.argwhere(volume.axial_order.back(marked))[0])
    return i, j, k


def report(lesions: Sequence[Lesion]) -> dict[str, Any]:
    """The table as plain values, `sammix-lesions/1`."""
    known = [lesion.volume_ml for lesion in lesions if lesion.volume_ml is not None]
    return {
        "schema": SCHEMA,
        "lesions": [{"name": lesion.name, **asdict(lesion)} for lesion in lesions],
        "total_ml": sum(known) if len(known) == len(lesions) else None,
    }
