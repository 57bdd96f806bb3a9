"""A worker: keeps the model loaded and turns one study after the other into files. It writes nothing of its own.

Runs in a process of its own, see `local_pool` and `ray_pool`. What it makes goes back to the driver, which alone writes
into the batch's folder; so a worker may be killed at any moment.
"""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sammix_core.batch.job import MASK, PREVIEW, REPORT, Hello, Job, Outcome, Verdict
from sammix_core.batch.settings import SegmentationSettings
from sammix_core.batch.study import Study, content_hash, join_files
from sammix_core.errors import InputError
from sammix_core.version import __version__

if TYPE_CHECKING:
    from sammix_core.segmentation.result import SegmentationResult
    from sammix_core.segmentation.segmenter import Segmenter
    from sammix_core.volume.volume import Volume

_TEMPORARY = "sammix-batch-"

Loader = Callable[[SegmentationSettings], "Segmenter"]


class StudyWorker:
    """Segments studies with one model.

    Args:
        settings: How.
        load: Loads the model; may be pickled by its name.
        threads: Processor threads.
        scratch: Where temporary files may lie; None for the system's folder.
    """

    def __init__(self, settings: SegmentationSettings, load: Loader, threads: int, scratch: Path | None = None) -> None:
        self._settings = settings
        self._load = load
        self._threads = threads
        self._scratch = scratch
        self._segmenter: Segmenter | None = None

    def prepare(self) -> Hello:
        """Loads the model."""
        try:
            _set_threads(self._threads)
            self._segmenter = self._load(self._settings)
            return Hello(__version__, self._settings.model_hash())
        except InputError as error:
            return Hello(__version__, sentence=str(error))
        except MemoryError:
            return Hello(__version__, sentence="There is not enough memory for the model of a worker.")
        except Exception as error:
            return Hello(__version__, sentence=f"A worker cannot load the model ({_place(error)}).")

    def work(self, job: Job) -> Outcome:
        """Does a job; never raises.

        Args:
            job: The study.
        """
        found_hash = ""
        try:
            with self._on_disk(job) as here:
                found_hash = content_hash(here.study.files)
                if found_hash == job.known_hash:
                    return Outcome(Verdict.UNCHANGED, found_hash)
                return self._segment(here, found_hash)
        except InputError as error:
            return Outcome(Verdict.REFUSED, found_hash, _without_file_names(str(error), job))
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            return Outcome(Verdict.REFUSED, found_hash, f"Its files cannot be read: {reason}.")
        except MemoryError:
            return Outcome(Verdict.REFUSED, found_hash, "There is not enough memory for this volume.")
        except Exception as error:
            # The message of such an error may quote a header, so only its kind and place are shown.
            sentence = f"Unexpected error ({_place(error)})."
            detail = "".join([*traceback.format_tb(error.__traceback__), type(error).__name__])
            return Outcome(Verdict.REFUSED, found_hash, sentence, detail=detail)

    @contextmanager
    def _on_disk(self, job: Job) -> Iterator[Job]:
        """The job with its files on this computer: a study of a DICOMweb service is fetched, and deleted afterwards."""
        study = job.study
        if not study.address:
            yield job
            return
        from sammix_core.pacs.address import DicomwebAddress
        from sammix_core.pacs.fetch import fetch_series
        from sammix_core.pacs.service import DicomwebService, ServerUnavailable

        address = DicomwebAddress.parse(study.address)
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=self._scratch, ignore_cleanup_errors=True) as parent:
            try:
                folder = fetch_series(DicomwebService(address, study.ca_file), address, Path(parent)).folder
            except InputError as error:
                # The whole sentence says where the images that arrived are, but here they go.
                why = error.__context__
                raise InputError(str(why if isinstance(why, ServerUnavailable) else error)) from error
            files = join_files(sorted(folder.iterdir()), folder)
            yield replace(job, study=replace(study, folder=folder, joined_files=files))

    def _segment(self, job: Job, found_hash: str) -> Outcome:
        from sammix_core.batch.figures import Figures
        from sammix_core.segmentation.seed import set_seed
        from sammix_core.segmentation.slice_sampling import DEFAULT_SAMPLING, EVERY_SLICE
        from sammix_core.volume_io.dicom_seg import is_dicom_output
        from sammix_core.volume_io.dicom_source import DicomSource

        assert self._segmenter is not None  # `prepare` comes first
        started = time.monotonic()
        volume = read_study(job.study, job.name, self._settings.values_are_hu)
        if is_dicom_output(self._settings.mask_suffix):
            DicomSource.of(volume)  # refuses before minutes of work what no DICOM result can refer to
        read_seconds = time.monotonic() - started
        set_seed(self._settings.seed)
        sampling = EVERY_SLICE if self._settings.every_slice else DEFAULT_SAMPLING
        result = self._segmenter.segment_volume(volume, sampling=sampling)
        try:
            files = self._encoded(job, volume, result, {"read": read_seconds})
        except (InputError, OSError) as error:
            reason = str(error).rpartition(": ")[2] if isinstance(error, InputError) else f"{error.strerror}.".lower()
            return Outcome(Verdict.NO_ROOM, found_hash, f"A worker cannot write its temporary files: {reason}")
        figures = Figures.of(result, volume, time.monotonic() - started)
        return Outcome(Verdict.SEGMENTED, found_hash, files=files, figures=figures)

    def _encoded(
        self, job: Job, volume: Volume, result: SegmentationResult, seconds: dict[str, float]
    ) -> dict[str, bytes]:
        """The output files' content."""
        from sammix_core.evaluation import report
        from sammix_core.evaluation.preview.strip import encode_strip, render_strip

        # Image writers take a path alone.
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=self._scratch) as folder:
            mask = Path(folder, f"mask{self._settings.mask_suffix}")
            _write_mask(mask, volume, result)
            mask_bytes = mask.read_bytes()
        document = report.build_report(result, volume, job.name, self._settings.seed, seconds)
        return {
            MASK: mask_bytes,
            REPORT: report.to_text(document).encode(),
            PREVIEW: encode_strip(render_strip(volume, result)),
        }


