"""Workers on a Ray cluster: an actor each, which Ray places, and restarts when it dies.

Only `--address` comes here. Ray's workers run whatever is sent to them, so its ports belong in a network that is
trusted; docs/batch.md says how nodes are started.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sammix_core.batch.capacity import WORKER_BYTES
from sammix_core.batch.job import Event, Finished, Hello, Job, Lost
from sammix_core.batch.pool import MOST_FAILED_STARTS, PoolFailed, check_hello
from sammix_core.batch.settings import SegmentationSettings
from sammix_core.batch.worker import Loader, StudyWorker
from sammix_core.errors import InputError, silent_libraries

_log = logging.getLogger(__name__)

_NAMESPACE = "sammix-batch"
_MOST_THREADS_BESIDE_A_GPU = 4


@dataclass(frozen=True)
class RaySetup:
    """What workers on a cluster need.

    Attributes:
        address: The cluster, "HOST:PORT", or "auto" for the one that this computer is part of.
        settings: How studies are segmented.
        load: Loads the model.
        workers: How many; None for one a GPU, or as many as cores and memory of the nodes carry.
        threads: Processor threads of each; None for 1, and up to 4 beside a GPU.
    """

    address: str
    settings: SegmentationSettings
    load: Loader
    workers: int | None = None
    threads: int | None = None


class _Actor:
    """A worker on some node: a `StudyWorker` that Ray calls."""

    def __init__(self, settings: SegmentationSettings, load: Loader, threads: int) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # before torch is imported
        self._worker = StudyWorker(settings, load, threads)

    def prepare(self) -> Hello:
        with silent_libraries():
            return self._worker.prepare()

    def work(self, job: Job) -> Any:
        with silent_libraries():
            return self._worker.work(job)


class RayPool:
    """Workers on a Ray cluster.

    An actor gets a job only when it has said that it is there. Ray would also keep calls for an actor that it cannot
    place, but a study would wait there for a node that never comes back while other workers have nothing to do.

    Args:
        setup: What they need.
        model_hash: See `check_hello`.
        studies: How many there are; more workers than that have nothing to do.

    Raises:
        ImportError: Ray is not installed.
        InputError: The cluster cannot be reached, or it has no room for a worker.
    """

    def __init__(self, setup: RaySetup, model_hash: str, studies: int) -> None:
        self._ray = _connected(setup.address)
        self._model_hash = model_hash
        self._failed_starts = 0
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}  # the reference of what it will say -> the actor
        self._working: dict[Any, tuple[Any, Job]] = {}
        try:
            nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            gpus = setup.settings.device != "cpu" and any(node.get("GPU") for node in nodes)
            threads = setup.threads or _threads(nodes, gpus)
            size = setup.workers or min(sum(_carried(node, threads, gpus) for node in nodes), studies)
            if size < 1:
                raise InputError(f"The cluster at {setup.address} has no room for a worker with {threads} threads.")
            device = "cuda" if gpus else "cpu"
            options = {"num_cpus": threads, "num_gpus": int(gpus), "memory": WORKER_BYTES, "max_restarts": -1}
            actor = self._ray.remote(_Actor).options(**options, max_task_retries=0)
            settings = replace(setup.settings, device=device)
            self._actors = [actor.remote(settings, setup.load, threads) for _ in range(size)]
            for each in self._actors:
                self._start(each)
        except BaseException:
            self._ray.shutdown()
            raise

    @property
    def idle(self) -> int:
        """See `WorkerPool`."""
        return len(self._idle)

    @property
    def size(self) -> int:
        """See `WorkerPool`."""
        return len(self._actors)

    def submit(self, job: Job) -> None:
        """See `WorkerPool`."""
        actor = self._idle.pop(0)
        self._working[actor.work.remote(job)] = actor, job

    def wait(self, seconds: float) -> list[Event]:
        """See `WorkerPool`."""
        waiting = [*self._working, *self._starting]
        if not waiting:
            raise PoolFailed("The cluster has no worker left.")
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=seconds)
        if ready:
            ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        return [event for reference in ready for event in self._news(reference)]

    def end(self, job: Job) -> None:
        """See `WorkerPool`."""
        for actor, working in self._working.values():
            if working is job:
                self._ray.kill(actor, no_restart=False)

    def close(self) -> None:
        """See `WorkerPool`."""
        for actor in self._actors:
            with suppress(Exception):  # the cluster may be gone
                self._ray.kill(actor)
        self._ray.shutdown()

    def _start(self, actor: Any) -> None:
        self._starting[actor.prepare.remote()] = actor

    def _news(self, reference: Any) -> Iterator[Event]:
        if reference in self._starting:
            actor = self._starting.pop(reference)
            try:
                hello = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                _log.debug("A worker on the cluster could not start: %s", error)
                self._failed_starts += 1
                if self._failed_starts >= MOST_FAILED_STARTS * self.size:
                    kind = type(error).__name__
                    raise PoolFailed(f"The cluster's workers end while they load the model ({kind}).") from error
                self._start(actor)
                return
            check_hello(hello, self._model_hash, "A computer of the cluster")
            self._failed_starts = 0
            self._idle.append(actor)
            return
        actor, job = self._working.pop(reference)
        try:
            outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            # Ray restarts it; it says so when its model is loaded again. The message may hold a job's paths.
            self._start(actor)
            yield Lost(job, f"Ray says {type(error).__name__}")
            return
        self._idle.append(actor)
        yield Finished(job, outcome)


def _connected(address: str) -> Any:
    """Ray, connected to a cluster that is there already; its usage statistics are off.

    Raises:
        ImportError: Ray is not installed.
        InputError: There is no cluster at the address.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray would set CUDA_VISIBLE_DEVICES to nothing for workers without a GPU, and says on import that this will change.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    try:
        context = ray.init(
            address=address,
            namespace=_NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"No Ray cluster can be reached at {address}; start one with: ray start --head --include-dashboard=false."
        ) from error
    if context.dashboard_url:
        ray.shutdown()
        raise InputError(
            f"The cluster at {address} serves Ray's dashboard at {context.dashboard_url}; start it with "
            "--include-dashboard=false."
        )
    return ray


def _threads(nodes: Sequence[dict[str, float]], gpus: bool) -> int:
    """Processor threads of a worker: 1, since a worker a core gives most; beside a GPU its share of the cores."""
    if not gpus:
        return 1
    shares = [int(node.get("CPU", 1) // node["GPU"]) for node in nodes if node.get("GPU")]
    return max(1, min(_MOST_THREADS_BESIDE_A_GPU, *shares))


def _carried(node: dict[str, float], threads: int, gpus: bool) -> int:
    """Workers that a node carries."""
    carried = min(node.get("CPU", 0) // threads, node.get("memory", 0) // WORKER_BYTES)
    return int(min(carried, node.get("GPU", 0)) if gpus else carried)
