"""SAM ViT and MedSAM at 1024 x 1024: what goes in, what comes out, and a volume with boxes of another model."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_network import CPU, turned_volume
from made_models import an_untrained_model
from segment_anything.build_sam import sam_model_registry
from small_sam import checkpoint, publish, small_sam
from synthetic_ct import synthetic_ct
from training_cases import QuickLiteMedSam

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.errors import InputError
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.downscaled import DownscaledGuidance
from sammix_core.model_store import ModelFolder
from sammix_core.model_store.third_party_weights import THIRD_PARTY_WEIGHTS
from sammix_core.model_store.weights import save_weights
from sammix_core.sam import fetch, lora
from sammix_core.sam.litemedsam import build_backend
from sammix_core.sam.registry import BACKENDS
from sammix_core.sam.vit import VitSam, build_network
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

pytestmark = pytest.mark.slow

BOX = torch.tensor([[200.0, 300.0, 600.0, 700.0], [10.0, 20.0, 900.0, 1000.0]])


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return small_sam().state_dict()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sam_model_registry, "vit_b", small_sam)


def backend(name: str, state: dict[str, torch.Tensor], **options: Any) -> VitSam:
    return VitSam(CPU, THIRD_PARTY_WEIGHTS[name], state, engine="torch", **options)


def an_image() -> torch.Tensor:
    return torch.rand(1, 1, 1024, 1024, generator=torch.Generator().manual_seed(1))


def an_adapter() -> dict[str, torch.Tensor]:
    encoder = small_sam().image_encoder
    lora.inject(encoder)
    source = torch.Generator().manual_seed(3)
    shapes = {name: tensor.shape for name, tensor in lora.lora_state(encoder).items()}
    return {name: torch.randn(shape, generator=source) * 0.2 for name, shape in shapes.items()}


# What goes in


def test_sams_images_are_standardised_as_its_own_code_does(state: dict[str, torch.Tensor]) -> None:
    network = small_sam().eval()
    network.load_state_dict(state)
    image = an_image()
    with torch.inference_mode():
        expected = network.image_encoder(network.preprocess((image * 255).expand(-1, 3, -1, -1)))
    torch.testing.assert_close(backend("sam_vit_b", state).encode(image), expected, atol=1e-5, rtol=1e-5)


def test_medsams_images_lie_between_0_and_1(state: dict[str, torch.Tensor]) -> None:
    image = an_image()
    with torch.inference_mode():
        expected = build_network("vit_b", state).image_encoder(image.expand(-1, 3, -1, -1))
    found = backend("medsam", state).encode(image)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, backend("sam_vit_b", state).encode(image), atol=1e-3)


def test_the_engines_agree(state: dict[str, torch.Tensor]) -> None:
    pytest.importorskip("openvino")
    image = an_image()
    compiled = VitSam(CPU, THIRD_PARTY_WEIGHTS["sam_vit_b"], state, engine="openvino")
    assert compiled.engine.name == "openvino"
    torch.testing.assert_close(compiled.encode(image), backend("sam_vit_b", state).encode(image), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["sam_vit_l", "sam_vit_h"])
def test_the_large_ones_stay_with_torch(
    state: dict[str, torch.Tensor], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sam_model_registry, THIRD_PARTY_WEIGHTS[name].architecture, small_sam)
    assert VitSam(CPU, THIRD_PARTY_WEIGHTS[name], state).engine.name == "torch"


# What comes out


@pytest.mark.parametrize("prompted", [False, True])
def test_sams_masks_are_its_own_three(state: dict[str, torch.Tensor], prompted: bool) -> None:
    sam = backend("sam_vit_b", state)
    embeddings = torch.randn(2, 256, 64, 64, generator=torch.Generator().manual_seed(2))
    prompt = torch.randn(2, 1, 256, 256) if prompted else None
    with torch.inference_mode():
        logits, scores = sam.decode(embeddings, BOX, prompt)
        for index in range(2):
            one = None if prompt is None else prompt[index : index + 1]
            sparse, dense = sam.network.prompt_encoder(None, BOX[index : index + 1] - 0.5, one)
            masks, own = sam.network.mask_decoder(
                embeddings[index : index + 1], sam.network.prompt_encoder.get_dense_pe(), sparse, dense, True
            )
            torch.testing.assert_close(logits[index], masks[0])
            torch.testing.assert_close(scores[index], own[0])
    assert logits.shape == (2, 3, 256, 256)
    assert not torch.allclose(logits[:, 0], logits[:, 1])


def test_medsams_three_masks_are_its_single_one(state: dict[str, torch.Tensor]) -> None:
    sam = backend("medsam", {name: tensor.clone() for name, tensor in state.items()})
    embeddings = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(2))
    plain = build_network("vit_b", state)
    with torch.inference_mode():
        logits, scores = sam.decode(embeddings, BOX[:1], None)
        sparse, dense = plain.prompt_encoder(None, BOX[:1] - 0.5, None)
        single, score = plain.mask_decoder(embeddings, plain.prompt_encoder.get_dense_pe(), sparse, dense, False)
    for index in range(3):
        torch.testing.assert_close(logits[:, index], single[:, 0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(scores[:, index], score[:, 0], atol=1e-5, rtol=1e-5)


def test_weights_of_another_network_are_refused(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(InputError, match="not those of segment-anything's vit_b"):
        build_network("vit_b", {name: tensor for name, tensor in state.items() if "neck" not in name})


def test_lora_is_merged(state: dict[str, torch.Tensor]) -> None:
    adapter = an_adapter()
    own = {name: tensor.clone() for name, tensor in state.items()}
    changed = backend("sam_vit_b", own, adapter=adapter).encode(an_image())
    assert (changed - backend("sam_vit_b", state).encode(an_image())).abs().max() > 1e-3


# Boxes from a smaller image


class Asked:
    name = "asked"
    needs_embeddings = True

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        self.images, self.embeddings = images, embeddings
        return GuidanceMaps(np.zeros((1, 4, 4), np.float32), np.ones(1, np.float32))


def test_a_guidance_sees_images_of_its_own_size_and_its_own_embeddings() -> None:
    inner = Asked()
    guidance = DownscaledGuidance(inner, 256, lambda images: images * 2)
    image = torch.arange(1024 * 1024.0).reshape(1, 1, 1024, 1024) / 1024**2
    maps = guidance.maps(image, torch.empty(0))
    assert (guidance.name, guidance.needs_embeddings, len(maps.probabilities)) == ("asked", False, 1)
    assert inner.images.shape == (1, 1, 256, 256)
    assert inner.images[0, 0, 5, 7] == image[0, 0, 20:24, 28:32].mean()
    torch.testing.assert_close(inner.embeddings, (inner.images * 2).half().float())


# A model of it


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFolder:
    """SAM "ViT-B" as fetched, which takes its boxes from an untrained model of ours."""
    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path / "home"))
    content = checkpoint()
    (tmp_path / "sam.pth").write_bytes(content)
    weights = publish(monkeypatch, "sam_vit_b", content, "https://localhost/sam.pth")
    monkeypatch.setattr(fetch, "GUIDED_BY", "untrained")
    quick = partial(build_backend, create=lambda device, *_: QuickLiteMedSam(device))
    monkeypatch.setitem(BACKENDS, "lite_medsam", quick)
    an_untrained_model(tmp_path / "home" / "models")
    return fetch.fetch(weights, tmp_path / "sam.pth")


def changed(model: ModelFolder, **changes: Any) -> Path:
    manifest = json.loads((model.path / "manifest.json").read_text())
    (model.path / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    return model.path


def a_volume() -> Volume:
    return turned_volume(synthetic_ct((3, 64, 80)), AxialOrder((2, 1, 0), (False, False, False)))


def test_a_fetched_model_segments_from_given_boxes(model: ModelFolder) -> None:
    loaded = Segmenter.load("sam_vit_b", device="cpu", engine="torch")
    assert loaded.model.spec == "sam_vit_b/1.0.0"
    assert (loaded.model.backend.name, loaded.model.guidance.name) == ("sam_vit_b", "embedding_cam")
    assert loaded.model.preprocessing.size == 1024
    volume = a_volume()
    boxes = BoxTrack((80, 64, 3), "k", [Box(1, 20, 15, 60, 50, BoxSource.EDITED)])
    result = loaded.segment_volume(volume, boxes=boxes, uncertainty=True)
    assert result.mask.shape == volume.array.shape
    assert not result.mask[[0, 2]].any()
    outside = np.ones((64, 80), bool)
    outside[10:55, 15:65] = False
    assert not result.mask[1][outside].any()
    assert len(result.slices[1].scores.mask_scores) == 3
    assert result.uncertainty is not None
    assert result.uncertainty[1].any(), "the three masks of random weights differ"
    assert result.slices_encoded == 1, "the large encoder sees the slice with a box alone"


def test_boxes_are_those_of_the_model_that_guides(model: ModelFolder, tmp_path: Path) -> None:
    small = Segmenter.load("untrained", device="cpu", engine="torch").model
    large = Segmenter.load("sam_vit_b", device="cpu", engine="torch").model
    assert large.boxes == replace(small.boxes, padding=tuple(4 * edge for edge in small.boxes.padding))
    volume = a_volume()
    maps = []
    for one in (small, large):
        session = Segmenter(one).open_session(volume)
        session.find_boxes()
        maps.append(session.result().cam.astype(np.float32))
    # The image is enlarged and made smaller again on the way, which changes it a little.
    assert np.abs(maps[0] - maps[1]).mean() < 0.02


def test_lora_for_it_is_loaded(model: ModelFolder) -> None:
    adapter = an_adapter()
    plain = Segmenter.load("sam_vit_b", device="cpu", engine="torch").model.backend.encode(an_image())
    digest = save_weights(adapter, model.path / lora.WEIGHTS_FILE)
    changed(model, files={**model.manifest.files, lora.WEIGHTS_FILE: digest})
    adapted = Segmenter.load("sam_vit_b", device="cpu", engine="torch").model.backend.encode(an_image())
    assert (adapted - plain).abs().max() > 1e-3


def test_resnet38_needs_a_model_that_has_it(model: ModelFolder) -> None:
    with pytest.raises(InputError, match=r"untrained/1.0.0 carries no ResNet-38 weights"):
        Segmenter.load("sam_vit_b", device="cpu", engine="torch", guidance="resnet38")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"base_model": {"name": "sam_vit_b", "sha256": "0" * 64}}, "made of another file than the SAM ViT-B"),
        ({"guidance": {"name": "embedding_cam", "of": "nobody"}}, "There is no model 'nobody'"),
        ({"guidance": {"name": "embedding_cam", "of": "sam_vit_b"}}, "which has no guidance of its own"),
    ],
)
def test_what_does_not_fit_is_refused(model: ModelFolder, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        Segmenter.load(changed(model, **changes), device="cpu", engine="torch")


def test_a_pass_through_the_real_vit_b(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through three of its twelve blocks, which are alike but that each third sees the whole image."""
    monkeypatch.undo()  # the real network again
    torch.manual_seed(0)
    network = sam_model_registry["vit_b"]()
    assert sum(parameter.numel() for parameter in network.parameters()) == 93_735_472
    real = VitSam(CPU, THIRD_PARTY_WEIGHTS["sam_vit_b"], network.state_dict(), engine="torch")
    blocks = real.network.image_encoder.blocks
    assert [block.window_size for block in blocks] == [14, 14, 0] * 4
    del blocks[3:]
    with torch.inference_mode():
        embeddings = real.encode(an_image())
        logits, scores = real.decode(embeddings, BOX[:1], torch.zeros(1, 1, 256, 256))
    assert embeddings.shape == (1, 256, 64, 64)
    assert logits.shape == (1, 3, 256, 256)
    assert scores.shape == (1, 3)
    assert torch.isfinite(logits).all()
