"""The encoder on a GPU: `pytest -m cuda` for what needs one; how batches shrink is tested anywhere."""

from __future__ import annotations

import pytest
import torch

from sammix_core.engines.cuda_engine import CudaEngine
from sammix_core.engines.encoder_engine import make_engine
from sammix_core.engines.openvino_compiler import BFLOAT16
from sammix_core.sam.litemedsam import build_network

on_gpu = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no NVIDIA GPU here"),
]


class SmallMemory(torch.nn.Module):
    """Doubles images; on what stands in for the GPU, where autocast is on, it has room for so many of them alone."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.seen: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu") and len(images) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        self.seen.append(len(images))
        return 2 * images


def an_engine(room: int) -> CudaEngine:
    return CudaEngine(SmallMemory(room), torch.device("cpu"), BFLOAT16)


def test_batches_are_halved_until_they_fit_and_nothing_is_lost() -> None:
    engine = an_engine(room=9)
    images = torch.arange(40.0)[:, None, None, None].expand(-1, 3, 2, 2)
    torch.testing.assert_close(engine(images), 2 * images)
    assert engine.batch == 8
    assert engine._run.seen == [8] * 5
    assert engine.notes == []
    engine(images[:3])
    assert engine.batch == 8, "what was learnt stays"


def test_the_cpu_is_the_last_resort_and_it_is_said() -> None:
    engine = an_engine(room=0)
    images = torch.arange(5.0)[:, None, None, None].expand(-1, 3, 2, 2)
    torch.testing.assert_close(engine(images), 2 * images)
    assert len(engine.notes) == 1
    assert "CPU" in engine.notes[0]


class TestOnAGpu:
    pytestmark = on_gpu

    @pytest.mark.parametrize("compiled", [False, True])
    def test_it_agrees_with_float32(self, compiled: bool) -> None:
        device = torch.device("cuda")
        encoder = build_network().to(device).image_encoder
        torch.manual_seed(0)
        images = torch.rand(3, 3, 256, 256)
        with torch.inference_mode():
            expected = encoder(images.to(device))
            found = CudaEngine(encoder, device, BFLOAT16, compiled)(images)
        error = (found - expected).square().mean().sqrt() / expected.std()
        assert found.dtype == torch.float32
        assert float(error) < 0.1

    def test_float32_is_torchs_own(self) -> None:
        device = torch.device("cuda")
        encoder = build_network().to(device).image_encoder
        images = torch.rand(3, 3, 256, 256)
        with torch.inference_mode():
            expected = encoder(images.to(device))
            found = CudaEngine(encoder, device)(images)
        torch.testing.assert_close(found, expected, atol=5e-3, rtol=1e-3)

    def test_it_is_chosen_for_bfloat16(self) -> None:
        device = torch.device("cuda")
        engine = make_engine(build_network().to(device).image_encoder, device, precision=BFLOAT16)
        assert (engine.name, engine.precision) == ("cuda", BFLOAT16)
