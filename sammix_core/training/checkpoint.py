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


class TrainableState:
    """The state of a network without its frozen weights, which can have a hundred million numbers that never change.

    Args:
        network: The network.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Trainable parameters and all buffers, by name; they share memory with the network."""
        state = self._network.state_dict()
        return {name: tensor.detach() for name, tensor in state.items() if name not in self._frozen}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Copies them back into the network.

        Raises:
            KeyError: A tensor is missing.
        """
        with torch.no_grad():
            for name, tensor in self.state_dict().items():
                tensor.copy_(state[name])


def save_checkpoint(path: Path, step: int, parts: Mapping[str, Any]) -> None:
    """Writes the state of a training.

    Args:
        path: The file; its folder is made.
        step: Steps done.
        parts: What has a `state_dict`: networks, optimiser, schedule.

    Raises:
        InputError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as unfinished:
        torch.save({"step": step, **{name: part.state_dict() for name, part in parts.items()}}, unfinished)


@contextmanager
def saved_when_stopped(path: Path, step: int, parts: Mapping[str, Any]) -> Iterator[None]:
    """Writes the state when the user stops the training inside the block, so that no step is lost.

    Args:
        path: The file, as for `save_checkpoint`.
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
    """Restores what `save_checkpoint` wrote.

    Args:
        path: The file; it may be missing.
        parts: What has a `load_state_dict`.

    Returns:
        Steps done; 0 without a file.
    """
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["step"])
