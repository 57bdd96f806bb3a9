"""Shared by the commands for lesions: reading a voxel as it is typed, and printing the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sammix_core.cli import console
from sammix_core.errors import InputError

if TYPE_CHECKING:
    from sammix_core.lesions.lesion import Lesion


def voxel_of(option: str, text: str) -> tuple[int, int, int]:
    """Reads a voxel as it is typed, "210,180,42".

    Raises:
        InputError: The text is no voxel.
    """
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise InputError(f"{option} {text} is no voxel: type it as I,J,K, such as 210,180,42.")
    i, j, k = map(int, parts)
    return i, j, k


def print_lesions(table: list[Lesion]) -> None:
    """Prints the figures, one line for each lesion."""
    from rich.table import Table

    if not table:
        console.out().print("No lesion was found; the labelmap has none.")
        return
    grid = Table("", "volume", "longest axial", "mean", box=None, pad_edge=False)
    for lesion in table:
        size = "-" if lesion.volume_ml is None else f"{lesion.volume_ml:.2f} mL"
        length = "-" if lesion.longest_axial_mm is None else f"{lesion.longest_axial_mm:.1f} mm"
        grid.add_row(lesion.name, size, length, f"{lesion.mean_hu:.0f} HU")
    console.out().print(grid)
