"""Whether refinement pays: Dice of a trained M-SAM after each stage, on the cases that it was trained on.

    python benchmarks/msam/stages.py CONFIG [--seeds N]

CONFIG is a configuration with `method: msam`, such as benchmarks/msam/demo.yaml; its model is trained where it is not
there yet (resuming what there is). Each case's first cube goes through the main stage and the refining stages

- from an empty mask, with a click from the error region in every stage,
- from an empty mask, with the first stage's click alone,
- from the label grown by three voxels, as a mask of SAM-Mix may be, with a click in every stage and with none.

Each seed draws its own clicks. These are cases that the network has learnt by heart, so the figures show that the
stages work together and nothing about new patients. Rows go to benchmarks/msam/stages.jsonl.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from sammix_core.cli.progress import shown_progress
from sammix_core.engines.device import choose_device
from sammix_core.refinement.msam.network import MSam
from sammix_core.refinement.msam.refine import load_network
from sammix_core.refinement.msam.stages import dice, stages
from sammix_core.training.msam.cases import CubeSettings, RasCase, draw_cubes, load_ras_case
from sammix_core.training.msam.config import MSamConfig
from sammix_core.training.msam.train import train_msam

RESULTS = Path(__file__).with_name("stages.jsonl")
GROWN_VOXELS = 3
# Name of a way -> does it begin from the grown label, and how many stages get a click (None is all).
WAYS: dict[str, tuple[bool, int | None]] = {
    "empty mask, a click a stage": (False, None),
    "empty mask, one click": (False, 1),
    "grown label, a click a stage": (True, None),
    "grown label, no click": (True, 0),
}


def grown(target: torch.Tensor) -> torch.Tensor:
    """(1, 1, crop, crop, crop) bool, larger by `GROWN_VOXELS`."""
    larger = ndimage.binary_dilation(target[0, 0].numpy(), iterations=GROWN_VOXELS)
    return torch.from_numpy(larger)[None, None]


@torch.inference_mode()
def rows_of(network: MSam, case: RasCase, config: MSamConfig, seeds: int) -> Iterator[dict[str, Any]]:
    """One row for each way, seed and stage; stage 0 is what it begins from."""
    first = RasCase(case.name, case.image, case.values, case.mask, case.centres[:1])
    images, target = draw_cubes([first], 1, CubeSettings(config.spec.crop), np.random.default_rng(0))
    device = next(network.parameters()).device
    for way, (from_label, clicking) in WAYS.items():
        start = grown(target) if from_label else None
        begin = 0.0 if start is None else dice(start.float() - 0.5, target)
        for seed in range(seeds):
            head = {"model": f"{config.name}/{config.version}", "case": case.name, "way": way, "seed": seed}
            yield {**head, "stage": 0, "dice": round(begin, 4)}
            count, rng = 1 + config.training.refining_stages, np.random.default_rng(seed)
            moved = (images.to(device), target.to(device), count, rng, None if start is None else start.to(device))
            for stage, logits in enumerate(stages(network, *moved, clicking=clicking), 1):
                yield {**head, "stage": stage, "dice": round(dice(logits, target.to(device)), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = MSamConfig.read(arguments.config)
    folder = config.output / config.name / config.version
    if not folder.exists():
        begun = time.monotonic()
        with shown_progress(quiet=False) as show:
            train_msam(config, show)
        print(f"trained in {time.monotonic() - begun:.0f} s")
    settings = config.training
    chosen = choose_device(settings.device).type
    network = load_network(folder, chosen, config.base_weights, settings.values)
    with RESULTS.open("a", encoding="utf-8") as results:
        for case in config.cases:
            for row in rows_of(network, load_ras_case(case, settings.values), config, arguments.seeds):
                results.write(json.dumps(row) + "\n")
                print(row)


if __name__ == "__main__":
    main()
