"""LoRA is trained through the encoder, repeatable and resumable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from paper_training import RESNET, config, trainer
from safetensors.torch import load_file
from stopping import Stop
from training_cases import QuickLiteMedSam, StubEncoder

from sammix_core.errors import Cancelled
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.sam import lora
from sammix_core.sam.decoding import MaskSettings
from sammix_core.training.context import TrainingContext
from sammix_core.training.decoder_training import PromptedDecoder, PromptMaker
from sammix_core.training.lora_training import DecoderAndHead, train_lora
from sammix_core.training.run import train_from_config
from sammix_core.training.settings import LoraTraining
from sammix_core.training.supervised import Trained

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_backend")]


CPU = torch.device("cpu")


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
    stop = Stop("LoRA", 2)
    with pytest.raises(Cancelled):
        train_from_config(path, stop.report, stop.is_wanted)
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
