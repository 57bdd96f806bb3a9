"""`sammix models`: lists, checks, activates and exports models, fetches published weights, removes the user's own."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sammix_core.cli import console
from sammix_core.errors import Cancelled, InputError, SammixError

app = typer.Typer(help="List, activate, verify, export, find, fetch and remove models.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="NAME", help='A model: "liver", "liver/1.0.0" or its folder.')]


@app.command("list")
def list_models() -> None:
    """List the models that can be named."""
    from sammix_core import model_store

    screen = console.out()
    models = model_store.list_models()
    for model in models:
        size = sum((model.path / file).stat().st_size for file in model.manifest.files) / 1e6
        origin = "shipped" if model.shipped else "yours"
        active = "  active" if model_store.is_active(model) else ""
        task = model.manifest.target if model.manifest.segments else f"refines {model.manifest.target}"
        screen.print(f"{model.spec:<24} {origin:<8} {size:5.1f} MB  {model.manifest.created[:10]}  {task}{active}")
    if not models:
        screen.print("There are no models.")
    console.print_notes(model_store.find_faults())


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="sam_vit_b, sam_vit_l, sam_vit_h or medsam.")],
    from_file: Annotated[
        Path | None, typer.Option(help="The file, fetched otherwise; nothing is downloaded then.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors and questions.")] = False,
) -> None:
    """Fetch published weights of a larger Segment Anything, to be used with --model NAME."""
    from sammix_core.cli.progress import shown_progress
    from sammix_core.progress import Interrupts
    from sammix_core.sam import fetch as fetching

    weights = fetching.third_party_weights(name)
    fetching.check_absent(weights)
    if from_file is None and not yes:
        _ask(fetching.what_is_asked(weights))
    try:
        with Interrupts() as interrupts, shown_progress(quiet=quiet) as show:
            model = fetching.fetch(weights, from_file, progress=show, cancel=interrupts.asked)
    except (Cancelled, KeyboardInterrupt) as error:
        raise Cancelled("Stopped as asked; the same command continues the download from here.") from error
    if not quiet:
        console.out().print(f"{weights.title} is in {model.path}; use it with --model {weights.name}")


def _ask(question: str) -> None:
    """Asks for consent; a script gives it with --yes."""
    if not _is_person():
        raise InputError(f"{question} Agree with --yes.")
    if not typer.confirm(question):
        raise Cancelled("Nothing was downloaded.")


def _is_person() -> bool:
    return sys.stdin.isatty()


@app.command("verify")
def verify(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One model; all of them without it.")] = None,
) -> None:
    """Check that the files of models are those that their manifests name."""
    from sammix_core import model_store

    models = model_store.list_models() if name is None else [model_store.resolve(name)]
    faults = model_store.find_faults() if name is None else []
    for model in models:
        model_faults = model_store.verify(model)
        faults += model_faults
        if not model_faults:
            console.out().print(f"{model.spec} is whole")
    if faults:
        raise SammixError(" ".join(faults))


@app.command("path")
def path(name: _Name) -> None:
    """Print the folder of a model."""
    from sammix_core import model_store

    console.out().print(str(model_store.resolve(name).path))


class ExportFormat(StrEnum):
    """What a model can be written as."""

    MONAI_BUNDLE = "monai-bundle"


@app.command("export")
def export(
    name: _Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write, which must not exist yet.")],
    format: Annotated[ExportFormat, typer.Option(help="What to write.")] = ExportFormat.MONAI_BUNDLE,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Write a model in a form that others run without SAMMix: a MONAI bundle, which segments from given boxes."""
    from sammix_core import model_store
    from sammix_core.monai_bundle.export import export_bundle

    model = model_store.resolve(name)
    folder = export_bundle(model, output)
    if not quiet:
        console.out().print(f"{model.spec} is in {folder} as a MONAI bundle; docs/README.md in it says how to run it")


@app.command("activate")
def activate(
    name: Annotated[str, typer.Argument(metavar="NAME", help='A model with its version: "my-liver/1.0.0".')],
) -> None:
    """Use this version from now on, wherever its target or its own name is meant; old versions stay."""
    from sammix_core import model_store

    model = model_store.activate(name)
    console.out().print(f"{model.spec} is used for {model.manifest.target} from now on")


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
