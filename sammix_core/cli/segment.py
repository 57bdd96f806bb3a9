"""`sammix segment`: from a CT to a liver mask, and what else is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sammix_core.cli import console
from sammix_core.cli.lesion_table import print_lesions
from sammix_core.cli.outputs import Output, check_outputs, write_together
from sammix_core.cli.progress import duration, shown_progress
from sammix_core.cli.refine_options import RefineOptions
from sammix_core.cli.segment_lesions import LesionOptions, Target
from sammix_core.errors import InputError
from sammix_core.progress import Interrupts
from sammix_core.refinement.folder import LESION

if TYPE_CHECKING:
    from sammix_core.boxes import BoxTrack
    from sammix_core.progress import ProgressCallback
    from sammix_core.segmentation.result import SegmentationResult
    from sammix_core.segmentation.segmenter import Segmenter
    from sammix_core.segmentation.slice_sampling import SliceSampling
    from sammix_core.volume.volume import Volume

_JSON = (".json",)
_PNG = (".png",)


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Precision(StrEnum):
    """How exactly the image encoder computes."""

    DEFAULT = "default"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


@dataclass(frozen=True)
class _Request:
    """What the user asked for."""

    input: Path
    series: str | None
    output: Path
    boxes_in: Path | None
    boxes_out: Path | None
    preview: Path | None
    report: Path | None
    uncertainty: Path | None
    guidance: str | None
    model: str
    device: Device
    precision: Precision
    every_slice: bool
    keep_embeddings: bool
    seed: int
    quiet: bool
    lesions: LesionOptions | None
    stages: int | None
    refiner: str | None

    def check(self) -> None:
        """Refuses what cannot work, before anything is loaded."""
        from sammix_core import model_store
        from sammix_core.volume_io import LABELMAP_SUFFIXES, MAP_SUFFIXES, check_map_output

        if not self.input.exists():
            raise InputError(f"{self.input} does not exist.")
        outputs = [Output("--output", self.output, LABELMAP_SUFFIXES)]
        optional = (("--boxes-out", self.boxes_out, _JSON), ("--preview", self.preview, _PNG))
        further = (("--report", self.report, _JSON), ("--uncertainty", self.uncertainty, MAP_SUFFIXES))
        table = (("--lesion-report", None if self.lesions is None else self.lesions.report, _JSON),)
        for option, path, suffixes in (*optional, *further, *table):
            if path is not None:
                outputs.append(Output(option, path, suffixes))
        check_outputs(outputs, [path for path in (self.input, self.boxes_in) if path is not None])
        if self.uncertainty is not None:
            check_map_output(self.uncertainty)
        model, refining = model_store.resolve(self.model), self.refining()
        if refining is not None and model.manifest.segments:
            refining.check_fits(model)
        if self.device is Device.CUDA:
            # torch takes seconds to load, and is needed anyway when this does not raise.
            from sammix_core.engines.device import choose_device

            choose_device(self.device)

    def refining(self) -> RefineOptions | None:
        """What is to be refined, and by what.

        Raises:
            InputError: There is no such refiner.
        """
        from sammix_core import model_store

        # Without stages there is no refiner to find, and the model's target does not matter.
        own = bool(self.stages) and not self.lesions
        target = model_store.resolve(self.model).manifest.target if own else LESION
        return RefineOptions.of(self.stages or 0, self.refiner, target, self.device.value)


def segment(
    input: Annotated[Path, typer.Argument(help="A CT: NIfTI, NRRD, MetaImage, a DICOM file or folder.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The mask to write: .nii.gz, .nii, .nrrd, .mha or .seg.nrrd.")
    ],
    series: Annotated[
        str | None, typer.Option(help="Which series of a DICOM folder with several; without it they are listed.")
    ] = None,
    boxes_in: Annotated[Path | None, typer.Option(help="Boxes to segment from, as edited (sammix-boxes/1).")] = None,
    boxes_out: Annotated[Path | None, typer.Option(help="Where to write the boxes (sammix-boxes/1).")] = None,
    preview: Annotated[Path | None, typer.Option(help="Where to write a contact sheet, as PNG.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where to write a report (sammix-report/1).")] = None,
    uncertainty: Annotated[
        Path | None, typer.Option(help="Where to write how far the three masks are apart, in percent a voxel.")
    ] = None,
    guidance: Annotated[
        str | None, typer.Option(help="How boxes are found: embedding_cam or resnet38; the model's own way by default.")
    ] = None,
    model: Annotated[str, typer.Option(help='A model: "liver", "liver/1.0.0" or its folder.')] = "liver",
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.AUTO,
    precision: Annotated[
        Precision, typer.Option(help="The image encoder's; float32 is the slowest and the most exact.")
    ] = Precision.DEFAULT,
    every_slice: Annotated[
        bool, typer.Option("--every-slice", help="Encode all slices, those far from the organ and thin ones too.")
    ] = False,
    keep_embeddings: Annotated[
        bool, typer.Option("--keep-embeddings", help="Keep what the encoder made on disk; see sammix cache.")
    ] = False,
    target: Annotated[
        Target,
        typer.Option(help="organ: what the model was made for. lesion: lesions in the liver too (experimental)."),
    ] = Target.ORGAN,
    click: Annotated[list[str] | None, typer.Option(help="A voxel I,J,K in a lesion; may be given again.")] = None,
    candidates: Annotated[
        bool, typer.Option("--candidates", help="All that may be a lesion, to be looked at (experimental).")
    ] = False,
    lesion_report: Annotated[Path | None, typer.Option(help="Where to write the lesions' table.")] = None,
    refine: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=20,
            help="Stages in which the target's masks are refined; by default one of the liver's, and 0 for none.",
        ),
    ] = None,
    refiner: Annotated[str | None, typer.Option(help="A refiner of your own: name or folder.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Same input, seed and machine: same mask.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Segment the liver in a CT, or what the model was made for."""
    request = _Request(
        *(input, series, output, boxes_in, boxes_out, preview, report, uncertainty),
        *(guidance, model, device, precision, every_slice, keep_embeddings, seed, quiet),
        LesionOptions.of(target, click, candidates, lesion_report),
        *(refine, refiner),
    )
    with Interrupts() as interrupts:
        _run(request, interrupts)


