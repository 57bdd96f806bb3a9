"""The figures of one lesion, and the table of all; needs plain Python alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = "sammix-lesions/1"
LIVER = 1
FIRST_LESION = 2
MAX_LESIONS = 250  # with the liver, about as many labels as a byte holds
_COLUMNS = ("label", "name", "volume_ml", "longest_axial_mm", "measurable", "mean_hu", "voxels")


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        number: 1 and up; its label in a labelmap with the liver is `number` + 1. Lesions that were segmented together
            are numbered by size, 1 the largest; in the panel a lesion keeps its number for good.
        voxels: Number of its voxels.
        volume_ml: Volume in mL; None where the spacing is unknown, as for all figures in mm.
        longest_axial_mm: Longest diameter within one axial slice.
        measurable: Whether the diameter is long enough for follow-up by RECIST 1.1.
        diameter_ends_ijk: Voxels of the CT at whose outline the diameter ends.
        centre_ijk: Centre of mass, in voxel indices.
        mean_hu: Mean HU of its voxels.
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
        """Its name for people: "Lesion 1"."""
        return f"Lesion {self.number}"

    @property
    def label(self) -> int:
        """Its label in a labelmap with the liver."""
        return self.number + FIRST_LESION - 1


def report(lesions: Sequence[Lesion]) -> dict[str, Any]:
    """The table as plain values, `sammix-lesions/1`."""
    volumes = [lesion.volume_ml for lesion in lesions if lesion.volume_ml is not None]
    return {
        "schema": SCHEMA,
        "lesions": [{"name": lesion.name, **asdict(lesion)} for lesion in lesions],
        "total_ml": sum(volumes) if len(volumes) == len(lesions) else None,
    }


def csv_table(lesions: Sequence[Lesion]) -> str:
    """The table as comma-separated values: a header, then one line for each lesion; unknown figures are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for lesion in lesions:
        values = (getattr(lesion, column) for column in _COLUMNS)
        writer.writerow("" if value is None else value for value in values)
    return text.getvalue()
