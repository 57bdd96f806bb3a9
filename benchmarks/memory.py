"""Peak memory of `Segmenter.segment_volume` on a made volume, in a process of its own.

    python benchmarks/memory.py --slices 300 --size 512 [--every-slice]

Adds a row to benchmarks/memory.jsonl: the volume itself, the process before it, and the most that it held.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from sammix_core.evaluation.speed.quick import peak_memory_bytes
from sammix_core.evaluation.speed.synthetic_volume import synthetic_volume
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.slice_sampling import DEFAULT_SAMPLING, EVERY_SLICE

RESULTS = Path(__file__).with_suffix(".jsonl")


def main() -> None:
    """Segments once and tells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, required=True)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--slice-mm", type=float, default=1.0)
    parser.add_argument("--every-slice", action="store_true")
    arguments = parser.parse_args()
    segmenter = Segmenter.load("liver", device="cpu")
    before = peak_memory_bytes()
    volume = synthetic_volume((arguments.slices, arguments.size, arguments.size), arguments.slice_mm)
    started = time.monotonic()
    result = segmenter.segment_volume(volume, sampling=EVERY_SLICE if arguments.every_slice else DEFAULT_SAMPLING)
    peak = peak_memory_bytes()
    row = {
        "shape_kji": list(volume.shape_kji),
        "slice_mm": arguments.slice_mm,
        "every_slice": arguments.every_slice,
        "precision": result.precision,
        "slices_encoded": result.slices_encoded,
        "slices_with_mask": sum(one.area_px > 0 for one in result.slices),
        "volume_gb": round(volume.array.nbytes / 1e9, 3),
        "peak_before_gb": None if before is None else round(before / 1e9, 3),
        "peak_gb": None if peak is None else round(peak / 1e9, 3),
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(row))
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
