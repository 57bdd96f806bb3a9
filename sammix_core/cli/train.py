"""`sammix train`: trains a model by a configuration file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sammix_core.cli import console
from sammix_core.cli.options import Quiet
from sammix_core.cli.progress import shown_progress
from sammix_core.errors import Cancelled, InputError
from sammix_core.progress import Interrupts


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The settings of the training.")],
    count: Annotated[
        bool, typer.Option("--count", help="Print how many slices would be encoded, and train nothing.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model; after Ctrl-C the same command continues the training."""
    if not config.is_file():
        raise InputError(f"There is no settings file {config}.")
    if count:
        _print_counts(config)
        return
    from sammix_core.training.run import train_from_config

    try:
        # Gently: the training saves its state first; a second Ctrl-C stops it at once.
        with Interrupts(gently=True) as interrupts, shown_progress(quiet=quiet) as show:
            model = train_from_config(config, progress=show, cancel=interrupts.asked)
    except (Cancelled, KeyboardInterrupt) as error:
        raise Cancelled("Stopped as asked; the same command continues the training from here.") from error
    # Of several processes, which Fabric numbers in LOCAL_RANK, one prints.
    if not quiet and os.environ.get("LOCAL_RANK", "0") == "0":
        console.out().print(f"{model.spec} was trained; it is in {model.path}")
        metrics = model.manifest.metrics
        if isinstance(metrics, dict) and "parameters_trained" in metrics:
            trained, total = metrics["parameters_trained"], metrics["parameters"]
            console.out().print(
                f"{trained:,} of {total:,} parameters were trained ({trained / total:.1%}). Dice on held-back "
                f"{'patients' if metrics['held_back_by'] == 'patient' else 'slices of the same patient'}: "
                f"{metrics['held_back_dice']:.3f}, at step {metrics['best_step']}."
            )


def _print_counts(path: Path) -> None:
    """The slices that a supervised training encodes, case by case, and in all."""
    from sammix_core.training.case_views import count_slices
    from sammix_core.training.config import TrainingConfig

    config = TrainingConfig.read(path)
    counts = count_slices(config)
    patients: dict[str, list[str]] = {}
    for case in config.cases:
        patients.setdefault(case.patient, []).append(f"{case.name} {counts[case.name]:,}")
    for patient, cases in patients.items():
        console.out().print(f"{patient}: {', '.join(cases)}")
    console.out().print(f"{sum(counts.values()):,} slices of {len(patients)} patients would be encoded.")
