"""Ranges measured on an encoder are those that int8 then computes with."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from training_cases import StubEncoder

from sammix_core.engines import int8, int8_measuring
from sammix_core.engines.openvino_compiler import openvino
from sammix_core.errors import InputError

pytestmark = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed here")


def test_without_nncf_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_measuring.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'sammix\[quantise\]'"):
        int8_measuring.measure_ranges(StubEncoder(), [np.zeros((1, 3, 64, 64), np.float32)], {}, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_what_is_measured_is_what_int8_computes_with(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    rng = np.random.default_rng(0)
    images = [rng.random((1, 3, 64, 64), np.float32) for _ in range(4)]
    encoder = StubEncoder().eval().requires_grad_(False)
    path = tmp_path / "own" / int8.RANGES_FILE
    int8_measuring.measure_ranges(encoder, images, {"cases": ["made up"]}, path)
    model = int8.quantised(int8_measuring.converted(encoder, images[0].shape), path)
    compiled = openvino().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    exact = encoder(torch.from_numpy(images[0])).numpy()
    error = float(np.sqrt(np.square(compiled(images[0])[0] - exact).mean()) / exact.std())
    assert 1e-4 < error < 0.1, "0 would mean that nothing was quantised"
    with pytest.raises(RuntimeError, match="another encoder"):
        int8.quantised(int8_measuring.converted(encoder, images[0].shape))
