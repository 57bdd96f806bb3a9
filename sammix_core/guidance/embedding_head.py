"""The network behind the embedding CAM: a small U-shaped convolutional head on the SAM embedding.

Its one-channel map is both the class activation map and, pooled over its strongest cells, the slice's probability:
what the classifier looks at is what it shows.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


class _Block(nn.Sequential):
    """3 x 3 convolution, group norm, GELU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(8, outputs),
            nn.GELU(),
        )


class EmbeddingHead(nn.Module):
    """Embedding -> CAM logits and slice logit.

    The context of a cell reaches the whole slice through four resolutions (64 to 8), since liver, spleen and heart
    look alike from near.

    Attributes:
        channels: The embedding's.
        pooled_cells: How many of the strongest cells make the slice logit.
    """

    def __init__(
        self, channels: int = 256, widths: tuple[int, ...] = (48, 64, 96, 128), pooled_cells: int = 16
    ) -> None:
        super().__init__()
        self.channels = channels
        self.pooled_cells = pooled_cells
        self.project = nn.Sequential(
            nn.Conv2d(channels, widths[0], 1, bias=False), nn.GroupNorm(8, widths[0]), nn.GELU()
        )
        self.enter = _Block(widths[0], widths[0])
        self.down = nn.ModuleList(nn.Sequential(_Block(a, b, stride=2), _Block(b, b)) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_Block(a + b, a) for a, b in pairwise(widths))
        self.map = nn.Conv2d(widths[0], 1, 1)
        self.pool = nn.Linear(1, 1)
        nn.init.ones_(self.pool.weight)
        nn.init.zeros_(self.pool.bias)

    def forward(self, embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Computes map and slice logits.

        Args:
            embeddings: (n, channels, h, w) float32.

        Returns:
            CAM logits (n, 1, h, w) and slice logits (n,).
        """
        features = [self.enter(self.project(embeddings))]
        for down in self.down:
            features.append(down(features[-1]))
        value = features.pop()
        for up in reversed(self.up):
            skip = features.pop()
            wide = functional.interpolate(value, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            value = up(torch.cat([skip, wide], dim=1))
        logits = self.map(value)
        strongest = logits.flatten(1).topk(self.pooled_cells, dim=1).values.mean(1, keepdim=True)
        return logits, self.pool(strongest).squeeze(1)
