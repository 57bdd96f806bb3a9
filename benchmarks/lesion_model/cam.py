"""What the lesion CAM is worth: as candidates of its own, and as a score that sorts candidates by density.

    python benchmarks/lesion_model/cam.py [--liver reference|model] [--cases NAME ...] [--head FILE]

The head is what train.py made (work/lesion_model/head.safetensors). Embeddings are those of the default model's
encoder, kept in work/speed_gate as speed_gate.py keeps them. crlm1004 is a case that the head was trained on. Rows go
to results.jsonl beside: "cam" for what lies above 0.5 in the liver, lesion by lesion as the other candidates, and
"score" with the score of each candidate by density (the map's mean over its voxels) and whether it is a lesion.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evaluate import OURS, PEOPLES, RESULTS, ROOT, THRESHOLDS, livers_by_model, references
from safetensors.torch import load_file

sys.path.insert(0, str(ROOT / "benchmarks"))
from speed_gate import KeptEmbeddings

from sammix_core.guidance.boxes_from_cam import sigmoid
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.lesions.candidates import lesion_candidates
from sammix_core.lesions.components import lesion_components
from sammix_core.lesions.measure import lesion_masks
from sammix_core.lesions.scoring import score_lesions
from sammix_core.segmentation.result import cam_on_slice
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.volume.volume import Volume

WORK = ROOT / "work" / "lesion_model"
PRECISION = "float32"  # the head was trained on such embeddings
LEVEL = 0.5  # of the map, from which on a cell is taken for lesion


def map_of(volume: Volume, segmenter: Segmenter, guidance: EmbeddingCam) -> np.ndarray:
    """(k, j, i) float32 in [0, 1]: how much the head takes each voxel for lesion."""
    session = SegmentationSession(segmenter.model, volume)
    axial, planes = session.axial, []
    for index in range(len(axial)):
        logits = guidance.maps(torch.zeros(0), session.embedding(index)).cam_logits[0]
        planes.append(cam_on_slice(sigmoid(logits), axial.frame, axial.plane_shape))
    return axial.order.back(np.stack(planes))


def rows_of(volume: Volume, liver: np.ndarray, lesions: np.ndarray, cam: np.ndarray) -> Iterator[dict[str, Any]]:
    """One row a threshold for the map's own candidates, and one with the scores of those by density."""
    own = lesion_components(volume, (cam > LEVEL) & (liver != 0))
    for least in THRESHOLDS:
        scores = score_lesions(own, lesions, least)
        yield {
            "way": "cam",
            "iou": least,
            "lesions": scores.true,
            "found": scores.hits,
            "false_positives": scores.false_positives,
            "dice": {str(number): round(dice, 4) for number, dice in scores.dice.items()},
        }
    found = lesion_components(volume, lesion_candidates(volume, liver))
    hits = {least: set(score_lesions(found, lesions, least).match.values()) for least in THRESHOLDS}
    listed = [
        {
            "score": round(float(cam[mask.box][mask.unpack()].mean()), 4),
            "voxels": int(mask.unpack().sum()),
            **{f"hit_{least}": number in hits[least] for least in THRESHOLDS},
        }
        for number, mask in lesion_masks(found).items()
    ]
    yield {"way": "score", "lesions": int(lesions.max()), "candidates": listed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--liver", choices=("reference", "model"), default="reference")
    parser.add_argument("--cases", nargs="+", default=[OURS, *PEOPLES], choices=[OURS, *PEOPLES])
    parser.add_argument("--head", type=Path, default=WORK / "head.safetensors")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    segmenter = Segmenter.load("liver", device="cpu", precision=PRECISION)
    KeptEmbeddings(segmenter, PRECISION)
    guidance = EmbeddingCam.from_state(load_file(str(arguments.head)), torch.device("cpu"))
    with RESULTS.open("a", encoding="utf-8") as results:
        for case in arguments.cases:
            volume, liver, lesions = references(case)
            if arguments.liver == "model":
                liver = livers_by_model(case, volume)
            for row in rows_of(volume, liver, lesions, map_of(volume, segmenter, guidance)):
                line = json.dumps({"case": case, "liver": arguments.liver, **row})
                results.write(line + "\n")
                print(line, flush=True)


if __name__ == "__main__":
    main()
