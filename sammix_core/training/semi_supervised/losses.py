"""The losses of the semi-supervised part, and which slices each of them is for."""

from __future__ import annotations

import torch
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss


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


def pseudo_loss(weak: torch.Tensor, strong: torch.Tensor, confidence: float) -> torch.Tensor:
    """Cross-entropy of the strong view with what the weak view is sure of.

    Args:
        weak: (n, ...) logits of the weak view, the teacher; no gradient reaches them.
        strong: (n, ...) logits of the strong view.
        confidence: Pixels count whose more probable class has at least this probability.

    Returns:
        The mean over the pixels that count; 0 where there is none.
    """
    probability = torch.sigmoid(weak.detach())
    sure = torch.maximum(probability, 1 - probability) >= confidence
    each = functional.binary_cross_entropy_with_logits(strong, (probability > 0.5).to(strong), reduction="none")
    return (each * sure).sum() / sure.sum().clamp(min=1)


def consistency_loss(weak: torch.Tensor, strong: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of the strong view's masks from the weak view's, each pixel a Bernoulli variable.

    MultiMix takes a softmax over the one channel that there is, which is 1 everywhere, so that its term is always 0.

    Args:
        weak: (n, ...) logits of the weak view; no gradient reaches them.
        strong: (n, ...) logits of the strong view.

    Returns:
        The mean in nats; 0 where both are the same.
    """
    weak = weak.detach()
    probability = torch.sigmoid(weak)
    cross = functional.binary_cross_entropy_with_logits(strong, probability)
    return cross - functional.binary_cross_entropy_with_logits(weak, probability)
