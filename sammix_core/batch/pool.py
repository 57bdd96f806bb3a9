"""What the driver needs of workers, wherever they run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from sammix_core.batch.job import Event, Hello, Job
from sammix_core.errors import SammixError
from sammix_core.version import __version__

# So many workers in a row that end before their model is loaded are no accident.
MOST_FAILED_STARTS = 3


class PoolFailed(SammixError):
    """No worker can be started; the sentence says why."""


class WorkerPool(Protocol):
    """Workers that replace themselves. The driver hands each one job at a time."""

    @property
    def idle(self) -> int:
        """Workers that are ready for a job."""
        ...

    @property
    def size(self) -> int:
        """Workers when all are there."""
        ...

    def submit(self, job: Job) -> None:
        """Hands a job to an idle worker."""
        ...

    def wait(self, seconds: float) -> Iterable[Event]:
        """Waits until something happens, and returns what has.

        Args:
            seconds: The longest wait.

        Raises:
            PoolFailed: No worker can be started.
        """
        ...

    def end(self, job: Job) -> None:
        """Ends the worker of a job that takes too long; `wait` then reports the job as lost."""
        ...

    def close(self) -> None:
        """Ends all workers at once."""
        ...


def check_hello(hello: Hello, model_hash: str, where: str) -> None:
    """Refuses a worker that would make other masks than the rest.

    Args:
        hello: What the worker said.
        model_hash: The driver's.
        where: Which worker, for the sentence: "A worker".

    Raises:
        PoolFailed: It cannot work, or has another version or model.
    """
    if hello.sentence:
        raise PoolFailed(hello.sentence)
    if hello.version != __version__:
        raise PoolFailed(f"{where} has SAMMix {hello.version}, this computer {__version__}; install the same version.")
    if hello.model_hash != model_hash:
        raise PoolFailed(f"{where} has another model of that name than this computer; install the same one.")
