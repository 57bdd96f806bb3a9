"""The decoder's loss, and the prompts that it learns with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_views import Sees, a_view, logits_of, square

from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.sam.decoding import MaskSettings
from sammix_core.training.decoder_training import PromptMaker, decoder_loss, narrow_to_parts


def decoder_losses(sides: tuple[int, int, int], scores: tuple[float, float, float], share: torch.Tensor) -> float:
    logits = torch.cat([logits_of(side) for side in sides], dim=1)
    return float(decoder_loss(logits, torch.tensor([scores]), share))


def test_the_decoders_loss_falls_towards_the_label() -> None:
    right = decoder_losses((16, 16, 16), (1, 1, 1), square(16))
    assert right < 0.1
    for sides in ((8, 16, 16), (16, 8, 16), (16, 16, 8)):
        assert decoder_losses(sides, (1, 1, 1), square(16)) > right + 0.1


def test_the_second_mask_leans_to_cautious_and_the_third_to_generous() -> None:
    """With m2 too small and m3 too large the loss is lower than the other way round."""
    leaning = decoder_losses((16, 12, 20), (1, 0.5625, 0.64), square(16))
    against = decoder_losses((16, 20, 12), (1, 0.64, 0.5625), square(16))
    assert leaning < against - 0.01


def test_scores_learn_the_overlap_with_the_label() -> None:
    iou = 8**2 / 16**2
    told = decoder_losses((16, 8, 16), (1, iou, 1), square(16))
    assert decoder_losses((16, 8, 16), (1, 1, 1), square(16)) == pytest.approx(told + (1 - iou) ** 2 / 3)


FOUND, LABEL = np.array([40, 80, 120, 160.0]), np.array([100, 60, 140, 100.0])


BOXES = BoxSettings(smooth_mm=0.0, least_support=0.0, padding=(0.0, 0.0, 0.0, 0.0))


def prompted(guidance: Sees, side: int, count: int = 200) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    maker = PromptMaker({"a": guidance}, BOXES, MaskSettings())  # type: ignore[dict-item]
    shares = torch.from_numpy(a_view("a", "clean", [side]).shares)[:, None].float() / 255
    boxes, prompt, useful = maker.prompts(
        ["a"] * count, torch.zeros(count, 4, 8, 8), shares.expand(count, -1, -1, -1), np.random.default_rng(0)
    )
    return boxes.numpy(), prompt, useful


def test_three_of_four_boxes_are_the_guidances_and_all_are_moved_a_little() -> None:
    boxes, prompt, useful = prompted(Sees(), side=40)
    assert useful.all()
    assert prompt.shape == (200, 1, 256, 256)
    assert float(prompt[0, 0, 100, 80]) == 4
    off = np.minimum(abs(boxes - FOUND).max(1), abs(boxes - LABEL).max(1))
    # 6 % of a side, and a pixel and a half
    assert off.max() <= 0.06 * 80 + 1.5
    assert np.median(off) > 0.3
    guided = abs(boxes - FOUND).max(1) < abs(boxes - LABEL).max(1)
    assert guided.mean() == pytest.approx(0.75, abs=0.1)


def test_where_the_guidance_finds_nothing_the_box_is_the_labels() -> None:
    boxes, prompt, _ = prompted(Sees(something=False), side=40)
    assert abs(boxes - LABEL).max() <= 0.06 * 40 + 1.5
    assert float(prompt.max()) == -4


def test_a_slice_without_a_label_is_of_no_use() -> None:
    _, _, useful = prompted(Sees(), side=0, count=3)
    assert not useful.any()


def test_a_part_of_several_is_prompted_with_its_own_box_where_the_guidance_found_it_together_with_others() -> None:
    two = torch.zeros(1, 1, 256, 256)
    two[..., 60:100, 100:140] = two[..., 200:220, 10:40] = 1
    one = square(16, size=256)
    shares, alone = narrow_to_parts(torch.cat([two, one]).expand(2, 1, 256, 256), 1.0, np.random.default_rng(0))
    assert alone == [True, False]
    assert float(shares[0].sum()) in (40 * 40, 20 * 30)
    assert torch.equal(shares[1], one[0])
    assert narrow_to_parts(two, 0.0, np.random.default_rng(0))[1] == [False]
