"""One process or several: Lightning Fabric starts them, and training is the same code."""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning.fabric import Fabric

from sammix_core.errors import InputError
from sammix_core.progress import CancelCheck

_SEVERAL = "ddp_find_unused_parameters_true"  # in the warm-up the decoder has no part


def make_fabric(accelerator: str, devices: int, nodes: int, precision: Any) -> Fabric:
    """Makes and launches a Fabric.

    Under `fabric run` its own options count, and those of the configuration do not.

    Args:
        accelerator: "auto", "cpu" or "cuda".
        devices: Processes a machine, each with a device of its own.
        nodes: Machines.
        precision: Fabric's, or None for "bf16-mixed" on CUDA and "32-true" elsewhere.

    Raises:
        InputError: CUDA is wanted where there is none, or not as many devices.
    """
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise InputError("There is no CUDA device that torch can use; take the accelerator cpu or auto.")
    chosen = accelerator
    if accelerator == "auto":
        chosen = "cuda" if torch.cuda.is_available() else "cpu"
    if chosen == "cuda" and devices > torch.cuda.device_count():
        raise InputError(f"There are {torch.cuda.device_count()} CUDA devices, not {devices}.")
    by_launcher = os.environ.get("LT_CLI_USED") == "1"
    if by_launcher:
        precision = None if "LT_PRECISION" in os.environ else precision
        launched = os.environ.get("LT_ACCELERATOR", "auto")
        chosen = chosen if launched == "auto" else launched
    precision = precision or ("bf16-mixed" if chosen in ("cuda", "gpu") else "32-true")
    if by_launcher:
        fabric = Fabric() if "LT_PRECISION" in os.environ else Fabric(precision=precision)
    else:
        strategy = _SEVERAL if devices * nodes > 1 else "auto"
        fabric = Fabric(accelerator=chosen, devices=devices, num_nodes=nodes, strategy=strategy, precision=precision)
    fabric.launch()
    return fabric


def shared_cancel(fabric: Fabric, cancel: CancelCheck | None) -> CancelCheck | None:
    """Lets the first process decide for all, since Ctrl-C reaches each at another moment."""
    if cancel is None or fabric.world_size == 1:
        return cancel

    def cancelled() -> bool:
        return bool(fabric.broadcast(cancel()))

    return cancelled
