"""`sammix segment`: a liver mask from a CT, and the further outputs that the options name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sammix_core.cli import console
from sammix_core.cli.click_options import ClickOptions
from sammix_core.cli.dicomweb_input import CaFile, is_address, local_ct
from sammix_core.cli.lesion_table import print_lesions
from sammix_core.cli.options import Device, DeviceName, ModelName, Precision, Quiet, ValuesAreHu, option_groups
from sammix_core.cli.outputs import Output, check_outputs, write_together
from sammix_core.cli.progress import duration, shown_progress
from sammix_core.cli.refine_options import ChosenRefiner, RefineOptions
from sammix_core.cli.segment_lesions import LesionOptions
from sammix_core.errors import WARNING, InputError
from sammix_core.model_store.organs import DEFAULT_MODEL
from sammix_core.progress import Interrupts
from sammix_core.refinement.folder import LESION

if TYPE_CHECKING:
    from sammix_core.boxes import BoxTrack
    from sammix_core.evaluation.dicom_results import DicomResults
    from sammix_core.progress import CancelCheck, ProgressCallback
    from sammix_core.segmentation.result import SegmentationResult
    from sammix_core.segmentation.segmenter import Segmenter
    from sammix_core.segmentation.slice_sampling import SliceSampling
    from sammix_core.volume.volume import Volume
    from sammix_core.volume_io.dicom_source import DicomSource

_JSON = (".json",)
_PNG = (".png",)
_FIRST_TO_REVIEW = 5


@dataclass(frozen=True)
class SegmentFiles:
    """The files that `sammix segment` reads and writes."""

    input: Annotated[
        Path, typer.Argument(help="A CT: NIfTI, NRRD, MetaImage, a DICOM file or folder, or dicomweb://...")
    ]
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The mask to write: .nii.gz, .nii, .nrrd, .mha, .seg.nrrd, or of a DICOM CT .dcm."
        ),
    ]
    series: Annotated[
        str | None, typer.Option(help="Which series of a DICOM folder with several; without it they are listed.")
    ] = None
    values_are_hu: ValuesAreHu = False
    boxes_in: Annotated[
        Path | None, typer.Option(help="Boxes and clicks to segment from, as edited (sammix-boxes/2).")
    ] = None
    boxes_out: Annotated[Path | None, typer.Option(help="Where to write the boxes and clicks (sammix-boxes/2).")] = None
    preview: Annotated[Path | None, typer.Option(help="Where to write a contact sheet, as PNG.")] = None
    report: Annotated[Path | None, typer.Option(help="Where to write a report (sammix-report/1).")] = None
    uncertainty: Annotated[
        Path | None, typer.Option(help="Where to write how far the three masks are apart, in percent a voxel.")
    ] = None
    sr: Annotated[
        Path | None, typer.Option(help="Where to write measurements as a DICOM report, beside a DICOM mask (.dcm).")
    ] = None
    ca_file: CaFile = None

    def check(self, lesion_report: Path | None) -> None:
        """Refuses inputs that are missing and outputs that cannot be written.

        Args:
            lesion_report: A further JSON output.

        Raises:
            InputError: Such a file.
        """
        from sammix_core.volume_io import LABELMAP_SUFFIXES, MAP_SUFFIXES, check_map_output
        from sammix_core.volume_io.dicom_seg import DICOM_SUFFIX, is_dicom_output

        remote = is_address(self.input)
        if not remote and not self.input.exists():
            raise InputError(f"{self.input} does not exist.")
        optional = (
            ("--boxes-out", self.boxes_out, _JSON),
            ("--preview", self.preview, _PNG),
            ("--report", self.report, _JSON),
            ("--uncertainty", self.uncertainty, (*MAP_SUFFIXES, DICOM_SUFFIX)),
            ("--sr", self.sr, (DICOM_SUFFIX,)),
            ("--lesion-report", lesion_report, _JSON),
        )
        outputs = [Output("--output", self.output, (*LABELMAP_SUFFIXES, DICOM_SUFFIX))]
        outputs += [Output(option, path, suffixes) for option, path, suffixes in optional if path is not None]
        inputs = [] if remote else [self.input]
        check_outputs(outputs, inputs if self.boxes_in is None else [*inputs, self.boxes_in])
        if self.uncertainty is not None and not is_dicom_output(self.uncertainty):
            check_map_output(self.uncertainty)
        self._check_dicom()

    def _check_dicom(self) -> None:
        """Refuses DICOM outputs that this input cannot have, as far as the names tell."""
        from sammix_core.volume_io.dicom_seg import import_highdicom, is_dicom_output
        from sammix_core.volume_io.dicom_source import NO_DICOM
        from sammix_core.volume_io.reading import is_no_dicom

        if self.sr is not None and not is_dicom_output(self.output):
            raise InputError("A DICOM report refers to a DICOM mask: --sr goes with an --output that ends with .dcm.")
        if self.has_dicom_outputs:
            if is_no_dicom(self.input):
                raise InputError(NO_DICOM)
            import_highdicom()

    @property
    def has_dicom_outputs(self) -> bool:
        """Whether anything is written as DICOM."""
        from sammix_core.volume_io.dicom_seg import is_dicom_output

        return any(path is not None and is_dicom_output(path) for path in (self.output, self.uncertainty, self.sr))

    @contextmanager
    def fetched(self, progress: ProgressCallback, cancel: CancelCheck) -> Iterator[SegmentFiles]:
        """Yields the same files with the input on disk; see `local_ct`."""
        with local_ct(self.input, self.series, self.values_are_hu, self.ca_file, progress, cancel) as path:
            yield replace(self, input=path)


@dataclass(frozen=True)
class ModelOptions:
    """The model, and how it is run."""

    guidance: Annotated[
        str | None, typer.Option(help="How boxes are found: embedding_cam or resnet38; the model's own way by default.")
    ] = None
    model: ModelName = DEFAULT_MODEL
    device: DeviceName = Device.AUTO
    precision: Annotated[
        Precision, typer.Option(help="The image encoder's; float32 is the slowest and the most exact.")
    ] = Precision.DEFAULT
    every_slice: Annotated[
        bool, typer.Option("--every-slice", help="Encode all slices, those far from the organ and thin ones too.")
    ] = False
    keep_embeddings: Annotated[
        bool, typer.Option("--keep-embeddings", help="Keep what the encoder made on disk; see sammix cache.")
    ] = False

    @property
    def sampling(self) -> SliceSampling:
        """Which slices are encoded."""
        from sammix_core.segmentation.slice_sampling import DEFAULT_SAMPLING, EVERY_SLICE

        return EVERY_SLICE if self.every_slice else DEFAULT_SAMPLING


@option_groups
def segment(
    files: SegmentFiles,
    network: ModelOptions,
    points: ClickOptions,
    lesions: LesionOptions,
    refinement: RefineOptions,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Same input, seed and machine: same mask.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Segment the liver in a CT, or what the model was made for."""
    lesions.check()
    points.check()
    with Interrupts() as interrupts:
        started = time.monotonic()
        seconds: dict[str, float] = {}
        files.check(lesions.lesion_report)
        refiner = _refiner(network, lesions, refinement)
        with shown_progress(quiet=quiet) as show, files.fetched(show, interrupts.asked) as files:
            boxes = _read_boxes(files.boxes_in)
            with _timed(seconds, "read"):
                volume = _read_volume(files, boxes, show)
                clicks = points.clicks_on(volume)
                source = _dicom_source(files, volume)
            with _timed(seconds, "load"):
                # With --refine N the chosen refiner takes the place of the model's own, or of none for lesions.
                default_refiner = refinement.refine is None or (refinement.refine > 0 and lesions.wanted)
                segmenter = _load(network, seed, default_refiner, show)
            if refiner is not None and not lesions.wanted:
                segmenter.refiner = refiner.organ(segmenter)
            result = segmenter.segment_volume(
                volume,
                progress=show,
                cancel=interrupts.asked,
                boxes=boxes,
                uncertainty=files.uncertainty is not None,
                sampling=network.sampling,
                keep_embeddings=network.keep_embeddings,
                clicks=clicks,
            )
            if refiner is not None:
                result.notes.append(refiner.note)
            lesion_result = None
            if lesions.wanted:
                lesion_result = lesions.find(volume, result, segmenter, refiner, show, interrupts.asked)
            seconds["total"] = time.monotonic() - started
            writers = _writers(files, volume, result, seed, seconds)
            if lesion_result is not None:
                writers[0] = (files.output, partial(lesion_result.write, volume))
                if lesions.lesion_report is not None:
                    writers.append((lesions.lesion_report, lesion_result.write_report))
            if source is not None:
                from sammix_core.evaluation.dicom_results import DicomResults

                found = None if lesion_result is None else (lesion_result.labelmap, lesion_result.table)
                by_person = boxes is not None or bool(clicks or lesions.clicks)
                writers = _in_dicom(writers, files, result, DicomResults.of(volume, source, result, by_person, found))
            write_together(writers, interrupts)
        if not quiet:
            _print_summary(files, volume, result, time.monotonic() - started)
            if lesion_result is not None:
                print_lesions(lesion_result.table)


