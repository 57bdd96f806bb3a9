"""The parts of SAM-Mix's training: losses that react, boxes of the moment, views that fit, a split that stays."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence
from training_cases import QuickLiteMedSam, StubEncoder

from sammix_core.datasets.cases import LabelledCase
from sammix_core.errors import InputError
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.resnet38_cam import default_boxes
from sammix_core.sam.decoding import MaskSettings
from sammix_core.training.checkpoint import TrainableState
from sammix_core.training.semi_supervised.early_stopping import EarlyStopping
from sammix_core.training.semi_supervised.guides import EmbeddingGuide, ResNetGuide
from sammix_core.training.semi_supervised.losses import class_loss, consistency_loss, pseudo_loss
from sammix_core.training.semi_supervised.network import Batch, SamMix
from sammix_core.training.semi_supervised.pairs import moved, pair, strengthened
from sammix_core.training.semi_supervised.prompts import PromptSettings, draw_prompts
from sammix_core.training.semi_supervised.settings import SamMixTraining
from sammix_core.training.semi_supervised.split import Split, split_of
from sammix_core.volume.volume import Volume

CPU = torch.device("cpu")


# Losses


def test_consistency_is_the_divergence_of_two_bernoulli_masks_and_has_a_gradient() -> None:
    weak, strong = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8, requires_grad=True)
    loss = consistency_loss(weak, strong)
    expected = kl_divergence(Bernoulli(logits=weak), Bernoulli(logits=strong)).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert loss.item() > 0.1
    loss.backward()
    assert strong.grad is not None
    assert strong.grad.abs().min() > 0
    assert consistency_loss(weak, weak).item() == pytest.approx(0, abs=1e-6)
    # MultiMix's own: a softmax over the one channel that there is, 1 whatever the masks.
    multimix = (torch.softmax(weak[:, :1], 1) - torch.softmax(strong[:, :1], 1)).abs().sum()
    assert multimix.item() == 0


def test_pseudo_labels_count_above_the_confidence_alone() -> None:
    weak = torch.logit(torch.tensor([0.95, 0.6, 0.05, 0.45]))
    strong = torch.zeros(4, requires_grad=True)
    pseudo_loss(weak, strong, 0.7).backward()
    assert strong.grad is not None
    # Half a pixel's gradient each: towards 1 where it is surely in, towards 0 where it is surely out.
    assert strong.grad.tolist() == pytest.approx([-0.25, 0.0, 0.25, 0.0])
    assert pseudo_loss(torch.zeros(4), torch.ones(4), 0.7).item() == 0


@pytest.mark.parametrize("focal", [False, True])
def test_slices_of_which_nothing_is_known_teach_no_class(focal: bool) -> None:
    logits = torch.zeros(3, requires_grad=True)
    class_loss(logits, torch.tensor([1.0, float("nan"), 0.0]), focal).backward()
    assert logits.grad is not None
    assert logits.grad[0] < 0 < logits.grad[2]
    assert logits.grad[1] == 0
    assert class_loss(logits, torch.full((3,), float("nan")), focal).item() == 0


# Prompts of the moment


def a_map(x_min: int, x_max: int) -> GuidanceMaps:
    logits = np.full((1, 64, 64), -4.0, np.float32)
    logits[0, 20:40, x_min:x_max] = 4.0
    return GuidanceMaps(logits, np.array([0.99], np.float32))


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


@pytest.mark.parametrize("guide", [EmbeddingGuide(), ResNetGuide(0.0625)], ids=["embedding_cam", "resnet38"])
def test_maps_are_those_of_this_moment_and_leave_no_trace(guide: EmbeddingGuide | ResNetGuide) -> None:
    images, embeddings = torch.rand(2, 1, 64, 64), torch.randn(2, 256, 16, 16)
    guide.train()
    before = guide.maps(images, embeddings)
    assert all(p.grad is None and p.requires_grad for p in guide.parameters())
    assert guide.training
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    assert not np.allclose(before.cam_logits, guide.maps(images, embeddings).cam_logits)


def test_resnet_boxes_go_round_whole_cells() -> None:
    assert ResNetGuide(0.0625).boxes == default_boxes()


# The network


@pytest.fixture(scope="module")
def quick() -> QuickLiteMedSam:
    return QuickLiteMedSam(CPU)


def test_the_share_that_is_trained(quick: QuickLiteMedSam) -> None:
    head, decoder, everything = 829_715, 4_064_560, 9_791_300
    trained, total = SamMix(quick.network, SamMixTraining()).trainable_share()
    assert (trained, total) == (head + decoder, everything + head)
    frozen, _ = SamMix(quick.network, SamMixTraining(train_decoder=False)).trainable_share()
    assert frozen == head
    with_lora, more = SamMix(quick.network, SamMixTraining(lora_rank=8)).trainable_share()
    assert (with_lora - trained, more - total) == (59_392, 59_392)


def a_batch(step: int, unlabelled: int = 2) -> Batch:
    source = torch.Generator().manual_seed(3)
    shares = torch.zeros(3, 1, 256, 256)
    shares[:2, :, 60:160, 40:140] = 1

    def picture(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.rand(count, 1, 256, 256, generator=source)
        return images, torch.randn(count, 256, 64, 64, generator=source)

    known, weak, strong = picture(3), picture(unlabelled), picture(unlabelled)
    present = torch.tensor([1.0, 1.0, 0.0])
    kept = torch.ones(3 + unlabelled, 256, dtype=torch.bool)
    return Batch(*known, shares, present, *weak, *strong, torch.ones(unlabelled), kept, torch.tensor([1, step, 0]))


class EverySlice(EmbeddingGuide):
    """Finds the same box on every slice."""

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        one = a_map(10, 35)
        return GuidanceMaps(one.cam_logits.repeat(len(images), 0), one.probabilities.repeat(len(images)))


def gradients(network: SamMix, batch: Batch) -> tuple[float, dict[str, float]]:
    network.zero_grad()
    loss = network(*batch)
    loss.backward()
    sums: dict[str, float] = {}
    for name, parameter in network.named_parameters():
        part = name.split(".")[0]
        sums[part] = sums.get(part, 0.0) + (0.0 if parameter.grad is None else float(parameter.grad.abs().sum()))
    return loss.item(), sums


def test_the_guidance_learns_alone_until_the_warm_up_is_over(quick: QuickLiteMedSam) -> None:
    network = SamMix(quick.network, SamMixTraining(warm_up=5, decoded=1))
    network.guide = EverySlice()
    _, early = gradients(network, a_batch(4))
    assert early["guide"] > 0
    assert early["decoder"] == 0
    _, late = gradients(network, a_batch(5))
    assert late["decoder"] > 0


@pytest.mark.parametrize("weight", ["pseudo_weight", "consistency_weight", "segmentation_weight", "dice_weight"])
def test_every_weight_weighs(quick: QuickLiteMedSam, weight: str) -> None:
    settings = SamMixTraining(warm_up=0, decoded=1)
    network = SamMix(quick.network, settings)
    network.guide = EverySlice()
    with torch.no_grad():
        usual = network(*a_batch(5)).item()
        network.settings = replace(settings, **{weight: 2 * getattr(settings, weight)})
        assert network(*a_batch(5)).item() > usual + 1e-5


def test_unlabelled_slices_teach_the_decoder(quick: QuickLiteMedSam) -> None:
    """Without a slice with a mask in the batch what the decoder learns comes from the two views alone."""
    network = SamMix(quick.network, SamMixTraining(warm_up=0, decoded=2))
    network.guide = EverySlice()
    batch = a_batch(5)._replace(shares=torch.zeros(3, 1, 256, 256))
    _, sums = gradients(network, batch)
    assert sums["decoder"] > 0
    _, none = gradients(network, batch._replace(unlabelled_present=torch.zeros(2)))
    assert none["decoder"] == 0, "slices known to be without the structure have no pseudo-label"


def test_lora_learns_and_the_rest_of_the_encoder_does_not() -> None:
    quick = QuickLiteMedSam(CPU)
    quick.network.image_encoder = StubEncoder()
    network = SamMix(quick.network, SamMixTraining(warm_up=0, decoded=1, lora_rank=2)).train()
    network.guide = EverySlice()
    assert not network.encoder.training
    gradients(network, a_batch(5))
    learnt = {name for name, p in network.encoder.named_parameters() if p.grad is not None}
    assert learnt
    assert all("lora_" in name for name in learnt)
    state = TrainableState(network).state_dict()
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert any(name.startswith("encoder") for name in frozen)
    assert not frozen & state.keys()


def test_early_stopping_keeps_the_best_and_goes_on_where_it_was(quick: QuickLiteMedSam) -> None:
    network = SamMix(quick.network, SamMixTraining(train_decoder=False))
    weight = network.guide.head.map.bias

    def record(early: EarlyStopping, step: int, dice: float) -> bool:
        with torch.no_grad():
            weight.fill_(step)
        early.record(step, dice, network)
        return early.stopped

    early = EarlyStopping(2)
    assert not record(early, 10, 0.5)
    assert not record(early, 20, 0.8)
    assert not record(early, 30, 0.7)
    again = EarlyStopping(2)
    again.load_state_dict(early.state_dict())
    assert (again.last, again.best_step) == (30, 20)
    assert record(again, 40, 0.8), "no gain twice"
    again.restore(network)
    assert weight.item() == 40, "of equals the later one"


# Views


def test_both_views_and_the_mask_have_one_geometry() -> None:
    image = np.zeros((128, 128), np.float32)
    image[30:60, 20:80] = 0.8
    mask = (image > 0.5).astype(np.float32)
    assert np.array_equal(moved(image, 0, 5), image), "the first view is the slice as it is"
    weak, strong = pair(image, 1, 5)
    shown = moved(mask, 1, 5) > 0.5
    assert not np.array_equal(shown, mask > 0.5)
    np.testing.assert_array_equal(weak > 0.4, shown)
    assert strong[shown].mean() > strong[~shown].mean() + 0.2
    again = pair(image, 1, 5)
    assert np.array_equal(weak, again[0])
    assert np.array_equal(strong, again[1])


def test_no_view_is_a_mirror_image() -> None:
    image = np.zeros((128, 128), np.float32)
    image[40:90, 10:40] = 1.0
    for seed in range(20):
        columns = np.flatnonzero(moved(image, 1, seed).sum(0) > 10)
        assert columns.mean() < 50


def test_strong_views_differ_and_stay_images() -> None:
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    views = [strengthened(image, seed) for seed in range(12)]
    assert all(view.min() >= 0 and view.max() <= 1 and view.dtype == np.float32 for view in views)
    assert all(np.abs(view - image).mean() > 0.005 for view in views)


# The split


def a_case(name: str, with_mask: list[int], absent: tuple[int, ...] = ()) -> LabelledCase:
    volume = Volume(np.zeros((30, 8, 8), np.int16), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))
    masks = {index: np.ones((8, 8), bool) for index in with_mask}
    return LabelledCase(name, volume, masks, absent)


def test_what_is_held_back_stays_so_when_slices_come(tmp_path: Path) -> None:
    file = tmp_path / "work" / "split.json"
    first = split_of([a_case("anna", [3, 5, 7, 9, 11], (0, 1))], 0.2, 1, file)
    assert (first.by, len(first.held_back["anna"])) == ("slice", 2), "one with the structure and one without"
    assert Split.read(file) == first
    second = split_of([a_case("anna", list(range(2, 22)), (0, 1))], 0.2, 9, file)
    assert set(first.held_back["anna"]) <= set(second.held_back["anna"])
    assert set(first.trained_on["anna"]) <= set(second.trained_on["anna"])
    assert len(set(second.held_back["anna"]) - {0, 1}) == 4
    assert second.keeps("anna", second.held_back["anna"][0])
    assert not second.keeps("anna", second.trained_on["anna"][0])


def test_of_several_patients_whole_ones_are_held_back(tmp_path: Path) -> None:
    cases = [a_case(name, [3, 5], (0,)) for name in ("anna", "bert", "cleo")] + [a_case("dora", [])]
    split = split_of(cases, 0.2, 1, tmp_path / "split.json")
    (held,) = split.held_back
    assert split.by == "patient"
    assert split.held_back[held] == (0, 3, 5)
    assert sorted([held, *split.trained_on]) == ["anna", "bert", "cleo"]
    assert split.keeps(held, 17), "its slices without a mask as well"
    later = split_of([*cases, a_case("emil", [4], (0,))], 0.2, 2, tmp_path / "split.json")
    assert list(later.held_back) == [held]


def test_too_few_masks_and_a_damaged_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="label one more"):
        split_of([a_case("anna", [3])], 0.2, 1, tmp_path / "a.json")
    with pytest.raises(InputError, match="No training case has a slice with a mask"):
        split_of([a_case("anna", [])], 0.2, 1, tmp_path / "b.json")
    (tmp_path / "c.json").write_text('{"schema": "sammix-split/1", "by": "slice", "held_back": {"a": "x"}}')
    with pytest.raises(InputError, match=r"c\.json"):
        split_of([a_case("anna", [3, 4])], 0.2, 1, tmp_path / "c.json")


# Several processes

SCRIPT = """
import sys
import torch
from pathlib import Path

