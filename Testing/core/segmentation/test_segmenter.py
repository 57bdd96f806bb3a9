"""Loading a model: what must fit what, and the guidance head that comes with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_models import an_untrained_model

from sammix_core.engines.device import choose_device
from sammix_core.errors import InputError
from sammix_core.guidance.embedding_cam import PREFIX, EmbeddingCam
from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.segmentation.segmenter import Segmenter

CPU = torch.device("cpu")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return an_untrained_model(tmp_path)


def changed(model: Path, **changes: object) -> Path:
    manifest = json.loads((model / "manifest.json").read_text())
    (model / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    return model


def refused(model: Path, match: str, **options: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        Segmenter.load(model, **{"device": "cpu", "engine": "torch", **options})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_model_is_loaded(model: Path) -> None:
    loaded = Segmenter.load(model, device="cpu", engine="torch").model
    assert (loaded.spec, loaded.guidance.name, loaded.device) == ("untrained/1.0.0", "embedding_cam", CPU)
    assert not loaded.masks.mask_prompt


def test_an_unknown_guidance_engine_device_or_model(model: Path, tmp_path: Path) -> None:
    refused(model, "no guidance 'oracle'; choose one of: embedding_cam", guidance="oracle")
    refused(model, "no encoder engine 'onnx'", engine="onnx")
    refused(model, "no device 'tpu'; choose auto, cpu or cuda", device="tpu")
    refused(tmp_path / "absent", "There is no model")


def test_a_model_on_another_base(model: Path) -> None:
    refused(changed(model, base_model={"name": "lite_medsam", "sha256": "0" * 64}), "made on another base model")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"guidance": {"name": "gradcam"}}, "no guidance 'gradcam'"),
        ({"guidance": {}}, "no guidance 'None'"),
        ({"guidance": {"name": "embedding_cam", "boxes": {"blur": 1}}}, "box section .*blur"),
        ({"preprocessing": {"gamma": 1}}, "preprocessing .*gamma"),
        ({"postprocessing": {"choice": "best"}}, "choice 'best'"),
    ],
)
def test_settings_that_this_version_does_not_know(model: Path, changes: dict[str, object], match: str) -> None:
    refused(changed(model, **changes), match)


def test_changed_weights_are_refused(model: Path) -> None:
    weights = model / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    refused(model, "SHA-256 is another one")


def test_cpu_is_always_there_and_auto_takes_what_is() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


# The guidance head


def a_head() -> EmbeddingHead:
    torch.manual_seed(0)
    return EmbeddingHead()


def state_of(head: EmbeddingHead) -> dict[str, torch.Tensor]:
    return {PREFIX + name: tensor for name, tensor in head.state_dict().items()}


def test_the_map_and_its_probability() -> None:
    cam = EmbeddingCam.from_state({**state_of(a_head()), "mask_decoder.x": torch.zeros(1)}, CPU)
    embeddings = torch.randn(3, 256, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = cam.maps(embeddings, embeddings)
    assert maps.cam_logits.shape == (3, 64, 64)
    assert maps.cam_logits.dtype == maps.probabilities.dtype == np.float32
    assert maps.probabilities.shape == (3,)
    # The probability is that of the strongest cells: what it classifies by is what it shows.
    strongest = np.sort(maps.cam_logits.reshape(3, -1))[:, -16:].mean(1)
    np.testing.assert_allclose(maps.probabilities, 1 / (1 + np.exp(-strongest)), rtol=1e-5)


def test_a_slice_does_not_depend_on_its_batch() -> None:
    cam = EmbeddingCam(a_head(), CPU)
    embeddings = torch.randn(2, 256, 64, 64, generator=torch.Generator().manual_seed(0))
    together = cam.maps(embeddings, embeddings)
    alone = cam.maps(embeddings[1:], embeddings[1:])
    np.testing.assert_allclose(together.cam_logits[1:], alone.cam_logits, atol=1e-5)
    np.testing.assert_allclose(together.probabilities[1:], alone.probabilities, atol=1e-6)


def test_a_cell_sees_the_whole_slice() -> None:
    """Liver, spleen and heart look alike from near; so a change in one corner reaches the other."""
    head = a_head().eval()
    embedding = torch.zeros(1, 256, 64, 64)
    other = embedding.clone()
    other[..., :8, :8] = torch.randn(256, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = abs(head(other)[0] - head(embedding)[0])[0, 0]
    assert difference[-8:, -8:].max() > 1e-3


@pytest.mark.parametrize("damage", ["absent", "shape", "more"])
def test_weights_of_another_head_are_refused(damage: str) -> None:
    state = state_of(a_head())
    if damage == "absent":
        del state[PREFIX + "map.bias"]
    elif damage == "shape":
        state[PREFIX + "map.bias"] = torch.zeros(2)
    else:
        state[PREFIX + "extra"] = torch.zeros(2)
    with pytest.raises(InputError, match="not an embedding CAM that this version knows"):
        EmbeddingCam.from_state(state, CPU)
