"""The driver of a batch: decides what is due, hands it to workers, and keeps ledger and outputs in step."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

from sammix_core.batch.folder import BatchFolder
from sammix_core.batch.job import MASK, Finished, Job, Lost, Outcome, Verdict
from sammix_core.batch.ledger import Done, Entry, Ledger, State
from sammix_core.batch.pool import WorkerPool
from sammix_core.batch.settings import SegmentationSettings
from sammix_core.batch.study import Study
from sammix_core.batch.table import write_tables
from sammix_core.errors import WARNING, Cancelled, InputError
from sammix_core.progress import Interrupts, ProgressCallback, ProgressReporter

_log = logging.getLogger(__name__)

# A study whose worker ended so often is to blame itself.
MOST_ATTEMPTS = 3

_SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True)
class Rules:
    """Which studies run again, and after how long one counts as failed.

    Attributes:
        retry_failed: Whether studies that failed are tried again.
        force: Whether studies that are done are segmented again.
        keep_identifiers: Whether the ledger keeps those of DICOM studies.
        seconds_per_study: A worker that takes longer is ended.
    """

    retry_failed: bool = False
    force: bool = False
    keep_identifiers: bool = False
    seconds_per_study: float = 3600.0


@dataclass(frozen=True)
class Watch:
    """How a run is watched and stopped.

    Attributes:
        progress: Called after each study.
        say: Called with a sentence for what a person should know now, such as a study that failed.
        interrupts: Deferred while a study's outputs get their names.
    """

    progress: ProgressCallback
    say: Callable[[str], None]
    interrupts: Interrupts


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        studies: How many the run was about.
        counts: How many of them are in each state.
        segmented: How many this run segmented.
        seconds: How long that took.
    """

    studies: int
    counts: Counter[State]
    segmented: int
    seconds: float


PoolMaker = Callable[[int], WorkerPool]


def run_batch(
    folder: BatchFolder,
    studies: Sequence[Study],
    settings: SegmentationSettings,
    rules: Rules,
    make_pool: PoolMaker,
    watch: Watch,
) -> Summary:
    """Segments what is due of the studies, and writes the tables of all that the folder's ledger knows.

    Args:
        folder: The batch's folder; made where it is absent.
        studies: At least one.
        settings: How they are segmented, pinned.
        rules: What is segmented again.
        make_pool: Starts workers for a number of studies; not called where nothing is due.
        watch: How the run is watched and stopped.

    Raises:
        InputError: The folder is in use or cannot be written (a full disk), or the ledger is of another version. What
            is done stays, and the next run goes on from there.
        PoolFailed: No worker can be started.
        Cancelled: The user stopped; likewise.
    """
    with folder.locked(), closing(Ledger(folder.ledger)) as ledger:
        if (drive := folder.network_drive()) is not None:
            watch.say(
                f"{WARNING} {folder.path} is on a network drive ({drive}); the ledger is safe on a local disk alone."
            )
        if not rules.keep_identifiers:
            ledger.forget_identifiers()
        ledger.add(studies)
        run = _Run(folder, ledger, settings, rules, watch)
        try:
            with _tables_at_the_end(folder, ledger):
                return run.work(studies, make_pool)
        except KeyboardInterrupt as error:
            raise Cancelled(f"Stopped as asked; {run.so_far(studies)}") from error
        except InputError as error:
            raise InputError(f"{error} So far {run.so_far(studies)}") from error


@contextmanager
def _tables_at_the_end(folder: BatchFolder, ledger: Ledger) -> Iterator[None]:
    """Writes the tables however the block ends; where an error ends it, theirs is no further one."""
    try:
        yield
    except BaseException:
        with suppress(InputError):
            ledger.put_back_running()
            write_tables(folder, ledger.entries())
        raise
    write_tables(folder, ledger.entries())


