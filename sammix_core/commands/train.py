"""`sammix train`: trains a model as a file of settings says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sammix_core.commands import console
from sammix_core.commands.interrupts import Interrupts
from sammix_core.commands.progress import shown_progress
from sammix_core.errors import Cancelled, InputError


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The settings of the training.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train a model; stopped with Ctrl-C, it goes on from where it was when it is called again."""
    if not config.is_file():
        raise InputError(f"The settings {config} are not there: name a file.")
    from sammix_core.training.run import train_from_config

    try:
        # Gently: the training saves its state first, and a second Ctrl-C stops it at once.
        with Interrupts(gently=True) as interrupts, shown_progress(quiet=quiet) as show:
            model = train_from_config(config, progress=show, cancel=interrupts.asked)
    except (Cancelled, KeyboardInterrupt) as error:
        raise Cancelled("Stopped as asked; what is finished stays, and the same command goes on from there.") from error
    if not quiet:
        console.out().print(f"{model.spec} was trained; it is in {model.path}")
