"""The weights of SAM-Med3D, `sam_med3d_turbo.pth`, from the user's file. Nothing is downloaded."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sammix_core.errors import InputError
from sammix_core.refinement.msam.network import Sam3d

NAME = "sam_med3d"
_STATE = "model_state_dict"  # the authors save the weights under this key, beside optimiser and arguments


def read_sam_med3d(path: str | Path) -> dict[str, torch.Tensor]:
    """Reads the tensors of a file without running any code in it.

    Args:
        path: A PyTorch file with tensors by name, by themselves or as "model_state_dict".

    Raises:
        InputError: The file is missing, damaged, holds more than tensors and plain values, or no tensors.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"There is no file {file} with the weights of SAM-Med3D.")
    try:
        # The authors save their command line's arguments beside the weights, in a Namespace of plain values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"{file} is damaged, or holds more than tensors and plain values, so it is not opened: save its "
            f'"{_STATE}" alone.'
        ) from error
    state = content.get(_STATE, content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not state or not all(map(_is_tensor, state.items())):
        raise InputError(f"{file} holds no weights by name, so it is not SAM-Med3D's.")
    return dict(state)


def load_sam_med3d(network: Sam3d, state: Mapping[str, torch.Tensor]) -> None:
    """Loads the weights into a network.

    Args:
        network: SAM-Med3D without LoRA.
        state: As `read_sam_med3d` returns it; any floating point precision.

    Raises:
        InputError: Names or shapes are those of another network; nothing has changed.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if missing := sorted(shapes.keys() - state.keys()):
        raise InputError(f"The weights are not those of this SAM-Med3D: {missing[0]} is missing.")
    if unknown := sorted(state.keys() - shapes.keys()):
        raise InputError(f"The weights are not those of this SAM-Med3D, which has no {unknown[0]}.")
    for name, shape in shapes.items():
        if tuple(state[name].shape) != shape:
            raise InputError(
                f"The weights are not those of this SAM-Med3D: {name} has the shape {tuple(state[name].shape)} "
                f"instead of {shape}."
            )
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()})


def _is_tensor(entry: tuple[Any, Any]) -> bool:
    return isinstance(entry[0], str) and isinstance(entry[1], torch.Tensor)
