"""`sammix corrections`: lists and deletes the corrected slices that fine-tuning learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sammix_core.cli import console
from sammix_core.errors import InputError
from sammix_core.model_store.organs import DEFAULT_ORGAN

app = typer.Typer(help="See and delete corrected slices.", no_args_is_help=True)

_Folder = Annotated[
    Path | None, typer.Option("--folder", help="The correction set; without it the one that the panel writes.")
]
_Target = Annotated[str, typer.Option("--target", help="The structure whose corrections are meant.")]


@app.command("list")
def list_entries(folder: _Folder = None, target: _Target = DEFAULT_ORGAN.name) -> None:
    """List the corrected slices, in the order in which they were added."""
    from sammix_core.datasets.correction_set import CorrectionSet

    path = _set_folder(folder, target)
    corrections = CorrectionSet.open(path)
    screen = console.out()
    for entry in corrections.entries():
        role = "held back" if entry.held_back else "learnt"
        screen.print(f"{entry.id}  {entry.source.value:<9}  {role:<9}  {entry.area_px:>7} px  {entry.model or '-'}")
    screen.print(f"{len(corrections)} slices of {corrections.target} in {path}")
    console.print_notes(corrections.leftovers)


@app.command("remove")
def remove(
    names: Annotated[list[str], typer.Argument(metavar="ID...", help='Entries, as "case-0123456789ab-0012".')],
    folder: _Folder = None,
    target: _Target = DEFAULT_ORGAN.name,
) -> None:
    """Delete corrected slices, with their pixels, for good."""
    from sammix_core.datasets.correction_set import CorrectionSet

    corrections = CorrectionSet.open(_set_folder(folder, target))
    for name in names:
        corrections.remove(name)
        console.out().print(f"Removed {name}")


def _set_folder(folder: Path | None, target: str) -> Path:
    from sammix_core.datasets.correction_set import default_corrections_folder, is_correction_set

    if folder is not None:
        return folder
    path = default_corrections_folder(target)
    if not is_correction_set(path):
        raise InputError(f"There are no corrections of {target} yet.")
    return path
