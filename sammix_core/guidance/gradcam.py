"""Class activation maps of a convolutional classifier, by the library `grad-cam`.

The library changes the model that it looks at: it puts hooks on it, switches it to eval mode, throws its gradients away
and leaves new ones. Here it leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from sammix_core.errors import InputError

# Name -> class of the library. EigenCAM knows no class: it shows whatever is salient.
METHODS = {"gradcam": "GradCAM", "hirescam": "HiResCAM", "layercam": "LayerCAM", "eigencam": "EigenCAM"}


class _OnItsOwnGrid:
    """Keeps the library from enlarging a map to the input's size, which would blur the cells that boxes go by."""

    def get_target_width_height(self, input_tensor: torch.Tensor) -> None:
        """No size: the map stays as it is."""


def activation_maps(
    model: nn.Module, layer: nn.Module, images: torch.Tensor, target: int, method: str = "gradcam"
) -> tuple[np.ndarray, torch.Tensor]:
    """Computes a map for each image and the model's output for it, in one pass.

    Args:
        model: A classifier; its gradients, its mode and which parameters require gradients stay as they were.
        layer: The module whose output is mapped.
        images: (n, channels, h, w) float32.
        target: Index of the class.
        method: One of `METHODS`.

    Returns:
        Maps (n, h', w') float32 in [0, 1] on the layer's grid: negative parts are cut off, and each map is brought
        to 0 to 1 by its least and largest value. And the model's output (n, classes), detached, on its device.

    Raises:
        InputError: The method is unknown, or the library is not installed.
    """
    if method not in METHODS:
        raise InputError(f"There is no class activation map {method!r}; choose one of {', '.join(METHODS)}.")
    maker = _library_class(method)
    maps: np.ndarray | None = None
    with _left_as_it_was(model), torch.inference_mode(False), torch.enable_grad():
        # The input requires the gradient that the library needs, so that no parameter has to.
        tracked = images.detach().clone().requires_grad_(True)
        with maker(model, [layer]) as cam:
            maps = cam(tracked, [_ClassScore(target)] * len(tracked))
            output = cam.outputs.detach()
    if maps is None:  # the library's `with` block swallows an IndexError
        raise RuntimeError("the library gave no class activation map")
    return np.nan_to_num(maps.astype(np.float32)), output


class _ClassScore:
    """The target of differentiation: the score of one class."""

    def __init__(self, target: int) -> None:
        self._target = target

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        """Picks the score out of one image's output (classes,)."""
        return output[..., self._target]


def _library_class(method: str) -> Any:
    try:
        import pytorch_grad_cam
    except ImportError as error:
        raise InputError(
            "Grad-CAM needs the package grad-cam, which is not installed: pip install 'sammix[paper]'."
        ) from error
    base = getattr(pytorch_grad_cam, METHODS[method])
    return type(base.__name__, (_OnItsOwnGrid, base), {})


@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
    parameters = list(model.parameters())
    before = [(parameter.requires_grad, parameter.grad) for parameter in parameters]
    modes = [(module, module.training) for module in model.modules()]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, (wanted, gradient) in zip(parameters, before, strict=True):
            parameter.requires_grad_(wanted)
            parameter.grad = gradient
        for module, training in modes:
            module.training = training
