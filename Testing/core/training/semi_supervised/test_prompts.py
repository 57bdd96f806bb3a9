"""Boxes of the moment are drawn from the guidance, or from the mask."""

from __future__ import annotations

import numpy as np
import torch
from guidance_maps import a_map

from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.sam.decoding import MaskSettings
from sammix_core.training.semi_supervised.prompts import PromptSettings, draw_prompts


def drawn(maps: GuidanceMaps, shares: torch.Tensor | None, guided_share: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    settings = PromptSettings(BoxSettings(), MaskSettings(), guided_share, most=4)
    return draw_prompts(maps, shares, 256, settings, rng).boxes.numpy()


def test_boxes_are_the_guidances_or_the_masks_and_are_moved() -> None:
    share = torch.zeros(1, 1, 256, 256)
    share[0, 0, 100:200, 120:220] = 1
    guided, own = drawn(a_map(5, 25), share, 1.0), drawn(a_map(5, 25), share, 0.0)
    np.testing.assert_allclose(guided, [[20, 80, 100, 160]], atol=8)
    np.testing.assert_allclose(own, [[120, 100, 220, 200]], atol=8)
    assert not np.array_equal(guided, drawn(a_map(5, 25), share, 1.0, seed=1))
    mixed = [drawn(a_map(5, 25), share, 0.5, seed)[0, 0] < 60 for seed in range(20)]
    assert 3 < sum(mixed) < 17
    nothing = GuidanceMaps(np.full((1, 64, 64), -4.0, np.float32), np.array([0.0], np.float32))
    np.testing.assert_allclose(drawn(nothing, share, 1.0), own, atol=12)


def test_slices_without_a_mask_get_the_guidances_box_or_none() -> None:
    np.testing.assert_allclose(drawn(a_map(5, 25), None, 0.0), [[20, 80, 100, 160]], atol=8)
    nothing = GuidanceMaps(np.full((1, 64, 64), -4.0, np.float32), np.array([0.0], np.float32))
    assert drawn(nothing, None, 1.0).shape == (0, 4)
    assert drawn(a_map(5, 25), torch.zeros(1, 1, 256, 256), 1.0).shape == (0, 4), "no structure, no mask to learn"
