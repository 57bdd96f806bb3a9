"""Choosing where to compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sammix_core.errors import InputError

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> torch.device:
    """Turns a name into a device that works.

    Args:
        name: "auto" (CUDA where there is a GPU, else the CPU), "cpu" or "cuda".

    Raises:
        InputError: An unknown name, or CUDA where there is none.
    """
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"There is no device {name!r}; choose auto, cpu or cuda.")
    # A CUDA build without a GPU, or with a driver that is too old, says False here: auto then takes the CPU.
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("There is no CUDA device that torch can use here; choose --device cpu or auto.")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