torch.set_num_threads(1)
sys.path.insert(0, {makers!r})
from training_cases import QuickLiteMedSam
from sammix_core.training.semi_supervised import early_stopping, run

run.LiteMedSam = lambda device, engine: QuickLiteMedSam(device)
record = early_stopping.EarlyStopping.record
ranks = Path({ranks!r})


def noted(self, step, dice, network):
    import torch.distributed as together

    total = sum(float(p.abs().double().sum()) for p in network.parameters())
    name = f"{{step}}-{{together.get_rank()}}-of-{{together.get_world_size()}}-{{together.get_backend()}}"
    (ranks / name).write_text(f"{{total!r}} {{dice!r}}")
    record(self, step, dice, network)


early_stopping.EarlyStopping.record = noted
from sammix_core.training.run import train_from_config

if __name__ == "__main__":
    print(train_from_config(sys.argv[1]).path)
"""


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from training_cases import write_config

    ranks = tmp_path / "ranks"
    ranks.mkdir()
    makers = str(Path(__file__).parents[3] / "makers")
    (tmp_path / "script.py").write_text(SCRIPT.format(makers=makers, ranks=str(ranks)))
    settings = {"steps": 4, "warm_up": 2, "batch": 3, "unlabelled_batch": 1, "decoded": 1, "check_every": 2}
    cases = [{"name": "anna", "ct": "anna_ct.nii.gz", "labels": "anna.json", "labelled": 3}]
    own = {"method": "sammix", "cases": cases, "views": None, "head": None, "decoder": None}
    config = write_config(tmp_path, **own, sammix=settings, accelerator="cpu", devices=2)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(config)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = {file.name: file.read_text() for file in ranks.iterdir()}
    assert sorted(seen) == [f"{step}-{rank}-of-2-gloo" for step in (2, 4) for rank in (0, 1)]
    for step in (2, 4):
        assert seen[f"{step}-0-of-2-gloo"] == seen[f"{step}-1-of-2-gloo"], "both have the same weights"
    model = tmp_path / "out" / "small" / "0.1.0"
    assert [line for line in done.stdout.splitlines() if line] == [str(model)] * 2, "one model, both name it"
    assert all(torch.isfinite(tensor).all() for tensor in load_file(model / "weights.safetensors").values())
    assert len(list((tmp_path / "work" / "checkpoints").iterdir())) == 1
