"""LiteMedSAM with its published weights: engines, its three masks, what replaces its decoder, what is refused."""

from __future__ import annotations

import copy
import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic_ct import synthetic_ct

from sammix_core.engines import encoder_engine as engine_module
from sammix_core.engines.encoder_engine import OpenVinoEngine, TorchEngine, make_engine
from sammix_core.errors import InputError
from sammix_core.model_store.base_weights import find_base_weights
from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.window import slice_image
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.sam.litemedsam_network import decode_with

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
BOXES = torch.tensor([[44.0, 60.0, 132.0, 190.0], [30.5, 20.0, 140.0, 200.25]])


@pytest.fixture(scope="module")
def backend() -> LiteMedSam:
    return LiteMedSam(CPU, engine="torch")


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    """(1, 1, 256, 256): a slice with an organ on its left."""
    hu = synthetic_ct((1, 150, 180))[0]
    frame = Frame.for_crop((0, 0, *hu.shape), (2.0, 2.0), 256)
    return torch.from_numpy(slice_image(hu, frame, PreprocessingSpec()))[None, None]


@pytest.fixture(scope="module")
def embedding(backend: LiteMedSam, image: torch.Tensor) -> torch.Tensor:
    return backend.encode(image).clone()


@pytest.fixture(scope="module")
def embeddings(embedding: torch.Tensor) -> torch.Tensor:
    """A batch of two that differ: the slice, and its picture blurred in the embedding."""
    other = torch.nn.functional.avg_pool2d(embedding, 3, stride=1, padding=1)
    return torch.cat([embedding, other])


def test_the_shapes(backend: LiteMedSam, embeddings: torch.Tensor) -> None:
    assert embeddings.shape == (2, 256, 64, 64)
    assert embeddings.dtype == torch.float32
    logits, scores = backend.decode(embeddings, BOXES, None)
    assert logits.shape == (2, 3, 256, 256)
    assert scores.shape == (2, 3)
    assert logits.dtype == scores.dtype == torch.float32


def test_the_box_finds_the_organ(backend: LiteMedSam, embedding: torch.Tensor) -> None:
    """The liver of the made-up slice, whose ellipse is known, from its tight box."""
    rows, cols = np.meshgrid(*(np.linspace(-1, 1, n) for n in (150, 180)), indexing="ij")
    organ = ((rows + 0.1) / 0.45) ** 2 + ((cols + 0.4) / 0.3) ** 2 + (0.2 / 0.9) ** 2 < 1
    frame = Frame.for_crop((0, 0, 150, 180), (2.0, 2.0), 256)
    share = frame.to_network(organ.astype(np.float32), 0.0) > 0.5
    edges = [float(edge) for edge in (*np.flatnonzero(share.any(0))[[0, -1]], *np.flatnonzero(share.any(1))[[0, -1]])]
    box = torch.tensor([[edges[0], edges[2], edges[1] + 1, edges[3] + 1]])
    logits, scores = backend.decode(embedding, box, None)
    found = logits[0, 0].numpy() > 0
    assert 2 * (found & share).sum() / (found.sum() + share.sum()) > 0.9
    assert 0.5 < float(scores[0, 0]) < 1.1