class _Run:
    def __init__(
        self, folder: BatchFolder, ledger: Ledger, settings: SegmentationSettings, rules: Rules, watch: Watch
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._settings = settings
        self._rules = rules
        self._watch = watch
        self._model_hash = settings.model_hash()
        self._attempts: Counter[str] = Counter()
        self._began: dict[str, float] = {}
        self._running: dict[str, Job] = {}
        self._overdue: set[str] = set()
        self._segmented = 0

    def so_far(self, studies: Sequence[Study]) -> str:
        """How far the run has come, for the sentence that ends it early."""
        counts = self._counts(studies)
        return f"{counts[State.DONE]} of {len(studies)} studies are done, and the same command goes on from there."

    def work(self, studies: Sequence[Study], make_pool: PoolMaker) -> Summary:
        """Segments what is due."""
        started = time.monotonic()
        queue = deque(self._due(studies))
        self._ledger.wait(job.study.key for job in queue)
        if queue:
            with closing(make_pool(len(queue))) as pool:
                self._work_through(queue, pool)
        return Summary(len(studies), self._counts(studies), self._segmented, time.monotonic() - started)

    def _counts(self, studies: Sequence[Study]) -> Counter[State]:
        keys = {study.key for study in studies}
        return Counter(entry.state for entry in self._ledger.entries() if entry.key in keys)

    def _due(self, studies: Sequence[Study]) -> Iterator[Job]:
        """The jobs of what is to be segmented; what is known to fail fails here."""
        entries = {entry.key: entry for entry in self._ledger.entries()}
        for study in studies:
            entry = entries[study.key]
            if study.fault:
                self._ledger.fail(study.key, study.fault)
                self._watch.say(f"{_named(study, entry.name)}: {study.fault}")
                continue
            job = self._job_of(study, entry)
            if job is not None:
                yield job

    def _job_of(self, study: Study, entry: Entry) -> Job | None:
        same_model = entry.model_hash == self._model_hash
        mask = self._folder.relative(MASK, entry.name, self._settings.mask_suffix)
        is_there = entry.mask == mask and (self._folder.path / mask).is_file()
        if same_model and is_there and not self._rules.force:
            if entry.state is State.DONE and entry.stamp == study.stamp:
                return None
            # Files that were only touched are read, but not segmented.
            return Job(study, entry.name, known_hash=entry.input_hash)
        failed_before = entry.state is State.FAILED and same_model and entry.stamp == study.stamp
        if failed_before and not (self._rules.retry_failed or self._rules.force):
            return None
        return Job(study, entry.name)

    def _work_through(self, queue: deque[Job], pool: WorkerPool) -> None:
        stage = ProgressReporter("Segmenting studies", len(queue), self._watch.progress, None)
        while queue or self._running:
            while queue and pool.idle:
                self._start(queue.popleft(), pool)
            for event in pool.wait(_SECONDS_BETWEEN_LOOKS):
                if self._handle(event, queue):
                    stage.step()
            self._end_overdue(pool)
            if self._watch.interrupts.asked():
                raise KeyboardInterrupt

    def _start(self, job: Job, pool: WorkerPool) -> None:
        self._ledger.start(job.study.key)
        self._running[job.study.key] = job
        self._began[job.study.key] = time.monotonic()
        self._attempts[job.study.key] += 1
        pool.submit(job)

    def _handle(self, event: Finished | Lost, queue: deque[Job]) -> bool:
        """Books what has happened; returns whether a study is through."""
        job = event.job
        self._running.pop(job.study.key, None)
        if isinstance(event, Lost):
            if self._attempts[job.study.key] < MOST_ATTEMPTS:
                self._ledger.wait([job.study.key])
                queue.append(job)
                return False
            sentence = f"Its worker ended {MOST_ATTEMPTS} times ({event.reason}); is there enough memory?"
            if job.study.key in self._overdue:
                sentence = f"It took longer than {self._rules.seconds_per_study / 60:.3g} minutes."
            self._fail(job, Outcome(Verdict.REFUSED, sentence=sentence))
            return True
        self._book(job, event.outcome)
        return True

    def _book(self, job: Job, outcome: Outcome) -> None:
        key, stamp = job.study.key, job.study.stamp
        if outcome.verdict is Verdict.NO_ROOM:
            raise InputError(outcome.sentence)
        if outcome.verdict is Verdict.REFUSED:
            self._fail(job, outcome)
            return
        if outcome.verdict is Verdict.UNCHANGED or outcome.figures is None:
            self._ledger.still_done(key, stamp)
            return
        suffix = self._settings.mask_suffix
        with self._watch.interrupts.held():
            self._folder.write(outcome.files, job.name, suffix)
            mask = self._folder.relative(MASK, job.name, suffix)
            self._ledger.finish(key, Done(stamp, outcome.input_hash, self._model_hash, mask, outcome.figures))
        self._segmented += 1

    def _fail(self, job: Job, outcome: Outcome) -> None:
        self._ledger.fail(job.study.key, outcome.sentence, job.study.stamp, outcome.input_hash, self._model_hash)
        self._watch.say(f"{_named(job.study, job.name)}: {outcome.sentence}")
        if outcome.detail:
            _log.debug("%s: %s", _named(job.study, job.name), outcome.detail)

    def _end_overdue(self, pool: WorkerPool) -> None:
        now = time.monotonic()
        for key, job in self._running.items():
            if now - self._began[key] > self._rules.seconds_per_study:
                self._attempts[key] = MOST_ATTEMPTS  # it would take as long again
                self._began[key] = now
                self._overdue.add(key)
                pool.end(job)


def _named(study: Study, name: str) -> str:
    """What people read of a study."""
    return f"{name} (in {study.source})" if study.is_dicom else study.source
