"""Segments labelled cases once and stores what the review list is made of, for `fit.py` and `reach.py`.

    python benchmarks/review/runs.py --runs RUNS [--model liver] [--cases benchmarks/liver_model/config-2.yaml]
                                     [--only hcc002 kits00072 ...]

`--cases` is a training configuration, whose cases are read as training reads them; `--only` takes patients or cases.
For figures out of fold, run each fold's model on the patients that it has not seen, into the same folder.

A run is one NumPy archive, RUNS/CASE.npz, of plain arrays, all along the volume's slice axis:

==============  ============================================================================================
`about`         JSON: `case`, `patient`, `model`, `shape_kji`
`mask`          packed bits of the (k, j, i) mask
`probability`   (n,) that a slice shows the structure; NaN where unknown
`scores`        (n, 3): score, agreement and cam_agreement of a slice (`SliceScores`); NaN where there are none
==============  ============================================================================================
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sammix_core.datasets.cases import CaseConfig
from sammix_core.errors import InputError
from sammix_core.masks.packed_mask import PackedMask
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.slice_state import SliceScores, SliceState
from sammix_core.training.config import TrainingConfig
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume_io import read_volume

CASES = Path(__file__).parents[1] / "liver_model" / "config-2.yaml"


@dataclass(frozen=True)
class StoredRun:
    """One case as a model segmented it.

    Attributes:
        case: Name of the case.
        patient: Name of the patient.
        model: "liver/1.1.0".
        mask: (k, j, i) bool.
        states: Of each slice, without boxes.
        probabilities: That a slice shows the structure, by index.
    """

    case: str
    patient: str
    model: str
    mask: np.ndarray
    states: list[SliceState]
    probabilities: dict[int, float]

    @classmethod
    def read(cls, path: Path, order: AxialOrder) -> StoredRun:
        """Reads a run of a volume of which `order` is the axial order."""
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            n_k, n_j, n_i = about["shape_kji"]
            mask = np.unpackbits(arrays["mask"], count=n_k * n_j * n_i).reshape(n_k, n_j, n_i).astype(bool)
            probabilities, figures = arrays["probability"].tolist(), arrays["scores"].tolist()
        axis = "kji".index(order.slice_axis)
        states = [
            SliceState(index, mask=PackedMask.pack(plane) if plane.any() else None, scores=_scores(figures[index]))
            for index, plane in enumerate(np.moveaxis(mask, axis, 0))
        ]
        return cls(about["case"], about["patient"], about["model"], mask, states, dict(enumerate(probabilities)))


def _scores(figures: Sequence[float]) -> SliceScores:
    score, agreement, cam_agreement = (None if np.isnan(value) else float(value) for value in figures)
    return SliceScores(score=score, agreement=agreement, cam_agreement=cam_agreement)


def chosen_cases(configuration: Path, only: Sequence[str]) -> list[CaseConfig]:
    """The cases of a training configuration, or those of some patients or names.

    Raises:
        InputError: The configuration cannot be used, or a name is not in it.
    """
    cases = TrainingConfig.read(configuration).cases
    if unknown := set(only) - {name for case in cases for name in (case.name, case.patient)}:
        raise InputError(f"{configuration.name} has no case {sorted(unknown)[0]!r}.")
    return [case for case in cases if not only or {case.name, case.patient} & set(only)]


def run(segmenter: Segmenter, case: CaseConfig, folder: Path) -> None:
    """Segments one case and stores the run."""
    volume = read_volume(case.ct, values_are_hu=case.values_are_hu)
    session = segmenter.open_session(volume)
    session.find_boxes()
    result = session.segment_boxes()
    every = [report.scores for report in result.slices]
    figures = [[scores.score, scores.agreement, scores.cam_agreement] for scores in every]
    folder.mkdir(parents=True, exist_ok=True)
    about = {"case": case.name, "patient": case.patient, "model": result.model, "shape_kji": volume.shape_kji}
    np.savez_compressed(
        folder / f"{case.name}.npz",
        about=np.array(json.dumps(about)),
        mask=np.packbits(result.mask > 0),
        probability=np.array([report.probability for report in result.slices]),
        scores=np.array(figures, dtype=float),
    )


def main() -> None:
    """Segments the cases that are not stored yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--model", default="liver")
    parser.add_argument("--cases", type=Path, default=CASES)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    segmenter = Segmenter.load(arguments.model)
    for case in chosen_cases(arguments.cases, arguments.only):
        if not (arguments.runs / f"{case.name}.npz").exists():
            run(segmenter, case, arguments.runs)
            print(case.name, flush=True)


if __name__ == "__main__":
    main()
