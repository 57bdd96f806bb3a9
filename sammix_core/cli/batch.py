"""`sammix batch`: many studies, on this computer or on a Ray cluster."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sammix_core.cli import console
from sammix_core.cli.dicomweb_input import CaFile
from sammix_core.cli.options import Device, DeviceName, ModelName, Precision, Quiet, option_groups
from sammix_core.cli.pacs import StudySearch
from sammix_core.cli.progress import duration, shown_progress
from sammix_core.errors import InputError
from sammix_core.model_store.organs import DEFAULT_MODEL
from sammix_core.progress import Interrupts

if TYPE_CHECKING:
    from sammix_core.batch.driver import PoolMaker, Summary
    from sammix_core.batch.folder import BatchFolder
    from sammix_core.batch.settings import SegmentationSettings
    from sammix_core.batch.study import Study
    from sammix_core.progress import ProgressCallback


@dataclass(frozen=True)
class BatchFiles:
    """What `sammix batch` reads and writes."""

    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUTS...",
            help="CTs: files, folders that are searched, a .csv with a column path (and name, series), or "
            "dicomweb://host/path with --date, --patient-id or --accession.",
        ),
    ]
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The batch's folder: ledger, masks, reports, table. On a local disk.")
    ]
    pattern: Annotated[
        str, typer.Option(help='Which NIfTI, NRRD and MetaImage files of folders are meant, such as "*_ct.nii.gz".')
    ] = "*"
    mask_format: Annotated[
        str,
        typer.Option("--format", help="The masks' format: .nii.gz, .nii, .nrrd, .mha, .seg.nrrd, or of DICOM .dcm."),
    ] = ".nii.gz"
    values_are_hu: Annotated[
        bool, typer.Option("--values-are-hu", help="Take the values as Hounsfield units, whatever they look like.")
    ] = False
    keep_identifiers: Annotated[
        bool,
        typer.Option("--keep-identifiers", help="Keep name, ID, date and folder of DICOM studies in ledger and table."),
    ] = False


@dataclass(frozen=True)
class BatchModelOptions:
    """The model, and how it is run; as `sammix segment` has it."""

    model: ModelName = DEFAULT_MODEL
    device: DeviceName = Device.AUTO
    precision: Annotated[
        Precision, typer.Option(help="The image encoder's; float32 is the slowest and the most exact.")
    ] = Precision.DEFAULT
    guidance: Annotated[
        str | None, typer.Option(help="How boxes are found: embedding_cam or resnet38; the model's own way by default.")
    ] = None
    every_slice: Annotated[
        bool, typer.Option("--every-slice", help="Encode all slices, those far from the organ and thin ones too.")
    ] = False
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Same input, seed and machine: same mask.")] = 0


@dataclass(frozen=True)
class AgainOptions:
    """What is segmented again. By default a run goes on where the last one ended."""

    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try studies again that failed.")] = False
    force: Annotated[bool, typer.Option("--force", help="Segment all again.")] = False
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.01, help="A study that takes longer fails, and its worker is replaced.")
    ] = 60.0


@dataclass(frozen=True)
class WorkerOptions:
    """Where and how widely it runs."""

    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Workers; by default one a GPU, or as many as cores and free memory carry."),
    ] = None
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads of each worker.")] = None
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster, HOST:PORT, in a network that you trust; without it nothing opens a port."),
    ] = None

    def check(self, device: Device) -> None:
        """Refuses what cannot work here, before anything is written.

        Args:
            device: Where to compute.

        Raises:
            InputError: Ray or a GPU is wanted and not there.
        """
        if self.address is not None and importlib.util.find_spec("ray") is None:
            raise InputError("--address needs Ray; install it with: pip install 'sammix[batch]'.")
        if self.address is None and device is Device.CUDA:
            from sammix_core.engines.device import choose_device

            choose_device(device)


@option_groups
def batch(
    files: BatchFiles,
    network: BatchModelOptions,
    again: AgainOptions,
    workers: WorkerOptions,
    search: StudySearch,
    ca_file: CaFile = None,
    quiet: Quiet = False,
) -> None:
    """Segment many CTs: a folder, a list or files, on this computer or on a Ray cluster."""
    from sammix_core.batch.driver import Rules, Watch, run_batch
    from sammix_core.batch.folder import BatchFolder

    settings = _settings(files, network)
    workers.check(network.device)
    folder = BatchFolder(files.output.expanduser())
    with Interrupts() as interrupts:
        with shown_progress(quiet=quiet) as show:
            studies = _studies(files, search, ca_file, show, quiet)
            summary = run_batch(
                folder,
                studies,
                settings,
                Rules(again.retry_failed, again.force, files.keep_identifiers, 60 * again.minutes),
                _pool_maker(settings, folder, workers, quiet),
                Watch(show, console.say_error, interrupts),
            )
        if not quiet:
            _print_summary(summary, folder)
    _say_failures(summary, folder)


def _settings(files: BatchFiles, network: BatchModelOptions) -> SegmentationSettings:
    """The settings with the model's version, after a check of format and model.

    Raises:
        InputError: There is no such format or model.
    """
    from sammix_core.batch.settings import SegmentationSettings
    from sammix_core.volume_io.dicom_seg import DICOM_SUFFIX
    from sammix_core.volume_io.labelmap_writing import LABELMAP_SUFFIXES

    suffix, known = f".{files.mask_format.lower().lstrip('.')}", (*LABELMAP_SUFFIXES, DICOM_SUFFIX)
    if suffix not in known:
        raise InputError(f"There is no format {files.mask_format!r}; choose one of {', '.join(known)}.")
    return SegmentationSettings(
        model=network.model,
        device=network.device.value,
        guidance=network.guidance,
        precision=network.precision.value,
        every_slice=network.every_slice,
        values_are_hu=files.values_are_hu,
        seed=network.seed,
        mask_suffix=suffix,
    ).pinned()


def _studies(
    files: BatchFiles, search: StudySearch, ca_file: Path | None, show: ProgressCallback, quiet: bool
) -> list[Study]:
    from sammix_core.batch.discovery import FindOptions, StudyFinder
    from sammix_core.progress import ProgressReporter

    options = FindOptions(
        files.output.expanduser(),
        files.pattern,
        files.keep_identifiers,
        search.filters(),
        search.limit,
        None if ca_file is None else ca_file.absolute(),
    )
    finder = StudyFinder(options)
    stage = ProgressReporter("Searching the inputs", len(files.inputs), show, None)
    for given in files.inputs:
        finder.add(given)
        stage.step()
    if not quiet:
        for note in finder.notes:
            console.err().print(note)
    return finder.studies


def _pool_maker(settings: SegmentationSettings, folder: BatchFolder, options: WorkerOptions, quiet: bool) -> PoolMaker:
    """Starts the workers: processes here, or actors of a Ray cluster."""
    from sammix_core.batch.capacity import capacity_here
    from sammix_core.batch.local_pool import LocalPool, WorkerSetup
    from sammix_core.batch.pool import WorkerPool
    from sammix_core.batch.settings import load_segmenter

    def make(studies: int) -> WorkerPool:
        if options.address is not None:
            from sammix_core.batch.ray_pool import RayPool, RaySetup

            cluster = RaySetup(options.address, settings, load_segmenter, options.workers, options.threads)
            return RayPool(cluster, settings.model_hash(), studies)
        plan = capacity_here(settings.device, studies, options.workers, options.threads)
        if not quiet:
            workers = "1 worker" if plan.workers == 1 else f"{plan.workers} workers"
            threads = "1 thread" if plan.threads == 1 else f"{plan.threads} threads"
            where = f"{len(plan.gpus)} GPUs" if plan.gpus else "the CPU"
            console.err().print(f"{workers} with {threads} each, on {where}; {studies} to segment.")
        setup = WorkerSetup(settings, load_segmenter, plan.threads, folder.scratch.absolute(), plan.gpus)
        return LocalPool(setup, plan.workers, settings.model_hash())

    return make


def _print_summary(summary: Summary, folder: BatchFolder) -> None:
    from sammix_core.batch.ledger import State
    from sammix_core.evaluation import report

    console.print_fields(
        [
            ("studies", f"{summary.studies:,}"),
            ("done", f"{summary.counts[State.DONE]:,}, {summary.segmented:,} of them in this run"),
            ("failed", f"{summary.counts[State.FAILED]:,}"),
            ("time", duration(summary.seconds)),
            ("table", str(folder.html)),
        ]
    )
    console.out().print(report.RESEARCH_ONLY, style="dim")


def _say_failures(summary: Summary, folder: BatchFolder) -> None:
    """Ends the command with an error where studies failed, so that a script notices.

    Raises:
        InputError: Some failed.
    """
    from sammix_core.batch.ledger import State

    failed = summary.counts[State.FAILED]
    if failed:
        raise InputError(
            f"{failed} of {summary.studies} studies failed; {folder.html} says why, --retry-failed tries them again."
        )