def _run(request: _Request, interrupts: Interrupts) -> None:
    started = time.monotonic()
    seconds: dict[str, float] = {}
    request.check()
    with shown_progress(quiet=request.quiet) as show:
        boxes = _read_boxes(request.boxes_in)
        with _timed(seconds, "read"):
            volume = _read_volume(request, boxes, show)
        with _timed(seconds, "load"):
            segmenter = _load(request, show)
        asked = request.uncertainty is not None
        wish, refining = request.lesions, request.refining()
        if wish is None and refining is not None:
            segmenter.refine = refining.organ(segmenter)
        result = segmenter.segment_volume(
            volume,
            progress=show,
            cancel=interrupts.asked,
            boxes=boxes,
            uncertainty=asked,
            sampling=_sparing(request),
            keep_embeddings=request.keep_embeddings,
        )
        if refining is not None:
            result.notes.append(refining.note)
        found = None
        if wish is not None:
            found = wish.found_in(volume, result, segmenter, refining, show, interrupts.asked)
        seconds["total"] = time.monotonic() - started
        writers = _writers(request, volume, result, seconds)
        if wish is not None and found is not None:
            writers[0] = (request.output, partial(found.write, volume))
            if wish.report is not None:
                writers.append((wish.report, found.write_report))
        write_together(writers, interrupts)
    if not request.quiet:
        _print_summary(request, volume, result, time.monotonic() - started)
        if found is not None:
            print_lesions(found.table)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - started


