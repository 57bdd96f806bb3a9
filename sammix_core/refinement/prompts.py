"""What a refiner is asked by: the last mask as logits, the box round it, and clicks."""

from __future__ import annotations

import torch

from sammix_core.boxes import tight_box
from sammix_core.refinement.msam.clicks import Clicks
from sammix_core.refinement.msam.prompt_encoder import POSITIVE

MASK_LOGIT = 4.0  # of a pixel inside a mask that comes from elsewhere; outside, the same below zero
LARGEST_LOGIT = 10.0
_MARGIN = 3.0  # network pixels that a mask may grow by in a stage
_LEAST_SIDE = 16.0  # what a click alone asks for


def mask_as_logits(shares: torch.Tensor) -> torch.Tensor:
    """A mask from elsewhere as the last mask of a stage.

    Args:
        shares: (n, 1, h, w) in [0, 1], how much of each network pixel it fills.

    Returns:
        (n, 1, h, w) logits.
    """
    return MASK_LOGIT * (2 * shares.float() - 1)


def boxes_of(mask_logits: torch.Tensor, clicks: Clicks) -> torch.Tensor:
    """The box that a stage is asked for: round the last mask and the clicks inside, and a little more.

    Args:
        mask_logits: (n, 1, size, size).
        clicks: Rows and columns.

    Returns:
        (n, 4) XYXY edges in network pixels within the image; the whole image where there is neither mask nor click.
    """
    size = mask_logits.shape[-1]
    found = []
    for mask, points, labels in zip((mask_logits[:, 0] > 0).cpu(), clicks.points, clicks.labels, strict=True):
        inside = mask.numpy().copy()
        for row, col in points[labels == POSITIVE].tolist():
            inside[row, col] = True
        box = tight_box(inside)
        found.append((0.0, 0.0, float(size), float(size)) if box is None else _wider(box, float(size)))
    return torch.tensor(found, device=mask_logits.device)


def _wider(box: tuple[float, float, float, float], size: float) -> tuple[float, float, float, float]:
    x_more, y_more = (max(_MARGIN, (_LEAST_SIDE - side) / 2) for side in (box[2] - box[0], box[3] - box[1]))
    return (
        max(0.0, box[0] - x_more),
        max(0.0, box[1] - y_more),
        min(size, box[2] + x_more),
        min(size, box[3] + y_more),
    )
