"""What every training needs besides its data and its settings, and the runtime that its steps run in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from sammix_core.progress import CancelCheck, ProgressCallback

FULL_PRECISION, HALF_PRECISION = "32-true", "bf16-mixed"
PRECISIONS = (FULL_PRECISION, HALF_PRECISION)

# Called after each step with the steps done, the loss of the last one, and the average network as it is now.
OnStep = Callable[[int, float, nn.Module], None]


class Runtime(Protocol):
    """The part of Lightning Fabric's interface that trainings use; every `Fabric` is one."""

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        ...

    @property
    def is_global_zero(self) -> bool:
        """Whether this process is the one that writes."""
        ...

    def autocast(self) -> AbstractContextManager[Any]:
        """Runs the block in the training's precision."""
        ...

    def backward(self, tensor: torch.Tensor) -> None:
        """Computes gradients."""
        ...

    def clip_gradients(
        self, module: Any, optimizer: Any, *, max_norm: float, error_if_nonfinite: bool
    ) -> torch.Tensor | None:
        """Clips the norm of the gradients of all parameters that the optimiser steps."""
        ...

    def barrier(self) -> None:
        """Waits for the other processes."""
        ...


class LocalRuntime:
    """One process on one device with nothing but torch, since the panel installs no Lightning.

    Args:
        precision: "32-true" or "bf16-mixed", as Lightning calls them.
        device: Where the network lies.
    """

    is_global_zero = True

    def __init__(self, precision: str = FULL_PRECISION, device: torch.device | None = None) -> None:
        self.device = torch.device("cpu") if device is None else device
        self._half = precision == HALF_PRECISION

    def autocast(self) -> AbstractContextManager[Any]:
        """See `Runtime.autocast`."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self._half else nullcontext()

    def backward(self, tensor: torch.Tensor) -> None:
        """See `Runtime.backward`."""
        tensor.backward()

    def clip_gradients(self, module: Any, optimizer: Any, *, max_norm: float, error_if_nonfinite: bool) -> torch.Tensor:
        """See `Runtime.clip_gradients`."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        return torch.nn.utils.clip_grad_norm_(parameters, max_norm, error_if_nonfinite=error_if_nonfinite)

    def barrier(self) -> None:
        """See `Runtime.barrier`."""


@dataclass(frozen=True)
class TrainingContext:
    """What one training runs with.

    Attributes:
        label: Name of the stage in progress reports.
        checkpoint: File that holds the state now and then, when the training is stopped, and at the end.
        seed: Seed of weights, draws and noise.
        runtime: Precision, device and processes.
        progress: Called after each step.
        cancel: Polled after each step; return True to stop.
        on_step: Called after each step, before `progress`.
    """

    label: str
    checkpoint: Path
    seed: int = 0
    runtime: Runtime = field(default_factory=LocalRuntime)
    progress: ProgressCallback | None = None
    cancel: CancelCheck | None = None
    on_step: OnStep | None = None
