"""Modules compiled by OpenVINO: from one thread or several, and compiled again when their weights change."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sammix_core.engines import cache_folder, compiled_module
from sammix_core.engines.compiled_module import CompiledModule
from sammix_core.engines.threads import in_threads

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed here"),
    pytest.mark.slow,
    pytest.mark.usefixtures("two_threads"),
]


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """How many streams were asked for at each compilation; nothing reaches the user's cache."""
    asked: list[int] = []
    compile_module = compiled_module.compile_module
    kept = cache_folder.CacheFolder(tmp_path, 10**9)

    def counted(*arguments: Any, streams: int) -> Any:
        asked.append(streams)
        return compile_module(*arguments, streams=streams, cache=kept)

    monkeypatch.setattr(compiled_module, "compile_module", counted)
    return asked


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 3).eval()


def compiled(layer: nn.Linear) -> CompiledModule:
    return CompiledModule(lambda: layer, list(layer.parameters()), [torch.zeros(1, 4)], [[-1, 4]])


def test_it_computes_what_torch_does(layer: nn.Linear, streams: list[int]) -> None:
    inputs = torch.randn(5, 4)
    (found,) = compiled(layer)(inputs)
    np.testing.assert_allclose(found, layer(inputs).detach().numpy(), atol=1e-5)


def test_what_it_returned_stays_when_it_is_called_again(layer: nn.Linear, streams: list[int]) -> None:
    module = compiled(layer)
    (first,) = module(torch.ones(1, 4))
    copy = first.copy()
    module(-torch.ones(1, 4))
    np.testing.assert_array_equal(first, copy)


def test_it_is_compiled_anew_for_changed_weights_alone(layer: nn.Linear, streams: list[int]) -> None:
    module, inputs = compiled(layer), torch.randn(2, 4)
    (before,) = module(inputs)
    module(inputs)
    assert streams == [1]
    with torch.no_grad():
        layer.bias.add_(1.0)
    (after,) = module(inputs)
    assert streams == [1, 1]
    np.testing.assert_allclose(after, before + 1, atol=1e-5)


def test_threads_compute_beside_each_other_and_get_the_same(layer: nn.Linear, streams: list[int]) -> None:
    module = compiled(layer)
    inputs = [torch.randn(2, 4) for _ in range(40)]
    alone = [module(one)[0] for one in inputs]
    together = list(in_threads(lambda one: module(one)[0], inputs, threads=2))
    np.testing.assert_allclose(np.array(together), np.array(alone), atol=1e-6)
    assert streams == [1, torch.get_num_threads()]


def test_one_by_one_it_is_compiled_once_for_any_number_of_threads(layer: nn.Linear, streams: list[int]) -> None:
    module = CompiledModule(lambda: layer, list(layer.parameters()), [torch.zeros(1, 4)], [[-1, 4]], one_by_one=True)
    inputs = [torch.randn(2, 4) for _ in range(40)]
    alone = [module(one)[0] for one in inputs]
    together = list(in_threads(lambda one: module(one)[0], inputs, threads=2))
    np.testing.assert_array_equal(np.array(together), np.array(alone))
    assert streams == [1]


def test_the_first_inference_of_a_process_is_on_one_thread_alone() -> None:
    """Two first ones at once may wait for each other for ever; see `openvino_core`."""
    script = """
import threading

from sammix_core.engines.openvino_compiler import openvino, openvino_core

requests, seen, cores = openvino().InferRequest, [], []
plain = requests.infer
requests.infer = lambda *about, **more: seen.append(threading.current_thread().name) or plain(*about, **more)
threads = [threading.Thread(target=lambda: cores.append(openvino_core())) for _ in range(4)]
for one in threads:
    one.start()
for one in threads:
    one.join(60)
assert len(seen) == 1, seen
assert len(cores) == 4 and all(core is cores[0] for core in cores)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
