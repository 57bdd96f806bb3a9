"""The prompts of a refiner: the last mask as logits, and the box round it and the clicks."""

from __future__ import annotations

import math

import numpy as np
import torch

from sammix_core.boxes import tight_box
from sammix_core.preprocessing.frame import Frame
from sammix_core.refinement.msam.clicks import Clicks
from sammix_core.refinement.msam.prompt_encoder import POSITIVE

MASK_LOGIT = 4.0  # of a pixel inside a mask without logits of its own; its negative outside
LARGEST_LOGIT = 10.0
_MARGIN = 3.0  # network pixels that a mask may grow by in a stage
_MIN_SIDE = 16.0  # network pixels of the box round a single click


def mask_as_logits(shares: torch.Tensor) -> torch.Tensor:
    """A mask without logits as the last mask of a stage.

    Args:
        shares: (n, 1, h, w) or (n, 1, d, h, w) in [0, 1], how much of each pixel or voxel the mask fills.

    Returns:
        Logits of the same shape.
    """
    return MASK_LOGIT * (2 * shares.float() - 1)


def slice_mask_as_logits(mask: np.ndarray, frame: Frame) -> torch.Tensor:
    """A slice's mask as the last mask of a stage, in the network's frame.

    Args:
        mask: (rows, cols) bool on the canonical slice.
        frame: Where the network's image lies on it.

    Returns:
        (1, 1, size, size) logits; zeros, the prompt without a mask, where the mask is empty.
    """
    shares = torch.from_numpy(frame.to_network(mask.astype(np.float32), 0.0))[None, None]
    return mask_as_logits(shares) if mask.any() else torch.zeros_like(shares)


def network_pixel(point: tuple[int, int], frame: Frame) -> tuple[int, int]:
    """The (row, col) of the network's image, or past it, that the centre of a canonical slice's pixel lies in."""
    row, col = point
    x, y, _, _ = frame.box_to_network((col + 0.5, row + 0.5, col + 1, row + 1))
    return math.floor(y), math.floor(x)


def boxes_of(mask_logits: torch.Tensor, clicks: Clicks) -> torch.Tensor:
    """The box prompt of a stage: round the last mask and the clicks inside, with a margin.

    Args:
        mask_logits: (n, 1, size, size).
        clicks: Rows and columns.

    Returns:
        (n, 4) XYXY edges in network pixels within the image; the whole image where there is neither mask nor click.
    """
    size = mask_logits.shape[-1]
    boxes = []
    for mask, points, labels in zip((mask_logits[:, 0] > 0).cpu(), clicks.points, clicks.labels, strict=True):
        inside = mask.numpy().copy()
        for row, col in points[labels == POSITIVE].tolist():
            inside[row, col] = True
        box = tight_box(inside)
        boxes.append((0.0, 0.0, float(size), float(size)) if box is None else _wider(box, float(size)))
    return torch.tensor(boxes, device=mask_logits.device)


def _wider(box: tuple[float, float, float, float], size: float) -> tuple[float, float, float, float]:
    x_more, y_more = (max(_MARGIN, (_MIN_SIDE - side) / 2) for side in (box[2] - box[0], box[3] - box[1]))
    return (
        max(0.0, box[0] - x_more),
        max(0.0, box[1] - y_more),
        min(size, box[2] + x_more),
        min(size, box[3] + y_more),
    )
