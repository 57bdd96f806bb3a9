"""How many workers a computer carries, and what happens when none can start."""

from __future__ import annotations

import multiprocessing
from types import SimpleNamespace

import pytest
from batch_inputs import SETTINGS

from sammix_core.batch import capacity, local_pool, ray_pool
from sammix_core.batch.capacity import Capacity, capacity_here
from sammix_core.batch.job import Job
from sammix_core.batch.local_pool import LocalPool, WorkerSetup
from sammix_core.batch.pool import PoolFailed
from sammix_core.errors import InputError

GB = 1024**3


@pytest.fixture
def computer(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A computer with eight cores, 20 GB of free memory and no GPU, all of which a test may change."""
    here = SimpleNamespace(cores=8, free=20 * GB, gpus=0)
    monkeypatch.setattr(capacity, "cores_here", lambda: here.cores)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=here.free))
    monkeypatch.setattr("torch.cuda.is_available", lambda: here.gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: here.gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return here


def test_without_a_gpu_cores_memory_and_studies_are_the_limits(computer: SimpleNamespace) -> None:
    assert capacity_here("cpu", 100, None, None) == Capacity(6, 1)
    assert capacity_here("auto", 100, None, 4) == Capacity(2, 4)
    assert capacity_here("cpu", 2, None, None) == Capacity(2, 4)
    computer.free = GB
    assert capacity_here("cpu", 100, None, None) == Capacity(1, 8)
    assert capacity_here("cpu", 100, 3, 2) == Capacity(3, 2)


def test_each_gpu_gets_a_worker_and_its_share_of_the_cores(
    computer: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="There is no CUDA device that torch can use here"):
        capacity_here("cuda", 5, None, None)
    computer.gpus = 2
    assert capacity_here("auto", 100, None, None) == Capacity(2, 4, ("0", "1"))
    assert capacity_here("cpu", 100, None, None).gpus == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert capacity_here("cuda", 100, None, None).gpus == ("5", "7")


def test_a_cluster_carries_what_each_node_carries() -> None:
    small, large = {"CPU": 4.0, "memory": 64.0 * GB}, {"CPU": 32.0, "memory": 20.0 * GB, "GPU": 2.0}
    assert [ray_pool._carried(node, 1, False) for node in (small, large, {})] == [4, 6, 0]
    assert [ray_pool._carried(node, 4, True) for node in (small, large)] == [0, 2]
    assert (ray_pool._threads([small, large], False), ray_pool._threads([small, large], True)) == (1, 4)
    assert ray_pool._threads([{"CPU": 4.0, "GPU": 2.0}], True) == 2


class DeadProcess:
    """A worker that ended before it said anything."""

    how_it_ended = "killed by SIGKILL"

    def __init__(self, setup: WorkerSetup, number: int) -> None:
        self.line, theirs = multiprocessing.Pipe()
        theirs.close()
        sentinel, self._open = multiprocessing.Pipe()
        self.process = SimpleNamespace(sentinel=sentinel, is_alive=lambda: False, kill=lambda: None, pid=None)
        self.ready, self.job = False, None

    def kill(self) -> None:
        self.line.close()


def test_workers_that_end_while_they_load_are_not_started_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_pool, "_Process", DeadProcess)
    pool = LocalPool(WorkerSetup(SETTINGS, lambda settings: None, 1), 1, "")
    assert pool.wait(0) == []
    assert pool.wait(0) == []
    with pytest.raises(PoolFailed, match=r"killed by SIGKILL\); is there enough memory for 1 of them\? --workers sets"):
        pool.wait(0)
    pool.close()


def test_a_worker_that_dies_with_a_job_is_replaced_and_the_job_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_pool, "_Process", DeadProcess)
    pool = LocalPool(WorkerSetup(SETTINGS, lambda settings: None, 1), 1, "")
    job = Job(None, "ct")  # type: ignore[arg-type]
    pool._processes[0].ready, pool._processes[0].job = True, job
    (lost,) = pool.wait(0)
    assert (lost.job, lost.reason) == (job, "killed by SIGKILL")
    assert (pool.idle, pool._processes[0].job) == (0, None)
    pool.close()
