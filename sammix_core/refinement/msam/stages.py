"""The main stage and the refining stages: each encodes the last mask, runs the adapter and decodes again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from monai.losses import DiceCELoss
from torch.nn import functional

from sammix_core.refinement.msam.clicks import ChoosePoint, Clicks, any_point, clicks_on_errors
from sammix_core.refinement.msam.network import MSam
from sammix_core.refinement.prompts import mask_as_logits

REFINING_STAGES = 10


def empty_mask(network: MSam, count: int, device: torch.device) -> torch.Tensor:
    """The prompt of the main stage without a mask: (count, 1, mask_size, mask_size, mask_size) zeros."""
    return torch.zeros(count, 1, *[network.spec.mask_size] * 3, device=device)


def mask_as_prompt(network: MSam, mask: torch.Tensor) -> torch.Tensor:
    """A mask without logits, such as SAM-Mix's, as the last mask of a stage.

    Args:
        network: The network that gets the prompt.
        mask: (n, 1, crop, crop, crop) bool.

    Returns:
        (n, 1, mask_size, mask_size, mask_size) logits.
    """
    return mask_as_logits(functional.adaptive_avg_pool3d(mask.float(), network.spec.mask_size))


def on_the_crop(network: MSam, low_logits: torch.Tensor) -> torch.Tensor:
    """(n, 1, mask_size, ...) logits to (n, 1, crop, ...)."""
    return functional.interpolate(low_logits, size=(network.spec.crop,) * 3, mode="trilinear", align_corners=False)


def stages(
    network: MSam,
    images: torch.Tensor,
    target: torch.Tensor,
    count: int,
    rng: np.random.Generator,
    start: torch.Tensor | None = None,
    clicking: int | None = None,
) -> Iterator[torch.Tensor]:
    """Runs the stages, each with one more click from where the mask is wrong.

    Args:
        network: The network.
        images: (n, 1, crop, crop, crop), normalised.
        target: (n, 1, crop, crop, crop) bool, the correct mask.
        count: Stages, including the main one.
        rng: Draws the clicks.
        start: (n, 1, crop, crop, crop) bool to begin from instead of an empty mask.
        clicking: Stages that get a new click; the others use the earlier clicks. None for all.

    Yields:
        (n, 1, crop, crop, crop) logits after each stage.
    """
    embeddings = network.encode(images)
    low = empty_mask(network, len(images), images.device)
    logits = torch.full_like(target, -1.0, dtype=torch.float32)
    if start is not None:
        low, logits = mask_as_prompt(network, start), start.float() - 0.5

    clicks_of = clicks_of_stages(target, rng, clicking)
    for stage in range(count):
        clicks = clicks_of(stage, logits)
        low, _ = network.decode(embeddings, low, clicks.points, clicks.labels)
        logits = on_the_crop(network, low.float())
        yield logits


def clicks_of_stages(
    target: torch.Tensor,
    rng: np.random.Generator,
    clicking: int | None = None,
    choose: ChoosePoint = any_point,
) -> Callable[[int, torch.Tensor], Clicks]:
    """A function that draws a click for each stage, and keeps the earlier ones.

    Args:
        target: (n, 1, d, h, w) or (n, 1, h, w) bool, the correct mask.
        rng: Draws the clicks.
        clicking: Stages that get a new click; None for all.
        choose: Chooses the point of a click.

    Returns:
        A function of the stage, from 0, and the logits of the last mask on the target's grid, that returns all clicks
        so far.
    """
    clicks = Clicks.none(len(target), target.device, target.dim() - 2)

    def next_clicks(stage: int, logits: torch.Tensor) -> Clicks:
        nonlocal clicks
        if clicking is None or stage < clicking:
            clicks = clicks + clicks_on_errors(logits.detach(), target, rng, choose)
        return clicks

    return next_clicks


def stage_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Dice and cross-entropy of one stage; the loss of a step is the sum over its stages.

    Args:
        logits: (n, 1, d, h, w) or (n, 1, h, w).
        target: The same shape, bool or shares in [0, 1].
    """
    return DiceCELoss(sigmoid=True, squared_pred=True)(logits, target.float())


def dice(logits: torch.Tensor, target: torch.Tensor) -> float:
    """Dice of a crop's mask; 1 where both are empty."""
    mask = logits > 0
    total = int(mask.sum()) + int(target.sum())
    return 1.0 if total == 0 else 2 * int((mask & target).sum()) / total
