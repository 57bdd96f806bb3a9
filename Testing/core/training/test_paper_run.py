"""Training of the paper's own parts: ResNet-38 and LoRA, from a configuration to a model that uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_cases import QuickLiteMedSam, StubEncoder, write_config

from sammix_core.errors import Cancelled, InputError
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.model_store import ModelFolder, verify
from sammix_core.progress import Progress
from sammix_core.sam import lora
from sammix_core.sam.decoding import MaskSettings
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.training import supervised
from sammix_core.training.config import TrainingConfig
from sammix_core.training.context import TrainingContext
from sammix_core.training.decoder_training import PromptedDecoder, PromptMaker
from sammix_core.training.lora_training import DecoderAndHead, train_lora
from sammix_core.training.resnet_training import classification_loss, train_resnet38, weak_views
from sammix_core.training.run import train_from_config
from sammix_core.training.settings import LoraTraining, ResNetTraining
from sammix_core.training.supervised import SupervisedTrainer, Trained
from sammix_core.training.views import View
from sammix_core.volume_io import read_volume

CPU = torch.device("cpu")
RESNET = {"steps": 3, "batch": 4, "width": 0.0625, "threshold": "paper"}


@pytest.fixture(scope="module")
def quick() -> QuickLiteMedSam:
    return QuickLiteMedSam(CPU)


@pytest.fixture(autouse=True)
def _quick_backend(quick: QuickLiteMedSam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "LiteMedSam", lambda device: quick)


def config(folder: Path, **changes: Any) -> Path:
    return write_config(folder, **{"decoder": {"steps": 0}, "head": {"steps": 2, "batch": 2}, **changes})


def trainer(folder: Path, **changes: Any) -> SupervisedTrainer:
    return SupervisedTrainer(TrainingConfig.read(config(folder, **changes)))


@pytest.fixture(scope="module")
def model(quick: QuickLiteMedSam, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervised, "LiteMedSam", lambda device: quick)
        return train_from_config(config(tmp_path_factory.mktemp("resnet"), resnet38=RESNET))


# ResNet-38


def test_the_model_carries_resnet38_in_a_file_of_its_own(model: ModelFolder) -> None:
    assert verify(model) == []
    assert sorted(model.manifest.files) == ["resnet38.safetensors", "weights.safetensors"]
    assert model.manifest.guidance["name"] == "embedding_cam"
    entry = model.manifest.guidance["resnet38"]
    assert entry["cam"] == {"method": "gradcam", "layer": "layer4", "threshold": 0.4, "gain": 10.0}
    assert entry["boxes"]["whole_cells"] is True
    assert not any("layer4" in name for name in load_file(model.path / "weights.safetensors"))


def test_it_finds_boxes_where_it_is_asked_for(model: ModelFolder) -> None:
    volume = read_volume(model.path.parents[2] / "data" / "anna_ct.nii.gz")
    segmenter = Segmenter.load(model.path, device="cpu", engine="torch", guidance="resnet38")
    segmenter.model.backend.encode = QuickLiteMedSam(CPU).encode  # type: ignore[method-assign]
    result = segmenter.segment_volume(volume)
    assert result.guidance == "resnet38"
    assert result.cam.shape == (5, 8, 8)
    assert result.slices_encoded == len(result.boxes)
    assert Segmenter.load(model.path, device="cpu", engine="torch").model.guidance.name == "embedding_cam"


def test_a_model_without_it_says_so(tmp_path: Path) -> None:
    plain = train_from_config(config(tmp_path))
    with pytest.raises(InputError, match=r"small/0.1.0 carries no ResNet-38 weights.*leave --guidance out") as caught:
        Segmenter.load(plain.path, device="cpu", engine="torch", guidance="resnet38")
    assert "\n" not in str(caught.value)


def test_images_are_those_of_the_views(tmp_path: Path, quick: QuickLiteMedSam) -> None:
    made = trainer(tmp_path, resnet38=RESNET)
    for view, images in zip(made.views, made.images, strict=True):
        assert images.shape == (len(view.slices), 256, 256)
        again = quick.encode(torch.from_numpy(images.astype(np.float32))[:, None])
        np.testing.assert_allclose(again.numpy(), view.embeddings.astype(np.float32), atol=2e-2)


def test_images_are_drawn_once_and_not_from_other_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trainer(tmp_path, resnet38=RESNET)
    assert len(first.images) == 4
    monkeypatch.setattr("sammix_core.training.case_views.draw_slice", lambda *_: pytest.fail("drawn again"))
    assert len(trainer(tmp_path, resnet38=RESNET).images) == 4
    monkeypatch.undo()
    for file in tmp_path.rglob("*.images.npy"):
        file.unlink()
    shares = next(iter(tmp_path.rglob("view-00.shares.npy")))
    np.save(shares, 255 - np.load(shares))
    monkeypatch.setattr(supervised, "LiteMedSam", QuickLiteMedSam)
    with pytest.raises(InputError, match="was drawn in another way than now; delete"):
        _ = trainer(tmp_path, resnet38=RESNET).images


def stop_at(stage: str, done: int) -> tuple[Callable[[Progress], None], Callable[[], bool]]:
    reached = False

    def progress(now: Progress) -> None:
        nonlocal reached
        reached = reached or (now.stage.startswith(stage) and now.done >= done)

    return progress, lambda: reached


def test_stopped_it_goes_on_to_the_same_network(model: ModelFolder, tmp_path: Path) -> None:
    path = config(tmp_path, resnet38=RESNET)
    with pytest.raises(Cancelled):
        train_from_config(path, *stop_at("ResNet-38", 2))
    assert len(list((tmp_path / "work" / "checkpoints").glob("resnet38-all-*.pt"))) == 1
    again = load_file(train_from_config(path).path / "resnet38.safetensors")
    whole = load_file(model.path / "resnet38.safetensors")
    assert [name for name in whole if not torch.equal(whole[name], again[name])] == []


def test_it_learns_to_tell_slices_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.uniform(0.2, 0.4, (2, 24, 64, 64))
    shares = np.zeros((2, 24, 64, 64), np.uint8)
    shares[:, ::2, 20:44, 12:36] = 255
    pictures[shares > 0] += 0.4
    nothing = np.empty(0)
    views = [View(case, "clean", nothing, shares[n], np.arange(24)) for n, case in enumerate(("anna", "bert"))]
    settings = ResNetTraining(steps=40, batch=8, width=0.0625, learning_rate=5e-3)
    network = train_resnet38(views, list(pictures), settings, TrainingContext("ResNet-38", tmp_path / "r.pt", seed=3))
    with torch.inference_mode():
        scores = torch.softmax(network(torch.from_numpy(pictures[0]).float()[:, None]), 1)[:, 1].numpy()
    assert scores[::2].min() > scores[1::2].max()


def test_the_threshold_is_calibrated_on_networks_without_the_patient(tmp_path: Path) -> None:
    made = trainer(tmp_path, resnet38={**RESNET, "threshold": "calibrated"})
    guidance, boxes = made.resnet38_guidance()
    assert guidance.settings.threshold in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert boxes.threshold == 0.0
    names = {file.name.split("-")[1] for file in (tmp_path / "work" / "checkpoints").glob("resnet38-*.pt")}
    assert names == {"all", "anna", "bert"}
    otsu, _ = trainer(tmp_path, resnet38={**RESNET, "threshold": "otsu"}).resnet38_guidance()
    assert otsu.settings.threshold == "otsu"


def test_the_losses() -> None:
    output, positive = torch.tensor([[0.0, 2.0], [0.0, 2.0]]), torch.tensor([1.0, 0.0])
    p = torch.sigmoid(torch.tensor(2.0))
    entropy = torch.stack([-torch.log(p), -torch.log(1 - p)])
    assert classification_loss(output, positive, "cross_entropy").item() == pytest.approx(entropy.mean().item())
    focal = torch.stack([(1 - p) ** 2, p**2]) * entropy
    assert classification_loss(output, positive, "focal").item() == pytest.approx(focal.mean().item(), rel=1e-5)


def test_weak_views_move_and_do_not_flip() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[..., 20:30, 40:44] = 1.0
    moved = [weak_views(image, seed) for seed in range(6)]
    assert torch.equal(moved[0], weak_views(image, 0))
    centres = [torch.nonzero(one[0, 0] > 0.6).float().mean(0) for one in moved]
    for centre in centres:
        assert abs(centre[0] - 24.5) <= 9
        assert abs(centre[1] - 41.5) <= 9
    assert len({tuple(centre.tolist()) for centre in centres}) > 3
    assert all(one.min() >= 0 and one.max() <= 1 for one in moved)


# LoRA


@pytest.fixture
def stubbed(quick: QuickLiteMedSam) -> Iterator[QuickLiteMedSam]:
    own = quick.network.image_encoder
    quick.network.image_encoder = StubEncoder()
    yield quick
    quick.network.image_encoder = own


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("prompts", ["embedding_cam", "resnet38"])
def test_lora_goes_into_a_file_of_its_own(tmp_path: Path, stubbed: QuickLiteMedSam, prompts: str) -> None:
    before = {name: tensor.clone() for name, tensor in stubbed.network.state_dict().items()}
    section = {"steps": 2, "batch": 2, "rank": 4, "prompts": prompts}
    made = train_from_config(config(tmp_path, lora=section, resnet38=RESNET))
    assert sorted(made.manifest.files) == ["lora.safetensors", "resnet38.safetensors", "weights.safetensors"]
    adapter = load_file(made.path / lora.WEIGHTS_FILE)
    assert {name: tuple(tensor.shape) for name, tensor in adapter.items()} == {
        "first.qkv.lora_A": (4, 48),
        "first.qkv.lora_B": (64, 4),
        "second.qkv.lora_A": (4, 64),
        "second.qkv.lora_B": (256, 4),
    }
    assert all(tensor.abs().max() > 0 for tensor in adapter.values()), "B begins as 0"
    assert same(before, stubbed.network.state_dict()), "the base network stays as it was"
    state = load_file(made.path / "weights.safetensors")
    assert {name.split(".")[0] for name in state} == {"guidance", "prompt_encoder", "mask_decoder"}


def test_stopped_lora_goes_on_to_the_same(tmp_path: Path, stubbed: QuickLiteMedSam) -> None:
    section = {"steps": 3, "batch": 2, "rank": 2}
    whole = train_from_config(config(tmp_path / "whole", lora=section))
    path = config(tmp_path / "stopped", lora=section)
    with pytest.raises(Cancelled):
        train_from_config(path, *stop_at("LoRA", 2))
    again = train_from_config(path)
    for file in whole.manifest.files:
        assert same(load_file(whole.path / file), load_file(again.path / file))


def test_a_patient_left_out_teaches_lora_nothing(tmp_path: Path, stubbed: QuickLiteMedSam) -> None:
    seen: list[str] = []
    made = trainer(tmp_path, lora={"steps": 2, "batch": 2})
    made._progress = lambda now: seen.append(now.stage)
    decoder = {name: p.detach() for name, p in PromptedDecoder(stubbed.network).named_parameters()}
    trained = Trained(made.head("bert"), decoder, BoxSettings(), MaskSettings())
    _, adapter = made.adapted(trained, without="bert")
    assert "LoRA without bert" in seen
    assert not same(adapter, made.adapted(trained)[1])


def test_one_step_through_litemedsams_own_encoder(quick: QuickLiteMedSam, tmp_path: Path) -> None:
    made = trainer(tmp_path, lora={"steps": 1, "batch": 1})
    clean = [n for n, view in enumerate(made.views) if view.name == "clean" and view.shares.any()]
    views, images = [made.views[n] for n in clean], [made.images[n] for n in clean]
    guidance = {view.case: EmbeddingCam(EmbeddingHead(), CPU) for view in views}
    decoder = {name: p.detach() for name, p in PromptedDecoder(quick.network).named_parameters()}
    result = train_lora(
        quick,
        views,
        images,
        PromptMaker(guidance, BoxSettings(), MaskSettings()),
        DecoderAndHead(decoder, EmbeddingHead()),
        LoraTraining(steps=1, batch=1),
        TrainingContext("LoRA", tmp_path / "lora.pt", seed=1),
    )
    assert sum(tensor.numel() for tensor in result.adapter.values()) == 59_392
    ups = [tensor for name, tensor in result.adapter.items() if name.endswith("lora_B")]
    assert len(ups) == 10
    assert all(tensor.abs().max() > 0 for tensor in ups), "the gradient reached every layer"
    # A checkpoint holds what is trained, twice, and the optimiser's two moments of it: not the frozen encoder.
    trained = sum(p.numel() for p in (*result.decoder.values(), *result.head.parameters())) + 59_392
    assert (tmp_path / "lora.pt").stat().st_size < 4 * 4.2 * trained


# The configuration


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"resnet38": {"width": 0.0}}, "width from 0.05 to 2"),
        ({"resnet38": {"steps": 0}}, "resnet38 needs steps"),
        ({"resnet38": {"loss": "hinge"}}, "resnet38 has the loss 'hinge'; choose one of focal, cross_entropy"),
        ({"resnet38": {"method": "scorecam"}}, "the method 'scorecam'; choose one of gradcam"),
        ({"resnet38": {"layer": "layer7"}}, "the layer 'layer7'"),
        ({"resnet38": {"threshold": "0.4"}}, "choose one of paper, otsu, calibrated"),
        ({"resnet38": {"depth": 38}}, "does not know the key 'depth'"),
        ({"resnet38": []}, "resnet38 must be keys and values"),
        ({"lora": {"prompts": "points"}}, "choose one of embedding_cam, resnet38"),
        ({"lora": {"prompts": "resnet38"}}, "prompts of resnet38, which has no section"),
        ({"lora": {"rank": 0}}, "lora needs steps and a rank"),
        ({"lora": {"rank": 2.5}}, "rank must be a whole number"),
    ],
)
def test_sections_that_cannot_work_are_refused(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        TrainingConfig.read(config(tmp_path, **changes))


def test_without_sections_nothing_of_it_is_trained(tmp_path: Path) -> None:
    read = TrainingConfig.read(config(tmp_path))
    assert (read.resnet38, read.lora) == (None, None)
