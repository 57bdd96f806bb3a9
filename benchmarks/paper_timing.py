"""What the paper's parts cost on a CPU: seconds of the clock and of all cores together, with random weights.

    python benchmarks/paper_timing.py

Rows go to benchmarks/paper_timing.jsonl. Core seconds are what to compare: the clock's depend on what else runs.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sammix_core.guidance.gradcam import activation_maps
from sammix_core.guidance.resnet38 import STRUCTURE, ResNet38
from sammix_core.model_store.third_party_weights import THIRD_PARTY_WEIGHTS
from sammix_core.sam import lora
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.sam.vit import VitSam

RESULTS = Path(__file__).with_suffix(".jsonl")
CPU = torch.device("cpu")
BATCH = 16


def measured(what: str, run: Callable[[], Any], times: int = 1) -> dict[str, Any]:
    """Runs something once to warm up and then a few times; or once alone, where it is done once."""
    if times > 1:
        run()
    wall, cores = time.monotonic(), time.process_time()
    for _ in range(times):
        run()
    wall, cores = time.monotonic() - wall, time.process_time() - cores
    return {"what": what, "seconds": round(wall / times, 2), "core_seconds": round(cores / times, 2)}


def resnet_rows() -> Iterator[dict[str, Any]]:
    """A training step and a map, at both widths."""
    images = torch.rand(BATCH, 1, 256, 256)
    for width in (0.5, 1.0):
        network = ResNet38(width)

        def step(network: ResNet38 = network) -> None:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                output = network(images)
            output.float().square().mean().backward()

        def one_map(network: ResNet38 = network) -> None:
            activation_maps(network, network.layer4, images[:1], STRUCTURE)

        yield measured(f"ResNet-38 width {width}, training step of {BATCH} slices", step, 2)
        yield measured(f"ResNet-38 width {width}, one map", one_map, 4)


def lora_rows() -> Iterator[dict[str, Any]]:
    """LiteMedSAM's encoder forwards and backwards."""
    encoder = LiteMedSam(CPU, engine="torch").network.image_encoder
    lora.inject(encoder)
    image = torch.rand(1, 3, 256, 256)
    yield measured("LoRA on LiteMedSAM's encoder, one slice there and back", lambda: encoder(image).sum().backward(), 2)


def vit_rows() -> Iterator[dict[str, Any]]:
    """ViT-B's encoder by both engines."""
    from segment_anything.build_sam import sam_model_registry

    state, image = sam_model_registry["vit_b"]().state_dict(), torch.rand(1, 1, 1024, 1024)
    for engine in ("torch", "openvino"):
        made: list[VitSam] = []
        load = partial(VitSam, CPU, THIRD_PARTY_WEIGHTS["sam_vit_b"], state, engine)
        yield measured(f"ViT-B, loaded for {engine}", lambda made=made, load=load: made.append(load()))
        yield measured(f"ViT-B, one slice by {engine}", partial(made[0].encode, image), 2)


def main() -> None:
    """Measures, and writes each row as it comes."""
    torch.manual_seed(0)
    RESULTS.write_text("", encoding="utf-8")
    for row in itertools.chain(resnet_rows(), lora_rows(), vit_rows()):
        line = json.dumps({**row, "threads": torch.get_num_threads()})
        print(line, flush=True)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
