"""How far two readings of the same slice are apart: the labels' own error.

    python benchmarks/liver_model/label_error.py

`labels/blind` was drawn by polygons without having seen a mask, `labels/second` was painted by another reader from the
model's mask, without having seen the first reader's. Figures go to label_error.json beside this script.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sammix_core.datasets.labels import CaseLabels
from sammix_core.files import write_text_atomic
from sammix_core.masks.overlap import mask_dice

LABELS = Path(__file__).with_name("labels")
RESULT = Path(__file__).with_name("label_error.json")


def main() -> None:
    """Compares all slices that were read twice."""
    result = {}
    for reading in ("blind", "second"):
        rows = []
        for path in sorted((LABELS / reading).glob("*.json")):
            again, first = CaseLabels.read(path), CaseLabels.read(LABELS / path.name)
            for index, mask in sorted(again.masks.items()):
                if index in first.masks:
                    rows.append((path.stem, index, mask_dice(mask, first.masks[index])))
        values = np.array([dice for _, _, dice in rows])
        result[reading] = {
            "slices": len(rows),
            "mean_dice": round(float(values.mean()), 4),
            "median_dice": round(float(np.median(values)), 4),
            "least_dice": round(float(values.min()), 4),
            "by_slice": [{"case": case, "slice": index, "dice": round(dice, 4)} for case, index, dice in rows],
        }
        print(reading, {key: value for key, value in result[reading].items() if key != "by_slice"})
    write_text_atomic(RESULT, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
