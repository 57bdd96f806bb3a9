"""How well lesions in the liver are segmented: by a click in each, and as candidates without one, case by case.

    python benchmarks/lesion_model/evaluate.py [--liver reference|model] [--cases NAME ...]

The click is an oracle's: the voxel that lies deepest in the reference lesion. Candidates are found without anything of
the reference but, with `--liver reference`, the liver. With `--liver model` the liver is the default model's mask, made
once and kept in work/lesion_model. crlm1004 is a training case with labels of this project; on lits117 the
method was chosen; ircadb17 was read when it was fixed. Rows go to results.jsonl beside.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sammix_core.datasets.labels import CaseLabels
from sammix_core.errors import InputError
from sammix_core.files import atomic_path
from sammix_core.lesions.candidates import lesion_candidates
from sammix_core.lesions.components import lesion_components
from sammix_core.lesions.density import LiverDensity
from sammix_core.lesions.growing import GrownLesion, deepest_voxel
from sammix_core.lesions.scoring import score_lesions
from sammix_core.masks.packed_mask import BoxedMask
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import read_labelmap

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = ROOT.parent / "shared" / "data"
RESULTS = HERE / "results.jsonl"
LIVERS = ROOT / "work" / "lesion_model" / "livers"
THRESHOLDS = (0.1, 0.5)
PEOPLES = {
    "lits117": ("lits117_128_ct.nii.gz", "lits117_128_label_liver1_tumour2.nii.gz"),
    "ircadb17": ("ircadb17_ct.nii.gz", "ircadb17_label_liver1_tumour2.nii.gz"),
}
OURS = "crlm1004"


def references(case: str) -> tuple[Volume, np.ndarray, np.ndarray]:
    """CT, liver with its lesions, and lesions as separate components."""
    if case == OURS:
        volume = read_volume(DATA / "crlm1004_ct.nii.gz")
        lesions = ours(HERE / "labels" / "crlm1004.json")
        liver = ours(HERE.parent / "liver_model" / "labels" / "crlm1004.json") | lesions
    else:
        ct, labels = PEOPLES[case]
        volume, labelmap = read_volume(DATA / ct), read_labelmap(DATA / labels).array
        liver, lesions = labelmap > 0, labelmap == 2
    return volume, liver, lesion_components(volume, lesions)


def ours(path: Path) -> np.ndarray:
    """(k, j, i) bool of a label file."""
    labels = CaseLabels.read(path)
    found = np.zeros(labels.shape, dtype=bool)
    for index, mask in labels.masks.items():
        found[index] = mask
    return found


def livers_by_model(case: str, volume: Volume) -> np.ndarray:
    """The default model's mask, made once."""
    from sammix_core.segmentation.segmenter import Segmenter

    file = LIVERS / f"{case}.npz"
    if not file.exists():
        mask = Segmenter.load("liver").segment_volume(volume).mask
        LIVERS.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as path:
            np.savez_compressed(path, mask=mask)
    with np.load(file) as arrays:
        return arrays["mask"] != 0


def click_rows(volume: Volume, liver: np.ndarray, lesions: np.ndarray) -> Iterator[dict[str, Any]]:
    """One row a lesion."""
    density = LiverDensity(volume, liver)
    for number in range(1, int(lesions.max()) + 1):
        truth, lesion = lesions == number, GrownLesion(density)
        row: dict[str, Any] = {"lesion": number, "voxels": int(truth.sum()), "ml": volume.mask_volume_ml(truth)}
        begun = time.perf_counter()
        try:
            lesion.click(deepest_voxel(BoxedMask.pack(truth)))
        except InputError as error:
            row["refused"] = str(error)
        mask = lesion.mask
        both = int((mask & truth).sum())
        row["dice"] = round(2 * both / (int(mask.sum()) + int(truth.sum())), 4)
        row["iou"] = round(both / int((mask | truth).sum()), 4)
        yield {**row, "seconds": round(time.perf_counter() - begun, 3)}


def candidate_rows(volume: Volume, liver: np.ndarray, lesions: np.ndarray) -> Iterator[dict[str, Any]]:
    """One row a threshold."""
    found = lesion_components(volume, lesion_candidates(volume, liver))
    for least in THRESHOLDS:
        scores = score_lesions(found, lesions, least)
        yield {
            "iou": least,
            "lesions": scores.true,
            "found": scores.hits,
            "false_positives": scores.false_positives,
            "dice": {str(number): round(dice, 4) for number, dice in scores.dice.items()},
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--liver", choices=("reference", "model"), default="reference")
    parser.add_argument("--cases", nargs="+", default=[OURS, *PEOPLES], choices=[OURS, *PEOPLES])
    arguments = parser.parse_args()
    with RESULTS.open("a", encoding="utf-8") as results:
        for case in arguments.cases:
            volume, liver, lesions = references(case)
            if arguments.liver == "model":
                liver = livers_by_model(case, volume)
            for way, rows in (("click", click_rows), ("candidates", candidate_rows)):
                for row in rows(volume, liver, lesions):
                    line = json.dumps({"case": case, "liver": arguments.liver, "way": way, **row})
                    results.write(line + "\n")
                    print(line, flush=True)


if __name__ == "__main__":
    main()
