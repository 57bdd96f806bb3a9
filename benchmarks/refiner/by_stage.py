"""Whether refinement of slices pays: the liver's edges and lesions after each stage, case by case.

    python benchmarks/refiner/by_stage.py liver CASE [--without PATIENT] [--refiner FOLDER] [--stages N]
    python benchmarks/refiner/by_stage.py lesion CASE [--refiner FOLDER] [--stages N] [--least VOXELS]

Refiners are those of train_refiner.py, in work/refiner. Stage 0 is what refinement begins from.

liver: the default model's automatic masks (ircadb17, amos0001: cases that nothing is tuned on), refined; with --without
by the refiner and the decoder that a patient was left out of. For that patient (crlm1004) what is refined are the
masks of the fold without it, on its labelled slices alone.
Each stage begins from the decoder's masks, as in use: `Segmenter` with so many stages.
lesion: what an oracle's click grew within the reference's liver (see lesion_model/evaluate.py), refined without further
clicks, or with one more click a stage from where the mask is wrong; and such clicks alone, from an empty mask. A click
acts on its own slice. crlm1004 is a training case. Rows go to results.jsonl beside, which refiner_table.py reads.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS / "lesion_model"), str(BENCHMARKS / "refiner")]

from ablation import DEFAULT, Fold, session_for  # noqa: E402
from evaluate import DATA, OURS, PEOPLES, references  # noqa: E402
from train_refiner import CONFIG, VERSIONS, WORK, name_of, network_of  # noqa: E402
from validate import CASES  # noqa: E402

from sammix_core.datasets.cases import load_case  # noqa: E402
from sammix_core.errors import InputError  # noqa: E402
from sammix_core.evaluation.metrics import score_masks  # noqa: E402
from sammix_core.lesions.density import LiverDensity  # noqa: E402
from sammix_core.lesions.growing import GrownLesion, deepest_voxel  # noqa: E402
from sammix_core.masks.packed_mask import BoxedMask  # noqa: E402
from sammix_core.model_store.weights import load_model_weights  # noqa: E402
from sammix_core.refinement.folder import LESION, LIVER, open_refiner  # noqa: E402
from sammix_core.refinement.model import load_refiner, untrained_refiner  # noqa: E402
from sammix_core.refinement.network import RefinerSpec, SliceRefiner  # noqa: E402
from sammix_core.refinement.organ import OrganRefiner  # noqa: E402
from sammix_core.refinement.stage import stage_of  # noqa: E402
from sammix_core.refinement.volume import VolumeRefinement, lesion_from  # noqa: E402
from sammix_core.segmentation.segmenter import Segmenter  # noqa: E402
from sammix_core.segmentation.session import SegmentationSession  # noqa: E402
from sammix_core.training.config import TrainingConfig  # noqa: E402
from sammix_core.training.supervised import SupervisedTrainer  # noqa: E402
from sammix_core.training.views import CLEAN  # noqa: E402
from sammix_core.volume_io import read_volume  # noqa: E402
from sammix_core.volume_io.labelmap_reading import read_labelmap  # noqa: E402

RESULTS = Path(__file__).with_name("results.jsonl")
GROWN, CORRECTED, CLICKED = "grown, no further click", "grown, a click a stage", "empty, a click a stage"
Row = dict[str, Any]


def refiner_of(folder: Path, target: str, session: SegmentationSession) -> SliceRefiner:
    """A trained refiner."""
    return load_refiner(open_refiner(folder, target), session.axial.preprocessing)


def on_fold(network: Any, folder: Path) -> SliceRefiner:
    """A trained refiner on top of the decoder of a fold."""
    found = open_refiner(folder, LIVER)
    refiner = untrained_refiner(network, RefinerSpec.from_dict(found.manifest.guidance["sizes"]), 0)
    refiner.load_trained(load_model_weights(found))
    return refiner.eval().requires_grad_(False)


@dataclass(frozen=True)
class LiverCase:
    """A case with its automatic masks, before they are refined.

    Attributes:
        session: With embeddings.
        refiner: What refines them.
        label: (k, j, i) bool.
        known: Canonical slices that are labelled.
    """

    session: SegmentationSession
    refiner: SliceRefiner
    label: np.ndarray
    known: np.ndarray

    def refined(self, stages: int) -> np.ndarray:
        """(k, j, i), masks refined in so many stages."""
        stage = stage_of(self.refiner, "openvino", self.session.result().precision)
        self.session.set_refiner(OrganRefiner("", stage, stages) if stages else None)
        return self.session.segment_boxes().mask


def liver_case(name: str, folder: Path, without: str | None) -> LiverCase:
    """Segments a case."""
    config = TrainingConfig.read(CONFIG)
    if name in CASES:
        ct, label_file, values, _ = CASES[name]
        volume = read_volume(DATA / ct)
        label = np.isin(read_labelmap(DATA / label_file).array, values)
        session = Segmenter.load("liver").open_session(volume)
        known = np.ones(len(session.axial), dtype=bool)
        fold = network_of(LIVER, config, without) if without else None
        refiner = refiner_of(folder, LIVER, session) if fold is None else on_fold(fold, folder)
    else:
        trainer = SupervisedTrainer(config)
        one = next(entry for entry in config.cases if entry.name == name)
        model = Fold(trainer, one.patient).model(DEFAULT)
        clean = [view for view in trainer.views if (view.case, view.name) == (name, CLEAN)]
        session = session_for(model, one.ct, clean)
        case = load_case(one)
        volume, known = session.volume, case.labelled
        label = volume.axial_order.back(case.mask_volume())
        refiner = on_fold(model.backend.network, folder)  # type: ignore[attr-defined]
    session.find_boxes()
    return LiverCase(session, refiner, label, known)


def liver_rows(name: str, folder: Path, stages: int, without: str | None) -> Iterator[Row]:
    """One row a stage."""
    one = liver_case(name, folder, without)
    order, known, label = one.session.axial.order, one.known, one.label
    slice_mm, row_mm, col_mm = order.spacing(one.session.volume.spacing)
    for stage in range(stages + 1):
        begun = time.perf_counter()
        mask = one.refined(stage)
        seconds = time.perf_counter() - begun
        found = order.forward(mask)[known].astype(np.uint8)
        scores = score_masks(found, order.forward(label)[known], (col_mm, row_mm, slice_mm))
        figures = {key: round(float(getattr(scores, key)), 4) for key in ("dice", "hd95_mm", "surface_dice_2mm")}
        if not one.session.volume.spacing_known:
            figures |= dict.fromkeys(("hd95_mm", "surface_dice_2mm"))  # they would be no millimetres
        yield {"stage": stage, **figures, "seconds": round(seconds, 1), "slices": int(found.any((1, 2)).sum())}


def lesion_rows(name: str, folder: Path, stages: int, least: int) -> Iterator[Row]:
    """One row a lesion, way and stage."""
    volume, liver, lesions = references(name)
    session = Segmenter.load("liver").open_session(volume)
    refiner, density = refiner_of(folder, LESION, session), LiverDensity(volume, liver)
    for number in range(1, int(lesions.max()) + 1):
        truth = lesions == number
        if truth.sum() < least:
            continue
        head = {"lesion": number, "voxels": int(truth.sum())}
        grown = GrownLesion(density)
        try:
            grown.click(deepest_voxel(BoxedMask.pack(truth)))
        except InputError:
            yield {**head, "way": GROWN, "stage": 0, "refused": True, **overlap(grown.mask, truth)}
        for way in (GROWN, CORRECTED, CLICKED) if grown.clicks else (CLICKED,):
            begun = np.zeros_like(truth) if way == CLICKED else grown.mask
            work, mask = VolumeRefinement(refiner, session, begun), begun
            for stage in range(stages + 1):
                if stage and way == GROWN:
                    work.refine()
                elif stage and not click_on_error(work, mask, truth):
                    break
                if stage:
                    mask = work.mask & liver if way == CLICKED else lesion_from(work.mask, begun, liver | begun)
                yield {**head, "way": way, "stage": stage, **overlap(mask, truth)}


def click_on_error(work: VolumeRefinement, mask: np.ndarray, truth: np.ndarray) -> bool:
    """One click where the mask is most wrong; whether there was such a place that can be clicked."""
    wrong = mask != truth
    # Depth within slices: that is where a click acts.
    depth = np.stack([ndimage.distance_transform_edt(np.pad(one, 1))[1:-1, 1:-1] for one in wrong])
    k, j, i = (int(at) for at in np.unravel_index(int(depth.argmax()), depth.shape))
    if not wrong[k, j, i]:
        return False
    try:
        work.click((i, j, k), bool(truth[k, j, i]))
    except InputError:  # on a slice without a mask the first click must lie inside
        return False
    return True


def overlap(mask: np.ndarray, truth: np.ndarray) -> Row:
    """Dice and IoU."""
    both, total = int((mask & truth).sum()), int(mask.sum()) + int(truth.sum())
    return {"dice": round(2 * both / total, 4), "iou": round(both / (total - both), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=(LIVER, LESION))
    parser.add_argument("case", choices=sorted({OURS, *PEOPLES, *CASES}))
    parser.add_argument("--without", choices=(OURS,), help="the patient that was left out of the liver's refiner")
    parser.add_argument("--refiner", type=Path, help="by default the one in work/refiner")
    parser.add_argument("--stages", type=int, default=3)
    parser.add_argument("--least", type=int, default=1, help="voxels of the smallest lesion to measure")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where rows are added")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    target, case = arguments.target, arguments.case
    without = arguments.without
    if target == LIVER and case == OURS and without is None:
        parser.error("crlm1004 was trained on: measure it with --without crlm1004")
    folder = arguments.refiner or WORK / "models" / name_of(target, without) / VERSIONS[target]
    rows = (
        liver_rows(case, folder, arguments.stages, without)
        if target == LIVER
        else lesion_rows(case, folder, arguments.stages, arguments.least)
    )
    head = {"target": target, "refiner": f"{folder.parent.name}/{folder.name}", "case": case}
    with arguments.results.open("a", encoding="utf-8") as results:
        for row in rows:
            line = json.dumps({**head, **row})
            results.write(line + "\n")
            results.flush()
            print(line, flush=True)


if __name__ == "__main__":
    main()
