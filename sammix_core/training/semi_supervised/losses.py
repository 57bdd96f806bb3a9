"""The losses of the semi-supervised part, and which slices each of them is for."""

from __future__ import annotations

import torch
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

# Share of the cells that a slice with the structure shows at least: 20 of 64 x 64, a tip of a liver.
_STRONGEST = 0.005


def class_loss(logits: torch.Tensor, present: torch.Tensor, focal: bool) -> torch.Tensor:
    """Loss of the classification, over the slices of which it is known whether they show the structure.

    Args:
        logits: (n,) of the slice showing it.
        present: (n,) 1, 0, or NaN where it is not known.
        focal: Binary focal loss (gamma 2), else cross-entropy.
    """
    labelled = ~torch.isnan(present)
    if not labelled.any():
        return 0 * logits.sum()
    logits, target = logits[labelled], present[labelled]
    if focal:
        return sigmoid_focal_loss(logits, target, alpha=-1, gamma=2, reduction="mean")
    return functional.binary_cross_entropy_with_logits(logits, target)


def pseudo_loss(
    weak: torch.Tensor, strong: torch.Tensor, confidence: float, counted: torch.Tensor | None = None
) -> torch.Tensor:
    """Cross-entropy of the strong view with what the weak view is sure of.

    Args:
        weak: (n, ...) logits of the weak view, the teacher; no gradient reaches them.
        strong: (n, ...) logits of the strong view.
        confidence: Pixels count whose more probable class has at least this probability.
        counted: (n, ...) bool, the pixels that may count; None for all.

    Returns:
        The mean over the pixels that count; 0 where there is none.
    """
    probability = torch.sigmoid(weak.detach())
    sure = torch.maximum(probability, 1 - probability) >= confidence
    if counted is not None:
        sure = sure & counted
    each = functional.binary_cross_entropy_with_logits(strong, (probability > 0.5).to(strong), reduction="none")
    return (each * sure).sum() / sure.sum().clamp(min=1)


def agreed(masks: torch.Tensor, boxes: torch.Tensor, maps: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
    """Where mask, box, map and neighbouring slices agree.

    A pixel without the structure needs mask and map alone, since an organ ends somewhere. One with it must also lie in
    the box and be shown by the map of a neighbouring slice, since no organ is one slice thick.

    Args:
        masks: (n, 1, h, w) logits of the decoder.
        boxes: (n, 4) XYXY edges in pixels of the masks.
        maps: (n, 1, h, w) logits of the map.
        neighbours: (n, 2, h, w) logits of the neighbouring slices' maps, NaN where there is no neighbour.

    Returns:
        (n, 1, h, w) bool. Of a slice without neighbours the others decide.
    """
    alone = torch.isnan(neighbours).all(1, keepdim=True)
    beside = (neighbours > 0).any(1, keepdim=True) | alone  # NaN is not above 0
    y, x = (torch.arange(side, device=masks.device) + 0.5 for side in masks.shape[-2:])
    left, top, right, bottom = boxes[:, :, None, None].to(masks).unbind(1)
    boxed = ((x >= left) & (x < right) & (y[:, None] >= top) & (y[:, None] < bottom))[:, None]
    inside = masks > 0
    return (inside == (maps > 0)) & (beside & boxed | ~inside)


def between_loss(maps: torch.Tensor, neighbours: torch.Tensor, confidence: float) -> torch.Tensor:
    """Cross-entropy of a slice's map with what both its neighbours are sure of: what lies between them is the same.

    Args:
        maps: (n, 1, h, w) logits.
        neighbours: (n, 2, h, w) logits, NaN where there is no neighbour; no gradient reaches them.
        confidence: As of `pseudo_loss`, of each neighbour.
    """
    probability = torch.sigmoid(neighbours.detach())
    both_in = (probability >= confidence).all(1, keepdim=True)
    both_out = (probability <= 1 - confidence).all(1, keepdim=True)
    each = functional.binary_cross_entropy_with_logits(maps, both_in.to(maps), reduction="none")
    counted = both_in | both_out
    return (each * counted).sum() / counted.sum().clamp(min=1)


def multiple_instance_loss(maps: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the strongest and the weakest cells of slices that show the structure.

    A slice is a bag of cells: that it shows the structure says that some are of it, and most are not (the strongest
    instances and negative evidence of Durand et al., WELDON, CVPR 2016). Other slices have no part: where the structure
    is known to be absent, the map's own loss says so of every cell.

    Args:
        maps: (n, 1, h, w) logits.
        present: (n,) 1, 0, or NaN where it is not known.
    """
    cells = maps[present == 1].flatten(1)
    if not len(cells):
        return 0 * maps.sum()
    ascending = cells.sort(1).values
    count = cells.shape[1]
    strongest = ascending[:, count - max(1, round(_STRONGEST * count)) :]
    weakest = ascending[:, : count // 2]
    return functional.softplus(-strongest).mean() + functional.softplus(weakest).mean()


def consistency_loss(weak: torch.Tensor, strong: torch.Tensor, counted: torch.Tensor | None = None) -> torch.Tensor:
    """Kullback-Leibler divergence of the strong view's masks from the weak view's, each pixel a Bernoulli variable.

    MultiMix takes a softmax over the one channel that there is, which is 1 everywhere, so that its term is always 0.

    Args:
        weak: (n, ...) logits of the weak view; no gradient reaches them.
        strong: (n, ...) logits of the strong view.
        counted: (n, ...) bool, the pixels that count; None for all.

    Returns:
        The mean in nats; 0 where both are the same.
    """
    weak = weak.detach()
    probability = torch.sigmoid(weak)
    weight = None if counted is None else counted.to(weak)
    cross, own = (
        functional.binary_cross_entropy_with_logits(logits, probability, weight, reduction="sum")
        for logits in (strong, weak)
    )
    return (cross - own) / (weak.numel() if counted is None else counted.sum().clamp(min=1))
