"""The decoder in OpenVINO: the same masks as torch's, any batch, and new ones when the weights were trained further."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch.nn import functional

from sammix_core.engines.openvino_compiler import INT8
from sammix_core.engines.threads import in_threads
from sammix_core.sam import decoder_engine
from sammix_core.sam.decoder_engine import DecoderEngine
from sammix_core.sam.light_decoder import LightDecoder
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.sam.litemedsam_network import decode_with

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
BOXES = torch.tensor([[40.0, 60.0, 150.0, 190.5], [3.0, 200.0, 90.0, 256.0], [100.0, 100.0, 101.0, 102.0]])

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed here"
)


@pytest.fixture(scope="module")
def torchs() -> LiteMedSam:
    return LiteMedSam(CPU, engine="torch")


@pytest.fixture(scope="module")
def prompts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return 0.3 * torch.randn(3, 256, 64, 64), BOXES, 5 * torch.randn(3, 1, 256, 256)


def test_the_light_decoder_is_sams_own_in_another_order(torchs: LiteMedSam, prompts: tuple[torch.Tensor, ...]) -> None:
    network = torchs.network
    with torch.inference_mode():
        expected = decode_with(network.prompt_encoder, network.mask_decoder, *prompts)
        found = LightDecoder(network.prompt_encoder, network.mask_decoder)(*prompts)
    assert expected[0].shape == (3, 3, 256, 256)
    assert expected[0].std() > 1, "the logits differ from each other, so that a mix-up would show"
    torch.testing.assert_close(found[0], expected[0], atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(found[1], expected[1], atol=1e-5, rtol=1e-5)


@needs_openvino
def test_openvino_decodes_as_torch_does(torchs: LiteMedSam, prompts: tuple[torch.Tensor, ...]) -> None:
    engine = DecoderEngine(torchs.network)
    with torch.inference_mode():
        expected = torchs.decode(*prompts)
        together = engine(*prompts)
        alone = engine(*(one[1:2] for one in prompts))
    torch.testing.assert_close(together[0], expected[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(together[1], expected[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(alone[0], together[0][1:2], atol=1e-3, rtol=1e-3)


@needs_openvino
def test_without_a_mask_prompt_it_decodes_as_torch_does(torchs: LiteMedSam, prompts: tuple[torch.Tensor, ...]) -> None:
    engine = DecoderEngine(torchs.network)
    with torch.inference_mode():
        expected = torchs.decode(*prompts[:2], None)
    found = engine(*prompts[:2], None)
    torch.testing.assert_close(found[0], expected[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found[1], expected[1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(engine(*prompts)[0], found[0], atol=0.1), "the prompt counts where there is one"


@needs_openvino
def test_with_an_encoder_in_int8_it_rounds_and_moves_edges_by_a_pixel_at_most(
    torchs: LiteMedSam, prompts: tuple[torch.Tensor, ...]
) -> None:
    exact, quick = DecoderEngine(torchs.network), DecoderEngine(torchs.network, INT8)
    smooth = functional.interpolate(prompts[2][:, :, ::32, ::32], size=256, mode="bicubic")
    expected, found = (engine(*prompts[:2], smooth)[0] for engine in (exact, quick))
    inside = (expected > 0).float()
    edge = functional.max_pool2d(inside, 3, 1, 1) + functional.max_pool2d(1 - inside, 3, 1, 1) > 1
    changed = (found > 0) != (expected > 0)
    assert inside.mean() > 0.01
    assert (inside != 1).any()
    assert changed[~edge].float().mean() < 1e-4
    assert changed.float().mean() < 0.005


@needs_openvino
def test_a_slice_decoded_beside_others_is_the_same_to_the_bit(
    torchs: LiteMedSam, prompts: tuple[torch.Tensor, ...]
) -> None:
    engine = DecoderEngine(torchs.network, INT8)
    each = [[one[index : index + 1] for one in prompts] for index in range(3)] * 2
    alone = [engine(*one)[0] for one in each]
    for one, other in zip(in_threads(lambda one: engine(*one)[0], each, 3), alone, strict=True):
        assert torch.equal(one, other)


@needs_openvino
def test_large_batches_are_cut(
    torchs: LiteMedSam, prompts: tuple[torch.Tensor, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = DecoderEngine(torchs.network)
    whole = engine(*prompts)
    monkeypatch.setattr(decoder_engine, "_MOST_AT_ONCE", 2)
    cut = engine(*prompts)
    assert cut[0].shape == whole[0].shape
    torch.testing.assert_close(cut[0], whole[0], atol=1e-3, rtol=1e-3)


@needs_openvino
def test_masks_follow_a_decoder_that_was_trained_further(torchs: LiteMedSam, prompts: tuple[torch.Tensor, ...]) -> None:
    engine = DecoderEngine(torchs.network)
    before = engine(*prompts)[1]
    bias = torchs.network.mask_decoder.iou_prediction_head.layers[-1].bias
    with torch.no_grad():
        bias.add_(0.25)
    try:
        torch.testing.assert_close(engine(*prompts)[1], before + 0.25, atol=1e-4, rtol=1e-4)
    finally:
        with torch.no_grad():
            bias.sub_(0.25)


@needs_openvino
def test_a_backend_uses_it_for_inference_and_torch_where_it_does_not_run(
    prompts: tuple[torch.Tensor, ...], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def counted(self: DecoderEngine, *arguments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(len(arguments[0]))
        raise RuntimeError("this processor is too old")

    backend = LiteMedSam(CPU, engine="openvino")
    monkeypatch.setattr(DecoderEngine, "__call__", counted)
    with torch.inference_mode():
        found = backend.decode(*prompts)
        again = backend.decode(*prompts)
    assert calls == [3], "it was tried once, then torch decodes"
    sentence = "OpenVINO cannot run the mask decoder, so PyTorch runs it: this processor is too old"
    assert caplog.messages.count(sentence) == 1
    assert torch.equal(found[0], again[0])
    assert found[0].shape == (3, 3, 256, 256)


@needs_openvino
def test_gradients_go_through_torch(prompts: tuple[torch.Tensor, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    backend = LiteMedSam(CPU, engine="openvino")
    monkeypatch.setattr(DecoderEngine, "__call__", lambda *_: pytest.fail("no gradient comes out of OpenVINO"))
    token = backend.network.mask_decoder.mask_tokens.weight.requires_grad_(True)
    logits, _ = backend.decode(*(one[:1] for one in prompts))
    logits.sum().backward()
    assert token.grad is not None
    assert token.grad.abs().sum() > 0
