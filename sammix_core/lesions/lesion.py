"""What is said of one lesion, and the table of all; needs nothing but plain Python."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = "sammix-lesions/1"
LIVER = 1
FIRST_LESION = 2
_COLUMNS = ("label", "name", "volume_ml", "longest_axial_mm", "measurable", "mean_hu", "voxels")


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Attributes:
        number: In a labelmap with the liver it has the label `number` + 1. Where lesions were found together 1 is the
            largest; in the panel a lesion keeps its number whatever becomes of it.
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

    @property
    def label(self) -> int:
        """Its label in a labelmap with the liver."""
        return self.number + FIRST_LESION - 1


def report(lesions: Sequence[Lesion]) -> dict[str, Any]:
    """The table as plain values, `sammix-lesions/1`."""
    known = [lesion.volume_ml for lesion in lesions if lesion.volume_ml is not None]
    return {
        "schema": SCHEMA,
        "lesions": [{"name": lesion.name, **asdict(lesion)} for lesion in lesions],
        "total_ml": sum(known) if len(known) == len(lesions) else None,
    }


def csv_table(lesions: Sequence[Lesion]) -> str:
    """The table as comma-separated values: a line of titles, then one a lesion; what is unknown is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for lesion in lesions:
        values = (getattr(lesion, column) for column in _COLUMNS)
        writer.writerow("" if value is None else value for value in values)
    return text.getvalue()
