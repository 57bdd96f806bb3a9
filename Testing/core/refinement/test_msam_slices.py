"""The refiner of slices: the adapter on LiteMedSAM's embedding, its stages, its training, and its use with clicks."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from sammix_core.engines.openvino_compiler import FLOAT32
from sammix_core.errors import Cancelled, InputError
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.refinement.embedding_crop import CropMatrices, EmbeddingCrop, crop_maps, crops_around, uncrop_maps
from sammix_core.refinement.model import untrained_refiner
from sammix_core.refinement.msam.clicks import Clicks, clicks_on_errors, middle_of_component
from sammix_core.refinement.msam.prompt_encoder import NEGATIVE, POSITIVE
from sammix_core.refinement.network import RefinerSpec, SliceRefiner
from sammix_core.refinement.prompts import boxes_of, mask_as_logits
from sammix_core.refinement.slices import SliceRefinement
from sammix_core.refinement.stage import stage_of
from sammix_core.refinement.volume import VolumeRefinement, lesion_from, refine_lesions, refine_mask
from sammix_core.sam.litemedsam import build_network
from sammix_core.sam.litemedsam_network import decode_with
from sammix_core.training.context import TrainingContext
from sammix_core.training.refiner_starts import perturbed, with_wrong_parts
from sammix_core.training.refiner_training import RefinerTraining, train_refiner
from sammix_core.training.views import CLEAN, View
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

TINY = RefinerSpec(width=16, heads=2, side=16)


pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


@pytest.fixture(scope="module")
def network() -> Any:
    return build_network()


def disc(row: float, col: float, radius: float, size: int = 256) -> np.ndarray:
    rows, cols = np.indices((size, size)) + 0.5
    return (rows - row) ** 2 + (cols - col) ** 2 < radius**2


def as_logits(mask: np.ndarray) -> torch.Tensor:
    return mask_as_logits(torch.from_numpy(mask.astype(np.float32))[None, None])


def click(row: int, col: int, label: int = POSITIVE) -> Clicks:
    return Clicks(torch.tensor([[[row, col]]]), torch.tensor([[label]]))


NO_CLICK = Clicks.none(1, axes=2)


def test_msam_as_it_is_born_it_is_litemedsam_with_a_mask_prompt(network: Any) -> None:
    refiner = untrained_refiner(network, TINY, 3).eval()
    embeddings, low = torch.randn(1, 256, 64, 64), as_logits(disc(100, 120, 20))
    with torch.no_grad():
        found = refiner(embeddings, low, NO_CLICK)
        boxes = boxes_of(low, NO_CLICK)
        expected, _ = decode_with(network.prompt_encoder, network.mask_decoder, embeddings, boxes, low)
    torch.testing.assert_close(found, expected[:, :1], atol=1e-3, rtol=1e-3)


def test_mask_enhanced_gradients_reach_the_adapter_and_leave_the_transformer_alone(network: Any) -> None:
    refiner = untrained_refiner(network, TINY, 3)
    low = as_logits(disc(100, 120, 20))
    for _ in range(2):  # what widens begins with zeros, so the adapter learns from the second step on
        loss = refiner(torch.randn(1, 256, 64, 64), low, click(100, 120)).square().mean()
        loss.backward()
        with torch.no_grad():
            refiner.widen.weight += 0.01
    learnt = {name for name, one in refiner.named_parameters() if one.grad is not None and one.grad.abs().max() > 0}
    for part in ("adapter.image_stream", "adapter.mask_stream", "adapter.attention", "narrow_image", "narrow_mask"):
        assert any(name.startswith(part) for name in learnt), part
    assert any(name.startswith("prompt_encoder.mask_downscaling") for name in learnt)
    assert not any("transformer" in name for name in learnt)
    frozen = {name for name, one in refiner.named_parameters() if not one.requires_grad}
    assert any("transformer" in name for name in frozen)
    assert refiner.trained_state().keys().isdisjoint(frozen)


def test_msam_the_mask_and_clicks_change_what_comes_out(network: Any) -> None:
    refiner = untrained_refiner(network, TINY, 3).eval()
    torch.nn.init.normal_(refiner.widen.weight, std=0.05)
    embeddings = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one = refiner(embeddings, as_logits(disc(100, 120, 20)), NO_CLICK)
        other = refiner(embeddings, as_logits(disc(110, 120, 30)), NO_CLICK)
        inside = refiner(embeddings, as_logits(disc(100, 120, 20)), click(100, 120))
        outside = refiner(embeddings, as_logits(disc(100, 120, 20)), click(100, 120, NEGATIVE))
    for pair in ((one, other), (one, inside), (inside, outside)):
        assert (pair[0] - pair[1]).abs().max() > 0.1


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed here")
def test_msam_a_stage_in_openvino_is_that_in_torch(network: Any) -> None:
    refiner = untrained_refiner(network, TINY, 3).eval()
    torch.nn.init.normal_(refiner.widen.weight, std=0.05)
    embeddings = 0.3 * torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(1))
    stage = stage_of(refiner, "openvino", FLOAT32)
    for radius in (12, 70):  # a crop of the adapter's own size, and a larger one
        low = as_logits(disc(100, 120, radius))
        with torch.inference_mode():
            expected, found = refiner(embeddings, low, NO_CLICK), stage(embeddings, low)
        torch.testing.assert_close(found, expected, atol=5e-3, rtol=5e-3)


def test_msam_crops_lie_inside_and_come_back_to_their_place() -> None:
    boxes = torch.tensor([[0.0, 0.0, 20.0, 20.0], [100.0, 120.0, 140.0, 150.0], [10.0, 20.0, 250.0, 200.0]])
    crops = crops_around(boxes, 64, 16)
    assert crops == [EmbeddingCrop(0, 0, 16), EmbeddingCrop(26, 22, 16), EmbeddingCrop(0, 0, 64)]
    maps = torch.randn(3, 2, 64, 64)
    matrices = CropMatrices.of(crops, 64, 16, maps.device)
    parts = crop_maps(maps, matrices)
    back = uncrop_maps(parts, matrices)
    for index in (0, 1):
        row, col = crops[index].row, crops[index].col
        near = (index, slice(None), slice(row, row + 16), slice(col, col + 16))
        torch.testing.assert_close(parts[index], maps[near])
        torch.testing.assert_close(back[near], maps[near])
        assert back[index].count_nonzero() == 2 * 16 * 16
    torch.testing.assert_close(parts[2:], functional.adaptive_avg_pool2d(maps[2:], 16))
    torch.testing.assert_close(back[2:], functional.interpolate(parts[2:], size=64, mode="bilinear"))


def test_msam_boxes_hold_mask_and_clicks() -> None:
    mask = np.zeros((256, 256), dtype=bool)
    mask[40:80, 50:100] = True
    assert boxes_of(as_logits(mask), NO_CLICK).tolist() == [[47, 37, 103, 83]]
    assert boxes_of(as_logits(mask), click(90, 60)).tolist() == [[47, 37, 103, 94]]
    assert boxes_of(as_logits(mask), click(90, 60, NEGATIVE)).tolist() == [[47, 37, 103, 83]]
    nothing = torch.zeros(1, 1, 256, 256)
    assert boxes_of(nothing, NO_CLICK).tolist() == [[0, 0, 256, 256]]
    (alone,) = boxes_of(nothing, click(90, 60)).tolist()
    assert alone == [52.5, 82.5, 68.5, 98.5]


def test_msam_wrong_edges_are_wrong_and_near() -> None:
    rng = np.random.default_rng(0)
    for radius in (5, 40):
        right = disc(120, 130, radius)
        dice = []
        for _ in range(12):
            wrong = perturbed(right.astype(np.float32), rng) > 0
            assert wrong.any()
            dice.append(2 * (wrong & right).sum() / (wrong.sum() + right.sum()))
        assert 0.4 < min(dice) < 0.97
        assert np.mean(dice) > 0.7


def some_views(count: int = 4) -> list[View]:
    """Discs that the embedding shows in a few channels."""
    rng = np.random.default_rng(5)
    shares, embeddings = [], []
    for _ in range(count):
        row, col = rng.uniform(90, 160, 2)
        mask = disc(row, col, rng.uniform(18, 30))
        cells = mask.reshape(64, 4, 64, 4).mean((1, 3))
        shares.append((255 * mask).astype(np.uint8))
        embeddings.append(rng.normal(0, 0.1, (256, 64, 64)) + cells * rng.normal(0, 1, 256)[:, None, None] * 0.3)
    made = np.stack(embeddings).astype(np.float16)
    return [View("one", CLEAN, made, np.stack(shares), np.arange(count))]


def trained(network: Any, folder: Path, steps: int, stop_after: int | None = None, **changes: Any) -> SliceRefiner:
    settings = RefinerTraining(steps=steps, batch=1, refining_stages=1, **changes)
    done: list[int] = []
    return train_refiner(
        untrained_refiner(network, TINY, 3),
        some_views(),
        settings,
        TrainingContext(
            "test",
            folder / "state.pt",
            seed=7,
            cancel=None if stop_after is None else lambda: len(done) >= stop_after,
            on_step=lambda step, _, __: done.append(step),
        ),
    )


def test_msam_training_goes_on_where_it_was_stopped_to_the_same_result(network: Any, tmp_path: Path) -> None:
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    whole = trained(network, tmp_path / "whole", 4, click_share=0.5)
    with pytest.raises(Cancelled):
        trained(network, tmp_path / "parts", 4, stop_after=2, click_share=0.5)
    parts = trained(network, tmp_path / "parts", 4, click_share=0.5)
    for name, tensor in whole.trained_state().items():
        torch.testing.assert_close(parts.trained_state()[name], tensor, msg=name)
    fresh = untrained_refiner(network, TINY, 3).trained_state()
    assert any((whole.trained_state()[name] != tensor).any() for name, tensor in fresh.items())


def test_msam_lesions_are_learnt_one_by_one(network: Any, tmp_path: Path) -> None:
    trained(network, tmp_path, 1, single=True, least_pixels=10**6)  # none is large enough: a step that teaches nothing


class FewSlices:
    """Slices whose embeddings are noise."""

    def __init__(self, volume: Volume) -> None:
        self._axial = AxialSlices.cut(volume, AxialOrder.from_direction(np.eye(3)), PreprocessingSpec(body_crop=False))
        self.asked: list[int] = []

    @property
    def axial(self) -> AxialSlices:
        return self._axial

    def embedding(self, canonical_slice: int) -> torch.Tensor:
        self.asked.append(canonical_slice)
        return torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(canonical_slice))


class Painter(torch.nn.Module):
    """Stands in for a trained refiner: a stage grows the last mask by a pixel and paints 6 pixels round each click."""

    def forward(self, embeddings: torch.Tensor, mask_logits: torch.Tensor, clicks: Clicks) -> torch.Tensor:
        grown = torch.nn.functional.max_pool2d((mask_logits > 0).float(), 3, 1, 1)
        for (row, col), label in zip(clicks.points[0].tolist(), clicks.labels[0].tolist(), strict=True):
            rows, cols = slice(max(0, row - 3), row + 4), slice(max(0, col - 3), col + 4)
            grown[0, 0, rows, cols] = float(label == POSITIVE)
        return 8 * grown - 4


@pytest.fixture
def slices() -> FewSlices:
    return FewSlices(Volume(np.full((6, 128, 128), 40, np.int16), (2.0, 2.0, 3.0), (0, 0, 0), np.eye(3)))


def work_on(slices: FewSlices, mask: np.ndarray | None = None) -> SliceRefinement:
    painter: Any = Painter()
    return SliceRefinement(painter, slices, 2, mask)


def test_msam_clicks_on_a_slice_land_where_they_were_made_and_can_be_taken_back(slices: FewSlices) -> None:
    work = work_on(slices)
    work.undo()
    work.click((40, 70))
    rows, cols = np.nonzero(work.mask)
    assert (rows.mean(), cols.mean()) == (pytest.approx(40, abs=1), pytest.approx(70, abs=1))
    one = work.mask
    work.click((90, 30))
    assert work.mask[90, 30]
    assert work.mask[40, 70]
    work.click((40, 70), inside=False)
    assert not work.mask[40, 70]
    work.undo()
    work.undo()
    np.testing.assert_array_equal(work.mask, one)
    assert work.stages == 1
    assert [click.point for click in work.clicks] == [(40, 70)]


def test_msam_what_cannot_be_refined_on_a_slice(slices: FewSlices) -> None:
    work = work_on(slices)
    with pytest.raises(InputError, match="nothing to refine yet"):
        work.refine()
    with pytest.raises(InputError, match="begins with a click inside"):
        work.click((40, 70), inside=False)
    for place in ((-1, 3), (3, 128)):
        with pytest.raises(InputError, match="outside what the network sees"):
            work.click(place)
    assert work.stages == 0


def test_msam_every_slice_of_a_mask_is_refined_and_no_other(slices: FewSlices) -> None:
    mask = np.zeros((6, 128, 128), np.uint8)
    mask[2:4, 50:70, 40:60] = 1
    painter: Any = Painter()
    told: list[tuple[str, int, int]] = []
    found = refine_mask(painter, slices, mask, 2, lambda p: told.append((p.stage, p.done, p.total)))
    assert (found & (mask > 0)).sum() == mask.sum()
    assert found[2:4].sum() > mask.sum()
    assert not found[[0, 1, 4, 5]].any()
    assert set(slices.asked) == {2, 3}
    assert told[-1] == ("Refining, stage 2 of 2", 2, 2)
    assert not refine_mask(painter, slices, np.zeros_like(mask), 2).any()
    with pytest.raises(InputError, match="different grids"):
        refine_mask(painter, slices, mask[1:], 1)


def test_msam_stages_of_a_volume_can_be_taken_back_and_cancelled(slices: FewSlices) -> None:
    mask = np.zeros((6, 128, 128), np.uint8)
    mask[2:4, 50:70, 40:60] = 1
    painter: Any = Painter()
    work = VolumeRefinement(painter, slices, mask)
    work.undo()
    work.refine()
    once = work.mask
    work.click((90, 20, 5))
    assert work.mask[5, 20, 90]
    assert work.stages == 2
    with pytest.raises(Cancelled):
        work.refine(cancel=lambda: True)
    assert work.stages == 2
    work.undo()
    np.testing.assert_array_equal(work.mask, once)
    for place, inside in (((128, 0, 0), True), ((90, 20, 5), False)):
        with pytest.raises(InputError):
            work.click(place, inside)
    assert work.stages == 1
    assert work.clicks == ()
    work.undo()
    np.testing.assert_array_equal(work.mask, mask > 0)
    with pytest.raises(InputError, match="nothing to refine yet"):
        VolumeRefinement(painter, slices, np.zeros_like(mask)).refine()


def test_msam_lesions_stay_apart_and_in_the_liver(slices: FewSlices) -> None:
    lesions = np.zeros((6, 128, 128), np.uint8)
    lesions[2, 40:60, 40:60] = lesions[3, 75:95, 75:95] = 1
    lesions[4, 45:51, 45:60] = 1  # 23 network pixels: too small to be refined
    liver = np.zeros(lesions.shape, dtype=bool)
    liver[:, 30:100, 40:100] = True
    painter: Any = Painter()
    found = refine_lesions(painter, slices, lesions, liver, 2)
    assert found[2].sum() > 400
    assert found[3].sum() > 400
    np.testing.assert_array_equal(found[4], lesions[4] > 0)
    assert not (found & ~liver).any()
    np.testing.assert_array_equal(lesion_from(np.zeros_like(liver), lesions > 0, liver), lesions > 0)


def test_msam_wrong_parts_lack_or_are_too_much() -> None:
    label = disc(120, 130, 40)
    shares = torch.from_numpy(label.astype(np.float32))[None, None].repeat(40, 1, 1, 1)
    starts = as_logits(label).repeat(40, 1, 1, 1)
    masks = with_wrong_parts(starts, shares, 1.0, np.random.default_rng(0))[:, 0].numpy() > 0
    lacking, extra = [(label & ~mask).sum() for mask in masks], [(mask & ~label).sum() for mask in masks]
    assert all(bool(less) != bool(more) for less, more in zip(lacking, extra, strict=True))
    assert min(map(max, zip(lacking, extra, strict=True))) > 10
    assert 10 < sum(more > 0 for more in extra) < 30
    same = with_wrong_parts(starts, shares, 0.0, np.random.default_rng(0))
    torch.testing.assert_close(same, starts)


def test_msam_a_click_in_the_middle_lies_where_a_person_clicks() -> None:
    target = torch.from_numpy(disc(120, 130, 40))[None, None]
    mask = disc(120, 130, 40) & ~disc(120, 165, 20)
    mask |= disc(40, 40, 9)
    rng = np.random.default_rng(0)
    clicks = [clicks_on_errors(as_logits(mask), target, rng, middle_of_component) for _ in range(30)]
    points = {(*map(int, one.points[0, 0]), int(one.labels[0, 0])) for one in clicks}
    ((row, col, _),) = [point for point in points if point[2] == POSITIVE]
    assert np.hypot(row - 120, col - 158) < 8
    ((row, col, _),) = [point for point in points if point[2] != POSITIVE]
    assert np.hypot(row - 40, col - 40) < 2


def test_msam_correcting_steps_learn_from_what_was_wrong(network: Any, tmp_path: Path) -> None:
    settings = {"correcting_share": 1.0, "wrong_part_share": 1.0, "central": True}
    states = []
    for focus in (0.0, 0.5):
        (tmp_path / str(focus)).mkdir()
        states.append(trained(network, tmp_path / str(focus), 2, focus=focus, **settings).trained_state())
    assert any((states[0][name] != tensor).any() for name, tensor in states[1].items())
