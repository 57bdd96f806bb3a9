"""ResNet-38, the slice classifier of SAM-Mix: torchvision's ResNet with bottleneck blocks [2, 3, 5, 2].

The authors name the network without defining it. Blocks [2, 3, 5, 2] give 38 layers, 17.6 M parameters and the 8 x 8
feature map of their figure at 256 x 256 pixels; this is our reading of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from sammix_core.errors import InputError

LAYERS = ("layer1", "layer2", "layer3", "layer4")
CLASSES = 2  # without and with the structure
STRUCTURE = 1  # index of the class that shows the structure
_BLOCKS = [2, 3, 5, 2]
_STEM_CHANNELS = 64
_LAST_PLANES = 512


class ResNet38(ResNet):
    """A classifier of slices: convolutions, global average pooling and one linear layer.

    Args:
        width: Factor on the channels of all blocks; 0.5 has a quarter of the parameters.

    Attributes:
        width: That factor.
    """

    def __init__(self, width: float = 1.0) -> None:
        self.width = width
        super().__init__(Bottleneck, _BLOCKS, num_classes=CLASSES)
        self.conv1 = nn.Conv2d(1, _STEM_CHANNELS, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.fc = nn.Linear(round(_LAST_PLANES * width) * Bottleneck.expansion, CLASSES)

    def _make_layer(self, block: Any, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
        return super()._make_layer(block, round(planes * self.width), *args, **kwargs)

    @classmethod
    def from_state(cls, state: Mapping[str, torch.Tensor]) -> ResNet38:
        """Builds the network that tensors belong to; its width is read off the last layer.

        Args:
            state: Tensors named as in the network.

        Returns:
            The network on the CPU, in eval mode.

        Raises:
            InputError: The tensors are those of another network.
        """
        last = state.get("fc.weight")
        try:
            if last is None:
                raise RuntimeError("no last layer")
            network = cls(last.shape[1] / (_LAST_PLANES * Bottleneck.expansion))
            network.load_state_dict(state)
        except (RuntimeError, ValueError, ZeroDivisionError) as error:
            raise InputError(
                "The model's ResNet-38 weights are not those of a network that this version knows."
            ) from error
        return network.eval()
