"""Validates the shipped model on whole volumes of patients that it was not trained on.

    python benchmarks/validate.py --data ../shared/data [--case lits117 ...] [--model liver]

ircadb17, amos0001, tace0697 and tace1211 are read once a release, after every switch is chosen; lits117 may be used in
between. Rows go to benchmarks/validation.jsonl, automatic boxes and oracle boxes (the label's own tight boxes: "oracle"
one a slice, "oracle_parts" one a part) apart. 3D-IRCADb and LiTS share patients with public training sets, so the base
model LiteMedSAM may have seen them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from oracle import oracle_boxes

from sammix_core.datasets.cases import CaseConfig
from sammix_core.evaluation.metrics import score_masks
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import read_labelmap

RESULTS = Path(__file__).with_name("validation.jsonl")

# Name -> (CT, label, label values of the liver, who labelled)
CASES: dict[str, tuple[str, str, tuple[int, ...], str]] = {
    "lits117": ("lits117_128_ct.nii.gz", "lits117_128_label_liver1_tumour2.nii.gz", (1, 2), "person"),
    "ircadb17": ("ircadb17_ct.nii.gz", "ircadb17_label_liver1_tumour2.nii.gz", (1, 2), "person"),
    "amos0001": ("amos0001_slab11_ct.nii.gz", "amos0001_slab11_label_amos15.nii.gz", (6,), "person"),
    "tace0697": ("tace0697_ct.nii.gz", "tace0697_label_liver1_tumour2.nii.gz", (1, 2), "person"),
    "tace1211": ("tace1211_ct.nii.gz", "tace1211_label_liver1_tumour2.nii.gz", (1, 2), "person"),
}


def case_of(name: str, data: Path) -> CaseConfig:
    """A case's files in the folder of the data."""
    ct, label, values, _ = CASES[name]
    return CaseConfig(name, data / ct, data / label, values)


def main() -> None:
    """Segments and scores the cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--case", nargs="*", choices=list(CASES), default=["lits117"])
    parser.add_argument("--model", default="liver")
    parser.add_argument("--masks", type=Path, help="folder to keep the automatic masks in, as .npz")
    arguments = parser.parse_args()
    segmenter = Segmenter.load(arguments.model)
    for name in arguments.case:
        ct, label_file, values, origin = CASES[name]
        volume = read_volume(arguments.data / ct)
        label = np.isin(read_labelmap(arguments.data / label_file).array, values)
        session = segmenter.open_session(volume)
        session.find_boxes()
        results = {"auto": session.segment_boxes()}
        for kind, by_part in (("oracle", False), ("oracle_parts", True)):
            session.boxes = oracle_boxes(volume, label, by_part)
            results[kind] = session.segment_boxes()
        for boxes, result in results.items():
            scores = score_masks(result.mask, label, volume.spacing if volume.spacing_known else None)
            row = {
                "model": result.model,
                # Oracle boxes are taken as a person's: the decoder alone answers them.
                "refined_by": result.refined_by if boxes == "auto" else None,
                "case": name,
                "label_origin": origin,
                "boxes": boxes,
                "dice": scores.dice,
                "hd95_mm": scores.hd95_mm,
                "surface_dice_2mm": scores.surface_dice_2mm,
                "volume_difference_percent": scores.volume_difference_percent,
                "seconds": {stage: round(seconds, 1) for stage, seconds in result.seconds.items()},
                "slices": len(result.slices),
            }
            print(json.dumps(row), flush=True)
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        if arguments.masks:
            arguments.masks.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(arguments.masks / f"{name}.npz", auto=results["auto"].mask, label=label)


if __name__ == "__main__":
    main()
