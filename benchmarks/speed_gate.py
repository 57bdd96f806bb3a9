"""What the faster ways cost in Dice: each is off unless it passes here.

    python benchmarks/speed_gate.py --data ../shared/data [--case crlm1004 ...] [--way "int8, sampling" ...]

Every way segments whole volumes fully automatically. Rows in benchmarks/speed_gate.jsonl: Dice against float32 with
every slice encoded (`dice_vs_full`), Dice against the label where a person made one, its fall, slices encoded, and
which of the slices that full precision gives a mask were left without one (`missed`). The limits are 0.003 (precision)
and 0.005 (sampling) on every validation case. Settings were chosen on the training cases; the validation cases are read
with them fixed. Embeddings are kept in work/speed_gate, so that a second run takes minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import torch
from validate import CASES as VALIDATION

from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_sampling import EVERY_SLICE, SliceSampling
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import read_labelmap

RESULTS = Path(__file__).with_suffix(".jsonl")
KEPT = Path(__file__).resolve().parents[1] / "work" / "speed_gate"
TRAINING = {
    "totalseg_slab": "totalseg_dicom_slab20",
    "crlm1004": "crlm1004_ct.nii.gz",
    "totalseg_example": "totalseg_example_ct.nii.gz",
    "acrin_flt_breast_001": "acrin_flt_breast_001_abdpelvis_ct.nii.gz",
    "acrin_flt_breast_013": "acrin_flt_breast_013_chest_ct.nii.gz",
}
WAYS = {
    "float32": ("float32", EVERY_SLICE),
    "float32, sampling": ("float32", SliceSampling()),
    "bfloat16": ("bfloat16", EVERY_SLICE),
    "bfloat16, sampling": ("bfloat16", SliceSampling()),
    "int8": ("int8", EVERY_SLICE),
    "int8, sampling": ("int8", SliceSampling()),
}


def dice(mask: np.ndarray, other: np.ndarray) -> float:
    mask, other = mask > 0, other > 0
    return float(2 * np.count_nonzero(mask & other) / max(1, np.count_nonzero(mask) + np.count_nonzero(other)))


class KeptEmbeddings:
    """A backend whose embeddings of one precision are kept on disk by the image's content."""

    def __init__(self, segmenter: Segmenter, precision: str) -> None:
        self._encode = segmenter.model.backend.encode
        self._folder = KEPT / precision
        self._folder.mkdir(parents=True, exist_ok=True)
        segmenter.model.backend.encode = self  # type: ignore[method-assign]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes what was not encoded before."""
        found = []
        for image in images:
            path = self._folder / f"{hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest()}.npy"
            if not path.exists():
                np.save(path, self._encode(image[None])[0].numpy().astype(np.float16))
            found.append(torch.from_numpy(np.load(path)).float())
        return torch.stack(found)


def main() -> None:
    """Segments the cases in every way and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--case", nargs="*", choices=[*TRAINING, *VALIDATION], default=[*TRAINING, *VALIDATION])
    parser.add_argument("--way", nargs="*", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--model", default="liver")
    arguments = parser.parse_args()
    segmenters: dict[str, Segmenter] = {}
    for case in arguments.case:
        label = None
        if case in VALIDATION:
            ct, label_file, values, _ = VALIDATION[case]
            label = np.isin(read_labelmap(arguments.data / label_file).array, values)
        else:
            ct = TRAINING[case]
        volume = read_volume(arguments.data / ct)
        full = None
        for way in ["float32", *(way for way in arguments.way if way != "float32")]:
            precision, sampling = WAYS[way]
            if precision not in segmenters:
                segmenters[precision] = Segmenter.load(arguments.model, device="cpu", precision=precision)
                KeptEmbeddings(segmenters[precision], precision)
            started = time.monotonic()
            session = SegmentationSession(segmenters[precision].model, volume, sampling=sampling)
            session.find_boxes()
            result = session.segment_boxes()
            mask = volume.axial_order.forward(result.mask) > 0
            full = mask if full is None else full
            row = {
                "case": case,
                "way": way,
                "model": result.model,
                "slices": len(mask),
                "encoded": result.slices_encoded,
                "decoded": session.decoded,
                "dice_vs_full": round(dice(mask, full), 5),
                "missed": [int(k) for k in np.flatnonzero(full.any((1, 2)) & ~mask.any((1, 2)))],
                "more": [int(k) for k in np.flatnonzero(mask.any((1, 2)) & ~full.any((1, 2)))],
                "seconds_with_kept_embeddings": round(time.monotonic() - started, 1),
            }
            if label is not None:
                truth = volume.axial_order.forward(label)
                row["dice"] = round(dice(mask, truth), 5)
                row["fall"] = round(dice(full, truth) - dice(mask, truth), 5)
            print(json.dumps(row), flush=True)
            rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
            rows = [one for one in rows if (one["case"], one["way"]) != (case, way)]
            RESULTS.write_text("".join(json.dumps(one) + "\n" for one in (*rows, row)), encoding="utf-8")


if __name__ == "__main__":
    main()
