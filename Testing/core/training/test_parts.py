"""The parts of training one by one: cases, draws, losses, prompts, calibration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_network import turned_volume
from image_files import write_with_itk
from monai.losses import DiceLoss, TverskyLoss
from synthetic_ct import LIVER, synthetic_ct
from training_cases import write_config

from sammix_core.datasets.cases import CaseConfig, LabelledCase, load_case
from sammix_core.datasets.labels import CaseLabels
from sammix_core.embeddings.view_store import ViewStore
from sammix_core.errors import InputError
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.sam.decoding import MaskSettings
from sammix_core.training.calibrate import calibrate_boxes, label_box
from sammix_core.training.case_views import make_view, open_view
from sammix_core.training.config import TrainingConfig
from sammix_core.training.decoder_training import PromptMaker, decoder_loss
from sammix_core.training.head_training import head_loss
from sammix_core.training.losses import dice_loss, tversky_loss
from sammix_core.training.views import View, ViewSamples
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

SPEC = PreprocessingSpec()


# Cases


@pytest.mark.parametrize(
    "order",
    [
        AxialOrder((2, 1, 0), (False, False, False)),
        AxialOrder((2, 1, 0), (True, True, False)),
        AxialOrder((1, 2, 0), (True, False, True)),
        AxialOrder((0, 2, 1), (False, True, True)),
    ],
    ids=str,
)
def test_a_case_is_the_same_however_its_ct_is_stored(tmp_path: Path, order: AxialOrder) -> None:
    axial = synthetic_ct((6, 40, 50))
    liver = abs(axial - LIVER) < 40
    liver[0] = False
    volume = turned_volume(axial, order)
    for name, array in (("ct", volume.array), ("mask", np.ascontiguousarray(order.back(liver)).astype(np.uint8))):
        write_with_itk(tmp_path / f"{name}.nii.gz", array, volume.spacing, volume.origin, volume.direction)
    case = load_case(CaseConfig("a", tmp_path / "ct.nii.gz", tmp_path / "mask.nii.gz"))
    np.testing.assert_array_equal(case.axial, axial)
    np.testing.assert_array_equal(case.mask_volume(), liver)
    assert case.spacing == pytest.approx((5.0, 1.6, 1.1))
    assert 0 in case.absent
    assert case.labelled.all()

    masks = {k: np.ascontiguousarray(order.back(liver)[k]) for k in (1, 3)}
    if order.slice_axis != "k":  # label files know axial slices alone
        masks = {1: np.ones(volume.array.shape[1:], bool)}
    CaseLabels("a", "liver", "Made up.", volume.shape_kji, masks, frozenset({2})).write(tmp_path / "labels.json")
    config = CaseConfig("a", tmp_path / "ct.nii.gz", tmp_path / "labels.json")
    if order.slice_axis != "k":
        with pytest.raises(InputError, match="labels k slices"):
            load_case(config)
        return
    some = load_case(config)
    place = {k: 5 - k if order.flips[0] else k for k in (1, 2, 3)}
    assert sorted(some.masks) == sorted([place[1], place[3]])
    assert some.absent == (place[2],)
    assert some.labelled.sum() == 3
    for k in (1, 3):
        np.testing.assert_array_equal(some.masks[place[k]], liver[place[k]])


def test_labels_that_say_nothing_are_refused(tmp_path: Path) -> None:
    write_with_itk(tmp_path / "ct.nii.gz", synthetic_ct((3, 30, 40)))
    CaseLabels("a", "liver", "Made up.", (3, 30, 40)).write(tmp_path / "labels.json")
    with pytest.raises(InputError, match="cover no slice"):
        load_case(CaseConfig("a", tmp_path / "ct.nii.gz", tmp_path / "labels.json"))


class Still:
    """A backend that encodes nothing."""

    name = "still"
    device = torch.device("cpu")
    image_size = 256
    batch = 1
    concurrency = 1

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(images), 2, 4, 4)

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        raise NotImplementedError


@pytest.mark.parametrize(("positive", "negative"), [((0,), ()), ((), (0,)), ((0, 1), (2,))])
def test_a_case_of_few_thin_slices_has_something_in_every_view(
    tmp_path: Path, positive: tuple[int, ...], negative: tuple[int, ...]
) -> None:
    axial = synthetic_ct((3, 40, 50))
    volume = Volume(axial, (5.0, 5.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))
    case = LabelledCase("few", volume, {k: abs(axial[k] - LIVER) < 40 for k in positive}, negative)
    config = TrainingConfig.read(write_config(tmp_path))
    store = ViewStore(tmp_path / "views")
    for name in ("clean", "view-00", "view-01", "view-02"):
        encoded: list[int] = []
        make_view(case, name, store, Still(), config, lambda encoded=encoded: encoded.append(1))
        view = open_view("few", name, store)
        assert 1 <= len(view.slices) == len(view.shares) == len(view.embeddings) == len(encoded)
        assert set(view.slices) <= {*positive, *negative}


# Draws


def a_view(case: str, name: str, areas: list[int]) -> View:
    """A view whose slice number n shows a square of `areas[n]` pixels a side, and whose embedding says n."""
    shares = np.zeros((len(areas), 256, 256), np.uint8)
    for share, side in zip(shares, areas, strict=True):
        share[60 : 60 + side, 100 : 100 + side] = 255
    embeddings = np.zeros((len(areas), 4, 8, 8), np.float16) + np.arange(len(areas))[:, None, None, None]
    return View(case, name, embeddings, shares, np.arange(len(areas)))


def test_patients_are_drawn_alike_and_slices_by_share() -> None:
    views = [
        a_view("many", "clean", [40] * 30 + [0] * 20),
        a_view("few", "clean", [40, 0]),
        a_view("none", "clean", [0]),
    ]
    samples = ViewSamples(views, np.random.default_rng(0))
    drawn = [pair for _ in range(300) for pair in samples.draw(10)]
    positive = [(view, index) for view, index in drawn if views[view].shares[index].any()]
    assert len(positive) == 2100  # 7 of 10
    share = np.mean([view == 0 for view, _ in positive])
    assert share == pytest.approx(0.5, abs=0.05)
    negative = [view for view, index in drawn if not views[view].shares[index].any()]
    assert np.bincount(negative) / len(negative) == pytest.approx([1 / 3] * 3, abs=0.06)


def test_the_clean_view_counts_four_times() -> None:
    views = [a_view("a", "clean", [40]), a_view("a", "view-00", [40])]
    drawn = [view for view, _ in ViewSamples(views, np.random.default_rng(0)).draw(2000, positive_share=1.0)]
    assert drawn.count(0) / 2000 == pytest.approx(0.8, abs=0.04)


def test_a_sliver_is_neither_with_nor_without() -> None:
    """Less than a cell of the map: nothing to be learnt from."""
    samples = ViewSamples([a_view("a", "clean", [40, 3, 0])], np.random.default_rng(0))
    assert {index for _, index in samples.draw(200)} == {0, 2}


def test_what_was_drawn_is_what_is_read() -> None:
    samples = ViewSamples([a_view("a", "clean", [40, 20, 0])], np.random.default_rng(0))
    pairs = [(0, 2), (0, 1)]
    assert samples.embeddings(pairs)[:, 0, 0, 0].tolist() == [2, 1]
    assert samples.shares(pairs).sum((1, 2, 3)).tolist() == [0, 400]
    assert samples.shares(pairs).shape == (2, 1, 256, 256)


# Losses


def square(side: int, size: int = 32) -> torch.Tensor:
    share = torch.zeros(1, 1, size, size)
    share[..., 4 : 4 + side, 4 : 4 + side] = 1
    return share


def logits_of(side: int) -> torch.Tensor:
    return 12 * square(side) - 6


def test_the_heads_loss_falls_towards_the_label() -> None:
    share = square(16)
    losses = [float(head_loss(logits_of(side), torch.tensor([4.0]), share)) for side in (16, 12, 4)]
    assert losses == sorted(losses)
    assert losses[0] < 0.1
    assert float(head_loss(logits_of(16), torch.tensor([-4.0]), share)) > losses[0] + 1


def test_a_slice_without_the_structure_has_a_loss_too() -> None:
    empty = torch.zeros(1, 1, 32, 32)
    good = float(head_loss(torch.full((1, 1, 32, 32), -6.0), torch.tensor([-4.0]), empty))
    bad = float(head_loss(logits_of(12), torch.tensor([4.0]), empty))
    assert good < 0.1 < bad


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


# Prompts


class Sees:
    """A guidance that sees the square at (40, 80) to (120, 160), or nothing."""

    def __init__(self, something: bool = True) -> None:
        self._level = 4.0 if something else -4.0

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        logits = np.full((len(embeddings), 64, 64), -4, np.float32)
        logits[:, 20:40, 10:30] = self._level
        probability = 0.9 if self._level > 0 else 0.1
        return GuidanceMaps(logits, np.full(len(embeddings), probability, np.float32))


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


# Calibration


def test_padding_is_the_median_miss_of_each_edge() -> None:
    """The map's square ends at (40, 80) to (120, 160); the label's is (100, 60) to (188, 148) on all slices."""
    view = a_view("a", "clean", [88, 88, 88])
    view.embeddings[:] = 0
    found = calibrate_boxes([view], {"a": Sees()}, BoxSettings(smooth_mm=3.0))  # type: ignore[dict-item]
    assert found.padding == pytest.approx((-60, 20, 68, -12), abs=1.01)
    assert found.smooth_mm == 3.0
    assert found.threshold in (-1.0, -0.5, 0.0, 0.5, 1.0)


def test_where_nothing_is_found_the_settings_stay() -> None:
    start = BoxSettings(padding=(1.0, 2.0, 3.0, 4.0))
    found = calibrate_boxes([a_view("a", "clean", [40])], {"a": Sees(False)}, start)  # type: ignore[dict-item]
    assert found.padding == start.padding


def test_augmented_views_do_not_calibrate() -> None:
    views = [a_view("a", "clean", [88]), a_view("a", "view-00", [10] * 20)]
    both = calibrate_boxes(views, {"a": Sees()}, BoxSettings())  # type: ignore[dict-item]
    assert both == calibrate_boxes(views[:1], {"a": Sees()}, BoxSettings())  # type: ignore[dict-item]


def test_the_box_of_a_label() -> None:
    share = np.zeros((256, 256), np.uint8)
    assert label_box(share) is None
    share[10:20, 30:50] = 255
    share[9, 30:50] = 120  # less than half of these pixels
    assert label_box(share) == (30, 10, 50, 20)


def test_settings_are_only_changed_where_calibrated() -> None:
    view = a_view("a", "clean", [88])
    start = BoxSettings(probability_low=0.2, component_share=0.1, smooth_box_mm=4.0)
    found = calibrate_boxes([view], {"a": Sees()}, start)  # type: ignore[dict-item]
    assert replace(found, threshold=start.threshold, padding=start.padding) == start