def _refiner(network: ModelOptions, lesions: LesionOptions, refinement: RefineOptions) -> ChosenRefiner | None:
    """The chosen refiner, after a check of model and device.

    Raises:
        InputError: There is no such refiner, model or device, or they do not fit each other.
    """
    from sammix_core import model_store

    model = model_store.resolve(network.model)
    # Without stages there is no refiner to find, and the model's target does not matter.
    target = model.manifest.target if refinement.refine and not lesions.wanted else LESION
    refiner = refinement.chosen(target, network.device.value)
    if refiner is not None and model.manifest.segments:
        refiner.check_fits(model)
    if network.device is Device.CUDA:
        # torch takes seconds to load, but is needed anyway if this does not raise.
        from sammix_core.engines.device import choose_device

        choose_device(network.device)
    return refiner


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - started


def _read_boxes(path: Path | None) -> BoxTrack | None:
    from sammix_core.boxes import BoxTrack

    return None if path is None else BoxTrack.read(path)


def _read_volume(files: SegmentFiles, boxes: BoxTrack | None, show: ProgressCallback) -> Volume:
    from sammix_core.progress import Progress
    from sammix_core.volume_io import read_volume

    show(Progress("Reading", 0, 1, None))
    volume = read_volume(files.input, series=files.series, values_are_hu=files.values_are_hu)
    if boxes is not None:
        boxes.check_fits(volume)
    return volume


