"""Checkpoints that a training resumes from, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sammix_core.errors import Cancelled
from sammix_core.files import atomic_path


class TrainedPart:
    """What a checkpoint keeps of a network with frozen weights: not the numbers that never change."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: parameter for name, parameter in self._network.named_parameters() if parameter.requires_grad}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The parameters that want gradients, by name."""
        return {name: parameter.detach() for name, parameter in self._trained().items()}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Puts them back."""
        with torch.no_grad():
            for name, parameter in self._trained().items():
                parameter.copy_(state[name])


def save_checkpoint(path: Path, step: int, parts: Mapping[str, Any]) -> None:
    """Writes the state of a training.

    Args:
        path: The file; its folder is made.
        step: Steps done.
        parts: What has a `state_dict`: networks, optimiser, schedule.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as unfinished:
        torch.save({"step": step, **{name: part.state_dict() for name, part in parts.items()}}, unfinished)


@contextmanager
def saved_when_stopped(path: Path, step: int, parts: Mapping[str, Any]) -> Iterator[None]:
    """Writes the state where the user stops the training inside the block, so that no step is lost.

    Args:
        path: See `save_checkpoint`, as the others.
        step: Steps done.
        parts: What has a `state_dict`.

    Raises:
        Cancelled: As the block raised it.
    """
    try:
        yield
    except Cancelled:
        save_checkpoint(path, step, parts)
        raise


def load_checkpoint(path: Path, parts: Mapping[str, Any]) -> int:
    """Brings back what `save_checkpoint` wrote, where there is something.

    Returns:
        Steps done; 0 without a file.
    """
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["step"])