def _read_boxes(path: Path | None) -> BoxTrack | None:
    from sammix_core.boxes import BoxTrack

    return None if path is None else BoxTrack.read(path)


def _read_volume(request: _Request, boxes: BoxTrack | None, show: ProgressCallback) -> Volume:
    from sammix_core.progress import Progress
    from sammix_core.volume_io import read_volume

    show(Progress("Reading", 0, 1, None))
    volume = read_volume(request.input, series=request.series)
    if boxes is not None:
        boxes.check_fits(volume)
    return volume


def _load(request: _Request, show: ProgressCallback) -> Segmenter:
    from sammix_core.progress import Progress
    from sammix_core.segmentation.segmenter import Segmenter

    show(Progress("Loading the model", 0, 1, None))
    _set_seed(request.seed)
    return Segmenter.load(
        request.model,
        device=request.device.value,
        guidance=request.guidance,
        precision=request.precision.value,
        # Asked for by number, masks are refined as was asked, and lesions instead of the liver.
        refined=request.stages is None or (request.stages > 0 and request.lesions is not None),
    )


def _sparing(request: _Request) -> SliceSampling:
    from sammix_core.segmentation.slice_sampling import DEFAULT_SAMPLING, EVERY_SLICE

    return EVERY_SLICE if request.every_slice else DEFAULT_SAMPLING


def _set_seed(seed: int) -> None:
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _writers(
    request: _Request, volume: Volume, result: SegmentationResult, seconds: Mapping[str, float]
) -> list[tuple[Path, Callable[[Path], object]]]:
    from sammix_core.evaluation import preview, report
    from sammix_core.volume_io import segment_of, write_labelmap, write_percent_map

    segment = segment_of(result.target)
    writers: list[tuple[Path, Callable[[Path], object]]] = [
        (request.output, lambda path: write_labelmap(result.mask, volume, path, segment))
    ]
    if request.boxes_out is not None:
        writers.append((request.boxes_out, result.boxes.write))
    if request.preview is not None:
        picture = preview.render_preview(volume, result)
        writers.append((request.preview, lambda path: preview.write_preview(picture, path)))
    if request.report is not None:
        document = report.build_report(result, volume, str(request.input), request.seed, seconds)
        writers.append((request.report, lambda path: report.write_report(document, path)))
    uncertainty = result.uncertainty
    if request.uncertainty is not None and uncertainty is not None:
        writers.append((request.uncertainty, lambda path: write_percent_map(uncertainty, volume, path)))
    return writers


def _print_summary(request: _Request, volume: Volume, result: SegmentationResult, seconds: float) -> None:
    from sammix_core.evaluation import report

    with_mask = report.slices_with_mask(result)
    volume_ml = volume.mask_volume_ml(result.mask)
    name = report.base_name(request.input)
    screen = console.out()
    target = result.target
    done = f"{target[:1].upper()}{target[1:]} segmented in {name}"
    screen.print(done if with_mask else f"No {target} was found in {name}; the mask is empty.")
    known = f"unknown ({report.SPACING_UNKNOWN})" if volume_ml is None else f"{volume_ml:,.0f} mL"
    written = [("mask", request.output), ("boxes", request.boxes_out)]
    written += [("preview", request.preview), ("report", request.report), ("uncertainty", request.uncertainty)]
    console.print_fields(
        [
            ("slices", str(len(result.slices))),
            (f"with {target}", str(with_mask)),
            (f"{target} volume", known),
            ("time", duration(seconds)),
            ("model", f"{result.model}, guidance {result.guidance}, on {result.device}"),
            *((label, str(path)) for label, path in written if path is not None),
        ]
    )
    notes = report.merged_notes(volume.notes, result.notes)
    if not with_mask:
        # The first line says that already.
        notes = [note for note in notes if not note.startswith(f"No {target} ")]
    if notes:
        screen.print("Notes")
        console.print_notes(notes)
    screen.print(report.RESEARCH_ONLY, style="dim")
