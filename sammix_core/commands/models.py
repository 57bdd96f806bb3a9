"""`sammix models`: which models there are, whether they are whole, where they lie, and the user's own removed."""

from __future__ import annotations

from typing import Annotated

import typer

from sammix_core.commands import console
from sammix_core.errors import SammixError

app = typer.Typer(help="List, verify, find and remove models.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="NAME", help='A model: "liver", "liver/1.0.0" or its folder.')]


@app.command("list")
def list_models() -> None:
    """List the models that can be named."""
    from sammix_core import model_store

    screen = console.out()
    found = model_store.list_models()
    for model in found:
        size = sum((model.path / file).stat().st_size for file in model.manifest.files) / 1e6
        origin = "shipped" if model.shipped else "yours"
        screen.print(
            f"{model.spec:<24} {origin:<8} {size:5.1f} MB  {model.manifest.created[:10]}  {model.manifest.target}"
        )
    if not found:
        screen.print("There are no models.")
    console.print_notes(model_store.find_faults())


@app.command("verify")
def verify(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One model; all of them without it.")] = None,
) -> None:
    """Check that the files of models are those that their manifests name."""
    from sammix_core import model_store

    chosen = model_store.list_models() if name is None else [model_store.resolve(name)]
    faults = model_store.find_faults() if name is None else []
    for model in chosen:
        found = model_store.verify(model)
        faults += found
        if not found:
            console.out().print(f"{model.spec} is whole")
    if faults:
        raise SammixError(" ".join(faults))


@app.command("path")
def path(name: _Name) -> None:
    """Print the folder of a model."""
    from sammix_core import model_store

    console.out().print(str(model_store.resolve(name).path))


@app.command("remove")
def remove(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help='One of your own models with its version: "my-liver/1.0.0".')
    ],
) -> None:
    """Delete one of your own models, for good; those shipped with SAMMix stay."""
    from sammix_core import model_store

    folder = model_store.remove(name)
    console.out().print(f"Removed {name} from {folder}")