def _dicom_source(files: SegmentFiles, volume: Volume) -> DicomSource | None:
    """The series that results in DICOM belong to; None where none is written.

    Raises:
        InputError: The input is no DICOM, or its headers have lost what such results need.
    """
    from sammix_core.volume_io.dicom_seg import check_source
    from sammix_core.volume_io.dicom_source import DicomSource

    if not files.has_dicom_outputs:
        return None
    source = DicomSource.of(volume)
    check_source(source)
    return source


def _load(network: ModelOptions, seed: int, default_refiner: bool, show: ProgressCallback) -> Segmenter:
    from sammix_core.progress import Progress
    from sammix_core.segmentation.seed import set_seed
    from sammix_core.segmentation.segmenter import Segmenter

    show(Progress("Loading the model", 0, 1, None))
    set_seed(seed)
    return Segmenter.load(
        network.model,
        device=network.device.value,
        guidance=network.guidance,
        precision=network.precision.value,
        refined=default_refiner,
    )


def _writers(
    files: SegmentFiles, volume: Volume, result: SegmentationResult, seed: int, seconds: Mapping[str, float]
) -> list[tuple[Path, Callable[[Path], object]]]:
    from sammix_core.evaluation import preview, report
    from sammix_core.volume_io import segment_of, write_labelmap, write_percent_map

    segment = segment_of(result.target)
    writers: list[tuple[Path, Callable[[Path], object]]] = [
        (files.output, lambda path: write_labelmap(result.mask, volume, path, segment))
    ]
    if files.boxes_out is not None:
        writers.append((files.boxes_out, result.boxes.write))
    if files.preview is not None:
        writers.append(
            (files.preview, lambda path: preview.write_preview(preview.render_preview(volume, result), path))
        )
    if files.report is not None:

        def write_report(path: Path) -> None:
            report.write_report(report.build_report(result, volume, str(files.input), seed, seconds), path)

        writers.append((files.report, write_report))
    uncertainty = result.uncertainty
    if files.uncertainty is not None and uncertainty is not None:
        writers.append((files.uncertainty, lambda path: write_percent_map(uncertainty, volume, path)))
    return writers