def test_all_three_masks_begin_as_litemedsams_own_single_mask(backend: LiteMedSam, embeddings: torch.Tensor) -> None:
    """Its own forward, asked for one mask, on a batch of two."""
    network = backend.network
    centres = BOXES - 0.5  # its boxes are at pixel centres
    with torch.no_grad():
        sparse, dense = network.prompt_encoder(points=None, boxes=centres[:, None], masks=None)
        one, own_score = network.mask_decoder(
            image_embeddings=embeddings,
            image_pe=network.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        logits, scores = backend.decode(embeddings, BOXES, None)
    assert one.shape == (2, 1, 256, 256)
    assert (one > 0).any()
    for index in range(3):
        torch.testing.assert_close(logits[:, index], one[:, 0], atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(scores[:, index], own_score[:, 0], atol=1e-4, rtol=1e-4)


def test_its_forward_from_the_image_agrees_too(
    backend: LiteMedSam, image: torch.Tensor, embedding: torch.Tensor
) -> None:
    with torch.no_grad():
        one = backend.network(image.expand(-1, 3, -1, -1), (BOXES[:1] - 0.5).numpy())
        logits, _ = backend.decode(embedding, BOXES[:1], None)
    torch.testing.assert_close(logits[:, :1], one, atol=1e-3, rtol=1e-4)


def test_a_slice_does_not_depend_on_its_batch(backend: LiteMedSam, embeddings: torch.Tensor) -> None:
    prompt = torch.linspace(-5, 5, 256).expand(2, 1, 256, 256).contiguous()
    with torch.no_grad():
        together = backend.decode(embeddings, BOXES, prompt)
        alone = [backend.decode(embeddings[i : i + 1], BOXES[i : i + 1], prompt[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together[0], torch.cat([one[0] for one in alone]), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(together[1], torch.cat([one[1] for one in alone]), atol=1e-4, rtol=1e-4)


def test_the_mask_prompt_is_listened_to(backend: LiteMedSam, embedding: torch.Tensor) -> None:
    with torch.no_grad():
        plain, _ = backend.decode(embedding, BOXES[:1], None)
        prompted, _ = backend.decode(embedding, BOXES[:1], torch.linspace(-9, 9, 256).expand(1, 1, 256, 256))
    assert float(abs(prompted - plain).max()) > 1


# Engines


def test_openvino_and_torch_give_the_same_embedding(
    backend: LiteMedSam, image: torch.Tensor, embedding: torch.Tensor
) -> None:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed; it has no files for this platform")
    engine = OpenVinoEngine(backend.network.image_encoder, 256)
    found = engine(torch.cat([image, image.flip(3)]).expand(-1, 3, -1, -1))
    assert found.shape == (2, 256, 64, 64)
    assert float(abs(found[:1] - embedding).max()) < 1e-3
    assert float(abs(found[1:] - embedding).max()) > 0.1
    # What it returned stays when it is called again: it hands out no buffer of its own.
    kept = found.clone()
    engine(image.expand(-1, 3, -1, -1) * 0.5)
    assert torch.equal(found, kept)


def test_the_engine_is_chosen_by_name_and_device(backend: LiteMedSam, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = backend.network.image_encoder
    assert isinstance(make_engine(encoder, CPU, "torch"), TorchEngine)
    with pytest.raises(InputError, match="no encoder engine 'onnx'; choose one of auto, torch, openvino"):
        make_engine(encoder, CPU, "onnx")
    with pytest.raises(InputError, match="use the engine 'torch'"):
        make_engine(encoder, torch.device("cuda"), "openvino")
    on_gpu = make_engine(copy.deepcopy(encoder), torch.device("cuda"), "auto", precision="default")
    assert (on_gpu.name, on_gpu.precision) == ("cuda", "float32")
    monkeypatch.setattr(engine_module.importlib.util, "find_spec", lambda name: None)
    assert isinstance(make_engine(encoder, CPU, "auto"), TorchEngine)
    with pytest.raises(InputError, match="OpenVINO is not installed"):
        make_engine(encoder, CPU, "openvino")


def test_where_openvino_does_not_run_torch_does(
    backend: LiteMedSam, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("this processor is not supported")

    monkeypatch.setattr(engine_module, "OpenVinoEngine", broken)
    monkeypatch.setattr(engine_module.importlib.util, "find_spec", lambda name: object())
    engine = make_engine(backend.network.image_encoder, CPU, "auto")
    assert isinstance(engine, TorchEngine)
    assert "this processor is not supported" in caplog.text
    with pytest.raises(InputError, match="OpenVINO does not run here"):
        make_engine(backend.network.image_encoder, CPU, "openvino")


# Trained weights


@pytest.fixture
def fresh(backend: LiteMedSam) -> LiteMedSam:
    """A backend whose decoder may be changed; the encoder is shared."""
    made = copy.copy(backend)
    made.network = copy.copy(backend.network)
    made.network._modules = dict(backend.network._modules)
    for part in ("prompt_encoder", "mask_decoder"):
        setattr(made.network, part, copy.deepcopy(getattr(backend.network, part)))
    return made


def decoder_state(network: Any) -> dict[str, torch.Tensor]:
    state = network.state_dict()
    return {name: tensor.clone() for name, tensor in state.items() if not name.startswith("image_encoder.")}


def test_trained_weights_replace_the_decoder(backend: LiteMedSam, fresh: LiteMedSam, embedding: torch.Tensor) -> None:
    state = decoder_state(fresh.network)
    name = "mask_decoder.output_hypernetworks_mlps.2.layers.2.bias"
    state[name] += 0.5
    before = backend.decode(embedding, BOXES[:1], None)[0]
    fresh.load_trained({key: tensor.half() for key, tensor in state.items()})  # models are stored in half precision
    assert all(tensor.dtype == torch.float32 for tensor in decoder_state(fresh.network).values())
    after = fresh.decode(embedding, BOXES[:1], None)[0]
    assert float(abs(after[:, 0] - before[:, 0]).max()) < 0.3  # what half precision costs
    assert float(abs(after[:, 1] - before[:, 1]).max()) > 1
    assert torch.equal(backend.decode(embedding, BOXES[:1], None)[0], before), "the base network changed"


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("mask_decoder.extra.weight", torch.zeros(3)),
        ("image_encoder.neck.0.weight", torch.zeros(256, 320, 1, 1)),
        ("guidance.map.bias", torch.zeros(1)),
        ("mask_decoder.iou_token.weight", torch.zeros(1, 255)),
    ],
)
def test_foreign_weights_are_refused_and_change_nothing(fresh: LiteMedSam, name: str, tensor: torch.Tensor) -> None:
    before = decoder_state(fresh.network)
    changed = {key: one + 1 for key, one in before.items()}
    with pytest.raises(InputError, match=f"The model's tensor {name} does not fit LiteMedSAM"):
        fresh.load_trained({**changed, name: tensor})
    for key, one in decoder_state(fresh.network).items():
        assert torch.equal(one, before[key])


def test_gradients_reach_the_decoder_and_not_the_encoder(
    fresh: LiteMedSam, backend: LiteMedSam, embeddings: torch.Tensor
) -> None:
    network = fresh.network
    assert not any(parameter.requires_grad for parameter in network.parameters())
    prompt_encoder, mask_decoder = (
        part.requires_grad_(True) for part in (network.prompt_encoder, network.mask_decoder)
    )
    inputs = embeddings.clone()
    prompt = torch.linspace(-5, 5, 256).expand(2, 1, 256, 256)
    logits, scores = decode_with(prompt_encoder, mask_decoder, inputs, BOXES, prompt)
    (logits.sigmoid().mean() + scores.mean()).backward()
    moved = {
        name for part in (prompt_encoder, mask_decoder) for name, p in part.named_parameters() if p.grad is not None
    }
    for part in ("iou_token.weight", "mask_tokens.weight", "iou_prediction_head.layers.0.weight"):
        assert part in moved
    for index in (1, 2, 3):
        assert f"output_hypernetworks_mlps.{index}.layers.0.weight" in moved
    assert any(name.startswith("mask_downscaling") for name in moved), "the mask prompt is not trained"
    assert any(name.startswith("point_embeddings") for name in moved), "the box prompt is not trained"
    assert not any(p.requires_grad or p.grad is not None for p in backend.network.image_encoder.parameters())
    assert inputs.grad is None


def test_encoding_keeps_no_graph(backend: LiteMedSam, image: torch.Tensor) -> None:
    assert not backend.encode(image).requires_grad


# Base weights


def test_another_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the real one, but with one byte changed: nothing of it may reach the unpickler."""
    content = bytearray(find_base_weights().read_bytes())
    content[1000] ^= 1
    (tmp_path / "lite_medsam.pth").write_bytes(content)

    def read(*_: object, **__: object) -> None:
        pytest.fail("the file was read before it was checked")

    monkeypatch.setattr(torch, "load", read)
    with pytest.raises(InputError, match="not the known LiteMedSAM weights"):
        LiteMedSam(CPU, tmp_path / "lite_medsam.pth", engine="torch")


def test_building_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LiteMedSam(CPU, engine="torch")


def test_a_models_own_int8_ranges_are_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with LoRA, for whose encoder they were measured; another file than the manifest names is refused."""
    import shutil
    from dataclasses import replace

    from made_models import an_untrained_model

    from sammix_core.engines.int8 import RANGES_FILE, RECIPE
    from sammix_core.files import sha256_of
    from sammix_core.model_store.store import open_model
    from sammix_core.model_store.weights import load_model_weights, save_weights
    from sammix_core.sam import litemedsam
    from sammix_core.sam.options import BackendOptions

    folder = open_model(an_untrained_model(tmp_path))
    adapter = {
        "layers.1.blocks.0.attn.qkv.lora_A": torch.zeros(2, 128),
        "layers.1.blocks.0.attn.qkv.lora_B": torch.zeros(384, 2),
    }
    shutil.copyfile(RECIPE, folder.path / RANGES_FILE)
    files = {
        **folder.manifest.files,
        RANGES_FILE: sha256_of(folder.path / RANGES_FILE),
        "lora.safetensors": save_weights(adapter, folder.path / "lora.safetensors"),
    }
    replace(folder.manifest, files=files).write(folder.path / "manifest.json")
    folder = open_model(folder.path)
    taken: list[tuple[Any, Any]] = []

    def engine(encoder: Any, *_: Any, precision: str, ranges: Path | None) -> TorchEngine:
        taken.append((precision, ranges))
        return TorchEngine(encoder)

    monkeypatch.setattr(litemedsam, "make_engine", engine)
    state = load_model_weights(folder)
    litemedsam.build_backend(folder, state, BackendOptions(CPU, "torch", "int8"))
    assert taken == [("int8", folder.path / RANGES_FILE)]
    (folder.path / RANGES_FILE).write_bytes(b"others")
    with pytest.raises(InputError, match="its SHA-256 is another one"):
        litemedsam.build_backend(folder, state, BackendOptions(CPU, "torch", "int8"))
