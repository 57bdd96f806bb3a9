"""`sammix finetune`: learns from corrected slices and makes a new version, with both scores side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sammix_core.cli import console
from sammix_core.cli.options import Quiet, ValuesAreHu, option_groups
from sammix_core.cli.progress import duration, shown_progress
from sammix_core.errors import Cancelled, InputError
from sammix_core.model_store.organs import DEFAULT_MODEL
from sammix_core.progress import Interrupts

if TYPE_CHECKING:
    from sammix_core.finetuning import FineTuneResult, FineTuneRun, FineTuneSettings


@dataclass(frozen=True)
class NewModelOptions:
    """The new model, and the corrections that it learns from."""

    parent: Annotated[
        str, typer.Option("--from", help='The model to begin with: "liver", "liver/2.0.0" or its folder.')
    ] = DEFAULT_MODEL
    cases: Annotated[
        list[Path] | None,
        typer.Option(
            "--cases", help="A correction set, or a folder of cases (NAME_ct… and NAME_label…); may be repeated."
        ),
    ] = None
    unlabelled: Annotated[
        list[str] | None,
        typer.Option(
            "--unlabelled",
            metavar="CT[:FIRST-LAST]",
            help="A CT without masks to learn from, too, with the first and last slice that show the structure, or a "
            "folder of CTs; may be repeated.",
        ),
    ] = None
    output: Annotated[
        str | None, typer.Option("--output", "-o", help='Name of the new model: "my-liver" or "my-liver/1.2.0".')
    ] = None
    target: Annotated[
        str | None, typer.Option(help='A structure that the model does not know, such as "right kidney".')
    ] = None


@dataclass(frozen=True)
class CaseOptions:
    """The cases to check on, and how labelmaps are read."""

    check: Annotated[Path | None, typer.Option(help="A folder of cases to check on, before and after.")] = None
    label: Annotated[
        str | None,
        typer.Option(help="The structure's value in labelmaps, or its segment's name; without it all values above 0."),
    ] = None
    sparse: Annotated[
        bool, typer.Option("--sparse", help="Slices of a labelmap without the label are unlabelled, not free of it.")
    ] = False
    values_are_hu: ValuesAreHu = False


@dataclass(frozen=True)
class TrainingOptions:
    """How the new model is trained."""

    lora: Annotated[bool, typer.Option("--lora", help="Train LoRA on the image encoder too; slow without a GPU.")] = (
        False
    )
    rehearse: Annotated[
        bool, typer.Option("--rehearse/--no-rehearse", help="Learn slices of the training patients again beside yours.")
    ] = True
    views: Annotated[int, typer.Option(min=0, max=16, help="Varied views of each slice that is learnt from.")] = 6
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Same slices, seed and machine: same model.")] = 0
    threads: Annotated[int, typer.Option(min=1, max=256, help="Processor threads.")] = 2


@option_groups
def finetune(
    new: NewModelOptions,
    cases: CaseOptions,
    training: TrainingOptions,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with a run that was stopped: its folder; no other option then.")
    ] = None,
    activate: Annotated[
        bool, typer.Option("--activate", help="Use the new version from now on, unless it is worse.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Learn from corrected slices; the new version is offered, and used once it is activated."""
    from sammix_core.finetuning import FineTuneRun
    from sammix_core.finetuning.process import work

    if resume is not None:
        if new.cases or new.unlabelled or new.output or new.target:
            raise InputError(
                "--resume continues a run with its own settings; leave --cases, --unlabelled, --output and --target "
                "out."
            )
        run = FineTuneRun.open(resume)
    else:
        run = FineTuneRun.create(_settings(new, cases, training))
    try:
        # Gently: the run saves its state first; a second Ctrl-C stops it at once.
        with Interrupts(gently=True) as interrupts, shown_progress(quiet=quiet) as show:
            result = work(run, progress=show, cancel=interrupts.asked)
    except (Cancelled, KeyboardInterrupt) as error:
        raise Cancelled(f"Stopped as asked; continue with: sammix finetune --resume {run.folder}") from error
    activated = activate and _activate(result)
    if not quiet:
        _print(run, result, activated)


def _settings(new: NewModelOptions, cases: CaseOptions, training: TrainingOptions) -> FineTuneSettings:
    from sammix_core.finetuning import FineTuneSettings

    if not new.cases or not new.output:
        raise InputError("Name what to learn from with --cases and the new model with --output.")
    return FineTuneSettings(
        name=new.output,
        sources=tuple(new.cases),
        parent=new.parent,
        target=new.target,
        check=cases.check,
        rehearse=training.rehearse,
        lora=training.lora,
        label=cases.label,
        sparse=cases.sparse,
        values_are_hu=cases.values_are_hu,
        seed=training.seed,
        views=training.views,
        threads=training.threads,
        unlabelled=tuple(new.unlabelled or ()),
    )


def _activate(result: FineTuneResult) -> bool:
    from sammix_core import model_store

    if result.verdict == "worse":
        return False
    model_store.activate(result.model)
    return True


def _print(run: FineTuneRun, result: FineTuneResult, activated: bool) -> None:
    from sammix_core.evaluation.report import RESEARCH_ONLY

    screen = console.out()
    screen.print(result.sentence)
    rows = [("Dice", "before", "after"), *((label, _number(old), _number(new)) for label, old, new in result.table())]
    width = max(len(row[0]) for row in rows) + 2
    for label, before, after in rows:
        screen.print(f"  {label:<{width}}{before:>8}{after:>8}")
    console.print_fields(
        [
            ("learnt from", f"{result.train_slices} slices; {result.held_back_slices} were held back"),
            ("time", duration(result.seconds)),
            ("model", f"{result.model}, made of {result.parent}"),
            ("folder", str(result.folder)),
            ("run", str(run.folder)),
        ]
    )
    console.print_notes(result.notes)
    if activated:
        screen.print(f"{result.model} is used from now on.")
    elif result.verdict == "worse":
        screen.print(f"{result.model} was not activated; the model that was used before stays in use.")
    else:
        screen.print(f"It is not used yet. To use it: sammix models activate {result.model}")
    screen.print(RESEARCH_ONLY, style="dim")


def _number(dice: float | None) -> str:
    return "-" if dice is None else f"{dice:.3f}"
