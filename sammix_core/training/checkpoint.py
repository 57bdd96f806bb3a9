"""Checkpoints that a training resumes from, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sammix_core.errors import Cancelled
from sammix_core.files import atomic_path


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