def _write_mask(path: Path, volume: Volume, result: SegmentationResult) -> None:
    from sammix_core.volume_io import segment_of, write_labelmap
    from sammix_core.volume_io.dicom_seg import is_dicom_output

    if not is_dicom_output(path):
        write_labelmap(result.mask, volume, path, segment_of(result.target))
        return
    from sammix_core.evaluation.dicom_results import DicomResults
    from sammix_core.volume_io.dicom_source import DicomSource

    DicomResults.of(volume, DicomSource.of(volume), result).write_seg(path)


def read_study(study: Study, name: str, values_are_hu: bool) -> Volume:
    """Reads the volume of a study.

    Args:
        study: The study.
        name: What sentences call it where it is DICOM.
        values_are_hu: As `read_volume` has it.

    Raises:
        InputError: It cannot be segmented.
        OSError: A file cannot be read.
    """
    import numpy as np

    if not study.is_dicom:
        from sammix_core.volume_io.reading import read_volume

        return read_volume(study.files[0], values_are_hu=values_are_hu)
    from sammix_core.volume_io.dicom import read_dicom_files
    from sammix_core.volume_io.hounsfield import to_volume

    with np.errstate(all="ignore"):
        return to_volume(read_dicom_files(study.files, study.series_uid, study.phase, name), name, values_are_hu)


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _without_file_names(sentence: str, job: Job) -> str:
    """A sentence that begins with the file of an image, as one about the DICOM series; it may be named by a patient."""
    if job.study.is_dicom:
        for path in job.study.files:
            for named in (str(path), path.name):
                if sentence.startswith(f"{named} "):
                    return f"An image of {job.name} {sentence.removeprefix(named).lstrip()}"
    return sentence


def _place(error: Exception) -> str:
    """Kind and place of an error: "ValueError in sam/decoding.py, line 10"."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    parts = Path(frames[-1].filename).parts[-2:]
    return f"{type(error).__name__} in {'/'.join(parts)}, line {frames[-1].lineno}"
