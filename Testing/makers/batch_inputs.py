"""Eight small studies for a batch, and how a test runs one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import batch_models
from dicom_files import write_series
from image_files import truncate, write_with_itk
from synthetic_ct import synthetic_ct

from sammix_core.batch.discovery import FindOptions, StudyFinder
from sammix_core.batch.driver import Rules, Summary, Watch, run_batch
from sammix_core.batch.folder import BatchFolder
from sammix_core.batch.job import Event, Finished, Job, Lost
from sammix_core.batch.ledger import Entry, Ledger
from sammix_core.batch.local_pool import LocalPool, WorkerSetup
from sammix_core.batch.pool import WorkerPool
from sammix_core.batch.settings import SegmentationSettings
from sammix_core.batch.study import Study, key_of_series
from sammix_core.batch.worker import StudyWorker
from sammix_core.progress import Interrupts, Progress

SETTINGS = SegmentationSettings(device="cpu")
NOTHING = Lost(Job(Study("", "", "", "", Path()), ""), "")  # what a worker reports in the middle of a study
UID = "1.2.826.0.1.3680043.9.{}"
# What the headers of the DICOM studies say of their patient, and how their files are named
IDENTIFIERS = {
    "PatientName": "Zzyzx^Quirin",
    "PatientID": "MRN-55501234",
    "AccessionNumber": "ACC-7770042",
    "PatientBirthDate": "19370104",
    "StudyDate": "20190827",
    "SeriesDescription": "Abdomen Zzyzx portal",
    "ReferringPhysicianName": "Quackenbush^Ida",
    "InstitutionName": "St Elsewhere",
    "StudyInstanceUID": UID.format("99"),
}


def write_ct(path: Path, seed: int = 0, order: int = 0) -> Path:
    """Writes a small CT whose first voxel is an order for `batch_models.MarkedSegmenter`."""
    array = synthetic_ct((6, 72, 88), seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_with_itk(path, batch_models.with_order(array, order) if order else array, (3.0, 3.0, 6.0))


def write_dicom(folder: Path, number: int, **tags: object) -> str:
    """Writes a DICOM series of an identifiable patient into a folder with a name; returns the study's name."""
    uid = UID.format(number)
    paths = write_series(
        folder / "Zzyzx_Quirin" / f"series{number}", synthetic_ct((6, 36, 44)), uid=uid, **{**IDENTIFIERS, **tags}
    )
    for slice_number, path in enumerate(paths):
        path.rename(path.with_name(f"Zzyzx_MRN-55501234_{slice_number}.dcm"))
    return f"dicom-{key_of_series(uid)}"


def write_eight(folder: Path) -> None:
    """Two DICOM series and six files: one cut short, one that ends its worker once."""
    write_ct(folder / "alpha.nii.gz", 1)
    write_ct(folder / "beta.nrrd", 2)
    write_ct(folder / "deep" / "alpha.nii.gz", 3)
    write_ct(folder / "gamma.mha", 4)
    write_ct(folder / "kills.nii.gz", 5, batch_models.DIES_ONCE)
    truncate(write_ct(folder / "broken.nii.gz", 6))
    write_dicom(folder / "dicom", 1)
    write_dicom(folder / "dicom", 2)


class PoolHere:
    """One worker in this very process: what a batch does around its workers is tested in no time.

    Attributes:
        jobs: All jobs so far.
        script: What `wait` reports of a job instead of doing it; None to do it, `NOTHING` while it goes on.
        ended: Jobs whose worker was ended.
    """

    size = 1

    def __init__(self, settings: SegmentationSettings, scratch: Path) -> None:
        # Here, so that a driver in a process of its own starts without torch.
        from fake_network import a_fake_model

        from sammix_core.segmentation.segmenter import Segmenter

        self._worker = StudyWorker(settings, lambda settings: Segmenter(a_fake_model()), 1, scratch)
        assert not self._worker.prepare().sentence
        self._job: Job | None = None
        self.jobs: list[Job] = []
        self.script: Callable[[Job], Event | None] = lambda job: None
        self.ended: list[Job] = []

    @property
    def idle(self) -> int:
        return int(self._job is None)

    def submit(self, job: Job) -> None:
        self._job = job
        self.jobs.append(job)

    def wait(self, seconds: float) -> list[Event]:
        job = self._job
        if job is None:
            return []
        if job in self.ended:
            self._job = None
            return [Lost(job, "killed by SIGKILL")]
        event = self.script(job)
        if event is None:
            event = Finished(job, self._worker.work(job))
        if event is NOTHING:
            return []
        self._job = None
        return [event]

    def end(self, job: Job) -> None:
        self.ended.append(job)

    def close(self) -> None:
        self._job = None


@dataclass
class Harness:
    """A batch's folder, and runs in it that need no network.

    Attributes:
        folder: The batch's folder.
        said: What the runs have said.
        steps: Studies through and studies due, after each study.
        workers: How many processes; 0 for one worker in this process.
        settings: Those of the last run.
        pools: The workers of the runs.
        script: See `PoolHere`.
        on_step: Called after each study.
        interrupts: Entered by a test that sends signals.
    """

    folder: BatchFolder
    workers: int = 0
    settings: SegmentationSettings = SETTINGS
    said: list[str] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    pools: list[Any] = field(default_factory=list)
    script: Callable[[Job], Event | None] = lambda job: None
    on_step: Callable[[Progress], None] = lambda progress: None
    interrupts: Interrupts = field(default_factory=Interrupts)

    def find(self, inputs: Sequence[Path | str], keep_identifiers: bool = False) -> list[Study]:
        """The studies in inputs."""
        finder = StudyFinder(FindOptions(self.folder.path, keep_identifiers=keep_identifiers))
        for given in inputs:
            finder.add(str(given))
        return finder.studies

    def run(
        self, inputs: Sequence[Path | str], settings: SegmentationSettings = SETTINGS, rules: Rules | None = None
    ) -> Summary:
        """Runs a batch over inputs."""
        rules = Rules() if rules is None else rules
        self.settings = settings
        studies = self.find(inputs, rules.keep_identifiers)
        return run_batch(self.folder, studies, settings, rules, self.start, self.watch())

    def start(self, studies: int) -> WorkerPool:
        """Starts workers."""
        if not self.workers:
            self.pools.append(PoolHere(self.settings, self.folder.scratch))
            self.pools[-1].script = self.script
            return self.pools[-1]
        setup = WorkerSetup(self.settings, batch_models.load, 1, self.folder.scratch)
        self.pools.append(LocalPool(setup, min(self.workers, studies), self.settings.model_hash()))
        return self.pools[-1]

    def watch(self) -> Watch:
        """Keeps what the run says."""
        return Watch(self._step, self.said.append, self.interrupts)

    def entries(self) -> dict[str, Entry]:
        """What the ledger says, by the names of studies."""
        ledger = Ledger(self.folder.ledger)
        try:
            return {entry.name: entry for entry in ledger.entries()}
        finally:
            ledger.close()

    def _step(self, progress: Progress) -> None:
        self.steps.append((progress.done, progress.total))
        self.on_step(progress)
