"""The encoder's precisions in OpenVINO: how near they are to float32, which is the default, and what is kept."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic_ct import synthetic_ct

from sammix_core.engines import int8
from sammix_core.engines import openvino_compiler as compiling
from sammix_core.engines.cache_folder import CacheFolder
from sammix_core.engines.encoder_engine import OpenVinoEngine, TorchEngine, make_engine
from sammix_core.engines.openvino_compiler import BFLOAT16, DEFAULT, FLOAT32, INT8
from sammix_core.errors import InputError
from sammix_core.sam.litemedsam import LiteMedSam, build_network

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed here"),
    pytest.mark.slow,
    pytest.mark.usefixtures("two_threads"),
]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder() -> Any:
    return build_network().image_encoder


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Three slices of the made CT, as the network sees them."""
    axial = synthetic_ct((7, 256, 256))[2:5].astype(np.float32)
    return torch.from_numpy(np.clip((axial + 160) / 400, 0, 1))[:, None].expand(-1, 3, -1, -1)


@pytest.fixture(scope="module")
def exact(encoder: Any, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return encoder(images)


@pytest.fixture(scope="module")
def in_int8(encoder: Any) -> OpenVinoEngine:
    return OpenVinoEngine(encoder, 256, INT8)


def error_of(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found - exact).square().mean().sqrt() / exact.std())


def test_int8_is_near_float32(in_int8: OpenVinoEngine, images: torch.Tensor, exact: torch.Tensor) -> None:
    assert 0.001 < error_of(in_int8(images), exact) < 0.25, "0 would mean that nothing was quantised"


def test_alone_or_together_is_the_same_to_the_bit(
    encoder: Any, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    engine = OpenVinoEngine(encoder, 256, INT8)
    assert engine.concurrency == 2
    together = engine(torch.cat([images, images.flip(3)]))
    assert not torch.equal(together[0], together[1])
    for place, image in enumerate(images):
        assert torch.equal(engine(image[None])[0], together[place])


@pytest.mark.parametrize(
    ("capabilities", "default"),
    [(["FP32", "INT8", "BF16"], INT8), (["FP32", "INT8"], FLOAT32), (["FP32", "FP16"], FLOAT32)],
)
def test_int8_is_the_default_where_the_processor_multiplies_it_without_overflow(
    capabilities: list[str], default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return capabilities

    monkeypatch.setattr(compiling, "openvino_core", Core)
    assert compiling.default_precision() == default


def test_without_openvino_the_default_precision_is_float32_in_torch(
    encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sammix_core.engines.encoder_engine.openvino_available", lambda device: False)
    engine = make_engine(encoder, CPU, precision=DEFAULT)
    assert isinstance(engine, TorchEngine)
    assert (engine.precision, engine.concurrency) == (FLOAT32, 1)


def test_ranges_that_are_missing_or_of_another_encoder_mean_torch_in_float32(
    encoder: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(int8, "RECIPE", tmp_path / "none.safetensors")
    assert isinstance(make_engine(encoder, CPU, precision=INT8), TorchEngine)


def test_lora_keeps_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sammix_core.sam.litemedsam.merge", lambda encoder, adapter: None)
    assert LiteMedSam(CPU, adapter={}, precision=DEFAULT).engine.precision == FLOAT32


def test_a_precision_that_is_not_known_is_one_sentence(encoder: Any) -> None:
    with pytest.raises(InputError, match="no precision 'int4'; choose one of default, float32, bfloat16, int8"):
        make_engine(encoder, CPU, precision="int4")


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 2, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layer(image).relu()


def test_what_was_compiled_is_found_again_and_other_weights_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = []
    trace = torch.jit.trace
    monkeypatch.setattr(torch.jit, "trace", lambda *args, **options: traced.append(1) or trace(*args, **options))
    image, folder, module = torch.rand(1, 1, 8, 8), CacheFolder(tmp_path, 10**8), Small().eval()

    def compiled(precision: str = FLOAT32) -> np.ndarray:
        found = compiling.compile_module(module, [image], [image.shape], precision, cache=folder)
        return found(image.numpy())[0].copy()

    first = compiled()
    np.testing.assert_array_equal(compiled(), first)
    assert len(traced) == len(list(tmp_path.iterdir())) == 1
    compiled(BFLOAT16)
    assert len(traced) == 2
    with torch.no_grad():
        module.layer.weight.mul_(2)
    assert not np.array_equal(compiled(), first)
    assert len(traced) == 3
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    assert not np.array_equal(compiled(), first), "a damaged entry is compiled again"
    assert len(traced) == 4
