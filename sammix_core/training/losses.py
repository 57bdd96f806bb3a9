"""Region losses of masks. MONAI has them too; these few lines spare the panel its 1.5 MB and its imports.

A test compares them with MONAI's; see docs/decisions/finetuning-without-lightning.md.
"""

from __future__ import annotations

import torch

_SMOOTH = 1.0
_PIXELS = (2, 3)


def tversky_loss(
    logits: torch.Tensor, target: torch.Tensor, false_positive: float, false_negative: float
) -> torch.Tensor:
    """Tversky loss (Salehi et al., arXiv 1706.05721), averaged over slices; soft Dice where both weights are 0.5.

    Args:
        logits: (n, 1, h, w).
        target: (n, 1, h, w) in [0, 1].
        false_positive: Weight of what is too much.
        false_negative: Weight of what is missing.

    Returns:
        A scalar in [0, 1].

    Example:
        >>> target = torch.tensor([[[[0.0, 1.0]]]])
        >>> sure = torch.tensor([[[[-20.0, 20.0]]]])
        >>> round(tversky_loss(sure, target, 0.5, 0.5).item(), 4)
        0.0
        >>> tversky_loss(-sure, target, 0.9, 0.1) == tversky_loss(-sure, target, 0.1, 0.9)
        tensor(True)
    """
    mask = torch.sigmoid(logits)
    both = (mask * target).sum(_PIXELS)
    too_much = false_positive * (mask * (1 - target)).sum(_PIXELS)
    missing = false_negative * ((1 - mask) * target).sum(_PIXELS)
    return (1 - (both + _SMOOTH) / (both + too_much + missing + _SMOOTH)).mean()


def dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Soft Dice loss, averaged over slices.

    Args:
        logits: (n, 1, h, w).
        target: (n, 1, h, w) in [0, 1].

    Returns:
        A scalar in [0, 1].
    """
    mask = torch.sigmoid(logits)
    both = (mask * target).sum(_PIXELS)
    return (1 - (2 * both + _SMOOTH) / (mask.sum(_PIXELS) + target.sum(_PIXELS) + _SMOOTH)).mean()
