"""Region losses are MONAI's."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceLoss, TverskyLoss

from sammix_core.training.losses import dice_loss, tversky_loss


@pytest.mark.parametrize(("false_positive", "false_negative"), [(0.5, 0.5), (0.65, 0.35), (0.35, 0.65)])
def test_region_losses_are_those_of_monai(false_positive: float, false_negative: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, 1, 16, 16, generator=generator)
    target = torch.rand(4, 1, 16, 16, generator=generator)
    target[0] = 0
    monai = TverskyLoss(sigmoid=True, alpha=false_positive, beta=false_negative, smooth_nr=1.0, smooth_dr=1.0)
    torch.testing.assert_close(tversky_loss(logits, target, false_positive, false_negative), monai(logits, target))
    soft_dice = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)
    torch.testing.assert_close(dice_loss(logits, target), soft_dice(logits, target))
