"""Workers on this computer: a process each, replaced when it dies. No port is opened.

See docs/decisions/batch-workers.md for why this is neither `ProcessPoolExecutor` nor Ray.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from sammix_core.batch.job import Event, Finished, Hello, Job, Lost
from sammix_core.batch.pool import MOST_FAILED_STARTS, PoolFailed, check_hello
from sammix_core.batch.settings import SegmentationSettings
from sammix_core.batch.worker import Loader, StudyWorker
from sammix_core.errors import silent_libraries

_VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
_SECONDS_TO_END = 5.0


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker's process needs to begin.

    Attributes:
        settings: How studies are segmented.
        load: Loads the model.
        threads: Processor threads a worker.
        scratch: Where workers put temporary files.
        gpus: One entry of CUDA_VISIBLE_DEVICES a worker; empty for the CPU.
    """

    settings: SegmentationSettings
    load: Loader
    threads: int
    scratch: Path | None = None
    gpus: tuple[str, ...] = ()


class _Process:
    """One worker's process and the line to it."""

    def __init__(self, setup: WorkerSetup, number: int) -> None:
        # Spawn: a fork would copy the locks of the driver's threads, and CUDA cannot be used after one.
        context = multiprocessing.get_context("spawn")
        self.line, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, setup, number), name=f"sammix-batch-{number}", daemon=True
        )
        self.ready = False
        self.job: Job | None = None
        with _ctrl_c_for_us_alone():
            self.process.start()
        theirs.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.join(_SECONDS_TO_END)
        self.line.close()

    @property
    def how_it_ended(self) -> str:
        self.process.join(_SECONDS_TO_END)
        code = self.process.exitcode
        if code is not None and code < 0:
            try:
                return f"killed by {signal.Signals(-code).name}"
            except ValueError:
                return f"killed by signal {-code}"
        return f"ended with exit code {code}"


class LocalPool:
    """Workers in processes on this computer.

    Args:
        setup: What each worker needs.
        size: How many.
        model_hash: See `check_hello`.
    """

    def __init__(self, setup: WorkerSetup, size: int, model_hash: str) -> None:
        self._setup = setup
        self._model_hash = model_hash
        self._failed_starts = 0
        self._processes = [_Process(setup, number) for number in range(size)]

    @property
    def idle(self) -> int:
        """See `WorkerPool`."""
        return sum(1 for worker in self._processes if worker.ready and worker.job is None)

    @property
    def size(self) -> int:
        """See `WorkerPool`."""
        return len(self._processes)

    @property
    def pids(self) -> list[int]:
        """The processes' numbers."""
        return [worker.process.pid for worker in self._processes if worker.process.pid is not None]

    def submit(self, job: Job) -> None:
        """See `WorkerPool`."""
        worker = next(worker for worker in self._processes if worker.ready and worker.job is None)
        worker.job = job
        with suppress(OSError):  # it has just died; `wait` says so
            worker.line.send(job)

    def wait(self, seconds: float) -> list[Event]:
        """See `WorkerPool`."""
        ends = [end for worker in self._processes for end in (worker.line, worker.process.sentinel)]
        happened = set(wait(ends, seconds))
        events: list[Event] = []
        for number, worker in enumerate(self._processes):
            if happened & {worker.line, worker.process.sentinel}:
                events += self._news(number, worker)
        return events

    def end(self, job: Job) -> None:
        """See `WorkerPool`."""
        for worker in self._processes:
            if worker.job is job:
                worker.process.kill()

    def close(self) -> None:
        """See `WorkerPool`."""
        for worker in self._processes:
            worker.process.kill()
        for worker in self._processes:
            worker.kill()

    def _news(self, number: int, worker: _Process) -> Iterator[Event]:
        """What one worker has said, or that it is gone; a new one then takes its place."""
        try:
            if not worker.line.poll():
                if worker.process.is_alive():
                    return
                raise EOFError
            message = worker.line.recv()
        except (EOFError, OSError):
            yield from self._replaced(number, worker)
            return
        if isinstance(message, Hello):
            check_hello(message, self._model_hash, "A worker")
            worker.ready = True
            self._failed_starts = 0
        elif worker.job is not None:
            yield Finished(worker.job, message)
            worker.job = None

    def _replaced(self, number: int, worker: _Process) -> Iterator[Event]:
        reason = worker.how_it_ended
        worker.kill()
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                raise PoolFailed(
                    f"The workers end while they load the model ({reason}); is there enough memory for "
                    f"{self.size} of them? --workers sets how many."
                )
        self._processes[number] = _Process(self._setup, number)
        if worker.job is not None:
            yield Lost(worker.job, reason)


@contextmanager
def _ctrl_c_for_us_alone() -> Iterator[None]:
    """Processes started in the block never get the terminal's Ctrl-C: the driver ends them in its own time."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    # The mask is inherited. Ours comes after the block, so nothing is lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(line: Connection, setup: WorkerSetup, number: int) -> None:
    """The whole life of a worker's process: load, then one job after the other until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems where the mask is not inherited
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    # Both before torch is imported
    os.environ["OMP_NUM_THREADS"] = str(setup.threads)
    if setup.gpus:
        os.environ[_VISIBLE_GPUS] = setup.gpus[number % len(setup.gpus)]
    with silent_libraries():
        worker = StudyWorker(setup.settings, setup.load, setup.threads, setup.scratch)
        hello = worker.prepare()
        try:
            line.send(hello)
            while not hello.sentence:
                line.send(worker.work(line.recv()))
        except (EOFError, OSError):
            sys.exit()  # the driver has closed the line


def _end_with_the_driver() -> None:
    """Ends this process when the driver is gone, in the middle of a study too, so that nothing keeps a GPU."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)
