"""How many workers this computer carries."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sammix_core.errors import InputError

# A worker on the CPU with 512 x 512 x 300 takes 2.3 GB (benchmarks/memory.jsonl).
WORKER_BYTES = 3 * 1024**3


@dataclass(frozen=True)
class Capacity:
    """Workers and what each may use.

    Attributes:
        workers: How many.
        threads: Processor threads of each.
        gpus: The GPU of each, as CUDA_VISIBLE_DEVICES names it; empty for the CPU.
    """

    workers: int
    threads: int
    gpus: tuple[str, ...] = ()


def capacity_here(device: str, studies: int, workers: int | None, threads: int | None) -> Capacity:
    """Plans workers for this computer: one a GPU, or as many as cores and free memory carry.

    Args:
        device: "auto", "cpu" or "cuda".
        studies: How many there are to segment; more workers than that have nothing to do.
        workers: As the user wants it, or None.
        threads: As the user wants it, or None.

    Raises:
        InputError: "cuda" where there is none.
    """
    gpus = gpus_here(device)
    cores = cores_here()
    if workers is None:
        carried = len(gpus) or min(cores // (threads or 1), _free_bytes() // WORKER_BYTES)
        workers = max(1, min(carried, studies))
    return Capacity(workers, threads or max(1, cores // workers), tuple(gpus))


def cores_here() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus_here(device: str) -> list[str]:
    """The GPUs that torch can use, as CUDA_VISIBLE_DEVICES names them; none for the CPU.

    Raises:
        InputError: "cuda" where there is none, or an unknown device.
    """
    if device == "cpu":
        return []
    from sammix_core.engines.device import choose_device

    if choose_device(device).type != "cuda":
        return []
    import torch

    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    count = torch.cuda.device_count()
    return named[:count] if len(named) >= count else [str(number) for number in range(count)]


def check_count(option: str, count: int | None) -> None:
    """Refuses a number of workers or threads below 1.

    Raises:
        InputError: It is below 1.
    """
    if count is not None and count < 1:
        raise InputError(f"{option} must be 1 or more.")


def _free_bytes() -> int:
    import psutil

    return psutil.virtual_memory().available