def _in_dicom(
    writers: list[tuple[Path, Callable[[Path], object]]],
    files: SegmentFiles,
    result: SegmentationResult,
    dicom: DicomResults,
) -> list[tuple[Path, Callable[[Path], object]]]:
    """The writers, with those of DICOM files in the place of the labelmap's and the map's, and the report's."""
    from sammix_core.volume_io.dicom_seg import is_dicom_output

    in_dicom: dict[Path, Callable[[Path], object]] = {}
    if is_dicom_output(files.output):
        in_dicom[files.output] = dicom.write_seg
    uncertainty = result.uncertainty
    if files.uncertainty is not None and uncertainty is not None and is_dicom_output(files.uncertainty):
        in_dicom[files.uncertainty] = partial(dicom.write_map, uncertainty)
    written = [(path, in_dicom.get(path, write)) for path, write in writers]
    return written if files.sr is None else [*written, (files.sr, dicom.write_report)]


def _print_summary(files: SegmentFiles, volume: Volume, result: SegmentationResult, seconds: float) -> None:
    from sammix_core.evaluation import report
    from sammix_core.segmentation.review import most_uncertain

    with_mask = report.slices_with_mask(result)
    volume_ml = volume.mask_volume_ml(result.mask)
    name = report.base_name(files.input)
    screen = console.out()
    target = result.target
    headline = f"{target[:1].upper()}{target[1:]} segmented in {name}"
    screen.print(headline if with_mask else f"No {target} was found in {name}; the mask is empty.")
    notes = report.merged_notes(result.notes, volume.notes)
    for note in notes:
        if note.startswith(WARNING):
            screen.print(note, style="bold")
    volume_text = f"unknown ({report.SPACING_UNKNOWN})" if volume_ml is None else f"{volume_ml:,.0f} mL"
    first = [str(review.slice_index) for review in most_uncertain(result.reviews)[:_FIRST_TO_REVIEW]]
    written = [("mask", files.output), ("boxes", files.boxes_out)]
    written += [("preview", files.preview), ("report", files.report), ("uncertainty", files.uncertainty)]
    written.append(("measurements", files.sr))
    console.print_fields(
        [
            ("slices", str(len(result.slices))),
            (f"with {target}", str(with_mask)),
            (f"{target} volume", volume_text),
            *([("review first", f"slices {', '.join(first)}")] if first else []),
            ("time", duration(seconds)),
            ("model", f"{result.model}, guidance {result.guidance}, on {result.device}"),
            *((label, str(path)) for label, path in written if path is not None),
        ]
    )
    # The first lines of the summary hold the warnings and, with an empty mask, that nothing was found.
    notes = [note for note in notes if not note.startswith((WARNING, f"No {target} "))]
    if notes:
        screen.print("Notes")
        console.print_notes(notes)
    screen.print(report.RESEARCH_ONLY, style="dim")
