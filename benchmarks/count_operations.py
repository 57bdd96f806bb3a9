"""Counts what the encoder and the decoder must compute, and asks the profiler where the encoder's time goes.

    python benchmarks/count_operations.py

One thread, so that the figures are those of a core; of several runs the quickest counts for each operation. Writes
benchmarks/count_operations.json.
"""

from __future__ import annotations

import json
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from sammix_core.engines import int8
from sammix_core.engines.openvino_compiler import openvino
from sammix_core.sam.litemedsam import build_network
from sammix_core.sam.litemedsam_network import decode_with

RESULTS = Path(__file__).with_suffix(".json")
RUNS = 8


def operations(run: Any) -> float:
    """Floating-point operations, two for a product that is added."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        run()
    return float(counter.get_total_flops())


def profile(model: Any, image: Any, hint: str) -> dict[str, Any]:
    """CPU seconds of one pass, and milliseconds by type of operation."""
    options = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERF_COUNT": True,
    }
    request = openvino().Core().compile_model(model, "CPU", options).create_infer_request()
    least: dict[tuple[str, str, str], float] = {}
    seconds = []
    for _ in range(RUNS):
        started = time.process_time()
        request.infer({0: image})
        seconds.append(time.process_time() - started)
        for node in request.profiling_info:
            if node.status == node.Status.EXECUTED:
                key = (node.node_name, node.node_type, node.exec_type)
                taken = 1000 * node.real_time.total_seconds()
                least[key] = min(least.get(key, taken), taken)
    by_type: dict[str, float] = defaultdict(float)
    for (_, kind, how), taken in least.items():
        by_type[f"{kind} ({how})"] += taken
    ordered = sorted(by_type.items(), key=lambda item: -item[1])
    return {"cpu_seconds": min(seconds), "milliseconds": {kind: round(taken, 1) for kind, taken in ordered[:12]}}


def matrix_rate(side: int = 2048) -> float:
    """Operations a second of a large float32 matrix product in torch, on one thread."""
    matrix = torch.rand(side, side)
    best = 1e9
    for _ in range(RUNS):
        started = time.process_time()
        matrix @ matrix
        best = min(best, time.process_time() - started)
    return 2 * side**3 / best


def main() -> None:
    """Counts, profiles, writes."""
    torch.set_num_threads(1)
    network = build_network()
    image = torch.rand(1, 3, 256, 256)
    embedding, box, prompt = (
        torch.rand(1, 256, 64, 64),
        torch.tensor([[40.0, 60, 180, 200]]),
        torch.zeros(1, 1, 256, 256),
    )
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing is deprecated in torch, but what OpenVINO takes
        traced = torch.jit.trace(network.image_encoder, image, check_trace=False)

    def converted() -> Any:
        return openvino().convert_model(traced, example_input=(image,), input=[list(image.shape)])

    figures = {
        "encoder_operations": operations(lambda: network.image_encoder(image)),
        "decoder_operations": operations(
            lambda: decode_with(network.prompt_encoder, network.mask_decoder, embedding, box, prompt)
        ),
        "encoder_weights": sum(one.numel() for one in network.image_encoder.parameters()),
        "float32_matrix_operations_a_second": matrix_rate(),
        "float32": profile(converted(), image.numpy(), "f32"),
        "bfloat16": profile(converted(), image.numpy(), "bf16"),
        "int8": profile(int8.quantised(converted()), image.numpy(), "bf16"),
    }
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
