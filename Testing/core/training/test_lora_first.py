"""LoRA trained before everything else: the views are those of the adapted encoder, and so is what ships."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from paper_training import config, trainer
from safetensors.torch import load_file
from training_cases import QuickLiteMedSam, StubEncoder

from sammix_core.engines.int8 import RANGES_FILE
from sammix_core.errors import InputError
from sammix_core.model_store import verify
from sammix_core.sam import lora
from sammix_core.training import supervised, view_encoder
from sammix_core.training.config import TrainingConfig
from sammix_core.training.run import train_from_config
from sammix_core.training.supervised import SupervisedTrainer
from sammix_core.training.view_encoder import adapter_key, as_stored

pytestmark = pytest.mark.slow

FIRST = {"order": "first", "steps": 2, "batch": 2, "rank": 2, "views": 0}
THREE = [
    {"name": "anna", "ct": "anna_ct.nii.gz", "labels": "anna.json"},
    {"name": "bert", "ct": "bert_ct.nii.gz", "mask": "bert_mask.nii.gz", "values": [3]},
    {"name": "carl", "ct": "bert_ct.nii.gz", "mask": "bert_mask.nii.gz", "values": [3]},
]


@pytest.fixture
def adapters(quick: QuickLiteMedSam, monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, torch.Tensor] | None]:
    """Lets the trainer build backends whose small encoder takes LoRA; the LoRA of each, in the order of building."""
    built: list[Mapping[str, torch.Tensor] | None] = []

    def build(
        device: torch.device,
        base_weights: Path | None,
        engine: str,
        adapter: Mapping[str, torch.Tensor] | None,
        *_: Any,
    ) -> QuickLiteMedSam:
        built.append(adapter)
        backend = copy.copy(quick)
        backend.network = copy.deepcopy(quick.network)
        encoder = backend.network.image_encoder = StubEncoder().requires_grad_(False)
        if adapter is not None:
            lora.merge(encoder, adapter)
        backend.encode = lambda images: encoder(images.expand(-1, 3, -1, -1))  # type: ignore[method-assign]
        return backend

    monkeypatch.setattr(supervised, "LiteMedSam", build)
    return built


def test_the_model_carries_the_encoder_that_its_views_went_through(
    tmp_path: Path, adapters: list[Mapping[str, torch.Tensor] | None]
) -> None:
    path = config(tmp_path, lora=FIRST)
    made = train_from_config(path)
    assert verify(made) == []
    assert sorted(made.manifest.files) == ["lora.safetensors", "weights.safetensors"]
    shipped = {name: tensor.float() for name, tensor in load_file(made.path / lora.WEIGHTS_FILE).items()}
    assert adapters[0] is None, "LoRA is trained on the plain encoder's prompts"
    assert adapters[-1] is not None
    assert all(torch.equal(shipped[name], tensor) for name, tensor in adapters[-1].items())
    assert all(tensor.abs().max() > 0 for tensor in shipped.values())
    again = SupervisedTrainer(TrainingConfig.read(path))
    encoder = StubEncoder().requires_grad_(False)
    lora.merge(encoder, shipped)
    clean = next(n for n, view in enumerate(again.views) if (view.case, view.name) == ("bert", "clean"))
    image = torch.from_numpy(again.images[clean][2].astype(np.float32))
    expected = encoder(image.expand(1, 3, -1, -1))[0].to(torch.float16).float()
    found = torch.from_numpy(np.array(again.views[clean].embeddings[2])).float()
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)  # the image is kept in half precision
    plain = StubEncoder()(image.expand(1, 3, -1, -1))[0]
    assert (plain - expected).abs().max() > 1e-4


def test_the_decoder_begins_as_it_was_trained_beside_lora(
    tmp_path: Path, quick: QuickLiteMedSam, adapters: list[Mapping[str, torch.Tensor] | None]
) -> None:
    trained = trainer(tmp_path, lora=FIRST).train()  # no steps of the decoder's own
    base = quick.network.state_dict()
    assert any(not torch.equal(tensor, base[name]) for name, tensor in trained.decoder.items())
    assert trained.encoder.adapter is not None


@pytest.mark.parametrize("shared", [True, False])
def test_a_model_without_a_patient_shares_lora_or_has_its_own(
    tmp_path: Path, adapters: list[Mapping[str, torch.Tensor] | None], shared: bool
) -> None:
    made = trainer(tmp_path, cases=THREE, lora={**FIRST, "shared": shared})
    of_all, without = made.train(), made.train(without="carl")
    assert of_all.encoder.adapter is not None
    assert without.encoder.adapter is not None
    same = adapter_key(of_all.encoder.adapter) == adapter_key(without.encoder.adapter)
    assert same == shared
    assert len([adapter for adapter in adapters if adapter is not None]) == (1 if shared else 2)


def test_in_int8_the_ranges_of_the_adapted_encoder_are_measured_and_shipped(
    tmp_path: Path, adapters: list[Mapping[str, torch.Tensor] | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[torch.Tensor] = []

    def measure(encoder: Any, images: list[np.ndarray], about: dict[str, Any], path: Path) -> None:
        assert {image.shape for image in images} == {(1, 3, 256, 256)}
        assert about["cases"] == ["anna", "bert"]
        measured.append(encoder.first["qkv"].weight)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"ranges")

    monkeypatch.setattr(view_encoder.int8_measuring, "measure_ranges", measure)
    monkeypatch.setattr(view_encoder.int8_measuring, "require_nncf", lambda: None)
    monkeypatch.setattr(view_encoder, "openvino_available", lambda device: True)
    monkeypatch.setattr(view_encoder, "default_precision", lambda: "int8")
    path = config(tmp_path, lora=FIRST, encoder="int8")
    made = train_from_config(path)
    assert (made.path / RANGES_FILE).read_bytes() == b"ranges"
    assert verify(made) == []
    assert len(measured) == 1
    assert not torch.equal(measured[0], StubEncoder().first["qkv"].weight), "LoRA was merged in before"
    SupervisedTrainer(TrainingConfig.read(path))
    assert len(measured) == 1, "what was measured is kept"


def test_prompts_of_resnet38_come_later(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trained first with prompts of embedding_cam alone"):
        TrainingConfig.read(config(tmp_path, lora={**FIRST, "prompts": "resnet38"}))
    with pytest.raises(InputError, match="the order 'second'; choose one of first, last"):
        TrainingConfig.read(config(tmp_path, lora={**FIRST, "order": "second"}))


def test_lora_is_kept_as_it_is_stored() -> None:
    adapter = as_stored({"a.lora_A": torch.tensor([[0.1234567]])})
    assert adapter["a.lora_A"].item() == np.float32(np.float16(0.1234567))
