"""What fine-tuning takes and what it gives: time, a structure that the model does not know, one patient and the others.

    python benchmarks/finetune.py time --data ../shared/data
    python benchmarks/finetune.py kidney --data ../shared/data
    python benchmarks/finetune.py adapt --data ../shared/data [--case lits117] [--slices 10] [--check crlm1004 ...]

Rows go to benchmarks/finetune.jsonl:

- "time": 10 corrected slices of crlm1004 and the shipped model, by stage in seconds of wall and processor, with the
  embeddings to be computed and once more with them cached; run it on a quiet machine with two cores;
- "kidney": a model for the right kidney from 5 slices of amos0001 (label 2), Dice on its 6 others: slice by slice as a
  run reports it, and in the slab as `sammix segment` does it. It is one patient: it shows the mechanism, no more;
- "adapt": the default model after learning from some slices of one patient: Dice before and after on the patient's
  slices that were not learnt from (the whole volume segmented), on the run's held-back ones, and on
  other patients, to see what was forgotten.

The user's folder is a temporary one; nothing of the user's is touched.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sammix_core.datasets.correction import Source, corrections_of_volume
from sammix_core.datasets.correction_set import CorrectionSet
from sammix_core.datasets.labels import CaseLabels
from sammix_core.datasets.split import SCHEMA as SPLIT_SCHEMA
from sammix_core.finetuning import FineTuneResult, FineTuneRun, FineTuneSettings
from sammix_core.finetuning.process import work
from sammix_core.masks.overlap import Overlap
from sammix_core.progress import Progress
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.slice_sampling import EVERY_SLICE
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import read_labelmap

RESULTS = Path(__file__).with_suffix(".jsonl")
LABELS = Path(__file__).with_name("liver_model") / "labels"
# Name -> (CT, label file, label values, who labelled); labels of crlm1004 lie beside this script.
CASES: dict[str, tuple[str, str | None, tuple[int, ...], str]] = {
    "crlm1004": ("crlm1004_ct.nii.gz", None, (), "ours"),
    "totalseg_slab": ("totalseg_dicom_slab20", "totalseg_dicom_slab20_label_liver1_MODEL.nii.gz", (1,), "model"),
    "lits117": ("lits117_128_ct.nii.gz", "lits117_128_label_liver1_tumour2.nii.gz", (1, 2), "person"),
    "amos0001": ("amos0001_slab11_ct.nii.gz", "amos0001_slab11_label_amos15.nii.gz", (6,), "person"),
    "ircadb17": ("ircadb17_ct.nii.gz", "ircadb17_label_liver1_tumour2.nii.gz", (1, 2), "person"),
}


def read_case(data: Path, name: str, values: tuple[int, ...] = ()) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Volume, label (k, j, i) bool, and which slices along k are labelled."""
    ct, label, own, _ = CASES[name]
    volume = read_volume(data / ct)
    if label is None:
        labels = CaseLabels.read(LABELS / f"{name}.json")
        mask = np.zeros(labels.shape, dtype=bool)
        for index, plane in labels.masks.items():
            mask[index] = plane
        known = np.zeros(len(mask), dtype=bool)
        known[[*labels.masks, *labels.without]] = True
        return volume, mask, known
    mask = np.isin(read_labelmap(data / label).array, values or own)
    return volume, mask, np.ones(len(mask), dtype=bool)


def turned(volume: Volume) -> AxialOrder:
    """The order that a session finds, where the header has lost it."""
    if volume.spacing_known:
        return volume.axial_order
    from sammix_core.segmentation.model_loading import load_model
    from sammix_core.segmentation.orientation import detect_orientation

    return detect_orientation(volume, load_model("liver", "cpu", None, None, "auto"), lambda: None).order


def a_set(
    folder: Path,
    target: str,
    volume: Volume,
    order: AxialOrder,
    mask: np.ndarray,
    learnt: list[int],
    held_back: list[int] | None = None,
) -> CorrectionSet:
    """A correction set of canonical slices; `held_back` decides the split, which otherwise the set does."""
    corrections = CorrectionSet.create(folder, target)
    key = corrections.case_key(volume, order)
    if held_back is not None:
        sides = {str(k): {"held_back": k in held_back, "positive": True} for k in (*learnt, *held_back)}
        cases = {key: {"whole": False, "slices": sides}}
        (folder / "split.json").write_text(json.dumps({"schema": SPLIT_SCHEMA, "cases": cases}))
        corrections = CorrectionSet.open(folder)
    axis = "kji".index(order.slice_axis)
    indices = [order.slice_index(k, volume.shape_kji) for k in (*learnt, *(held_back or []))]
    planes = {index: np.take(mask, index, axis) for index in indices}
    for correction in corrections_of_volume(volume, order, planes, source=Source.LABEL):
        corrections.add(correction, key)
    return corrections


def shown_progress(state: Progress) -> None:
    """A line every tenth of a stage."""
    if state.done % max(1, state.total // 10) == 0:
        print(f"{state.stage}: {state.done} of {state.total}", flush=True)


def tune(**settings: Any) -> tuple[FineTuneRun, FineTuneResult]:
    run = FineTuneRun.create(FineTuneSettings(**settings))
    return run, work(run, shown_progress)


def stages_of(run: FineTuneRun) -> dict[str, float]:
    """Wall seconds by stage, from the run's events."""
    seconds: dict[str, float] = defaultdict(float)
    before, stage = 0.0, "start"
    for event in run.read_events():
        seconds[stage] += event["time"] - before
        before = event["time"]
        if event["event"] == "stage":
            stage = event["stage"] if event["done"] < event["total"] else "between"
    return {name: round(value, 1) for name, value in seconds.items()}


def volume_dice(model: str, volume: Volume, mask: np.ndarray, skipped: set[int], order: AxialOrder) -> float:
    """Dice of a whole volume segmented, without some canonical slices."""
    torch.manual_seed(0)
    found = (
        Segmenter.load(model, device="cpu", precision="float32")
        .segment_volume(volume, sampling=EVERY_SLICE)
        .mask.astype(bool)
    )
    kept = [k for k in range(len(order.forward(mask))) if k not in skipped]
    return Overlap.of(order.forward(found)[kept], order.forward(mask)[kept]).dice


def even(indices: np.ndarray, count: int) -> list[int]:
    """Evenly spread, both ends left out a little."""
    places = np.linspace(0, len(indices) - 1, count + 2)[1:-1].round().astype(int)
    return [int(indices[place]) for place in places]


def measure_time(data: Path, home: Path) -> list[dict[str, Any]]:
    volume, mask, _ = read_case(data, "crlm1004")
    order = volume.axial_order
    shown = np.flatnonzero(order.forward(mask).any((1, 2)))
    source = a_set(home / "set", "liver", volume, order, mask, even(shown, 10)).folder
    rows = []
    for cached in (False, True):
        wall, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        run, result = tune(name="timed", sources=(source,), parent="liver")
        used = resource.getrusage(resource.RUSAGE_SELF)
        rows.append(
            {
                "what": "time",
                "cached_embeddings": cached,
                "learnt": result.train_slices,
                "held_back": result.held_back_slices,
                "seconds": round(time.monotonic() - wall, 1),
                "processor_seconds": round(used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, 1),
                "stages": stages_of(run),
                "cores": len(os.sched_getaffinity(0)),
                "load_average": round(os.getloadavg()[1], 1),
            }
        )
    return rows


def measure_kidney(data: Path, home: Path) -> list[dict[str, Any]]:
    volume, mask, _ = read_case(data, "amos0001", (2,))
    order = volume.axial_order
    learnt, others = [1, 3, 5, 7, 9], [0, 2, 4, 6, 8, 10]
    source = a_set(home / "set", "right kidney", volume, order, mask, learnt, others).folder
    _, result = tune(name="right-kidney", sources=(source,), target="right kidney")
    row = row_of("kidney", result)
    row |= {"case": "amos0001", "label_origin": "person", "learnt_slices": learnt, "test_slices": others}
    row["volume_dice_auto"] = round(volume_dice(result.model, volume, mask, set(learnt), order), 4)
    return [row]


def measure_adapt(data: Path, home: Path, case: str, slices: int, check: list[str]) -> list[dict[str, Any]]:
    volume, mask, _ = read_case(data, case)
    order = turned(volume)
    shown = np.flatnonzero(order.forward(mask).any((1, 2)))
    corrections = a_set(home / "set", "liver", volume, order, mask, even(shown, slices))
    folder = linked(data, home / "check", check) if check else None
    _, result = tune(name="adapted", sources=(corrections.folder,), check=folder)
    skipped = {entry.slice_index for entry in corrections.entries() if not entry.held_back}
    row = row_of("adapt", result) | {"case": case, "label_origin": CASES[case][3], "check": check}
    row["volume_dice_auto"] = {
        "before": round(volume_dice(result.parent, volume, mask, skipped, order), 4),
        "after": round(volume_dice(result.model, volume, mask, skipped, order), 4),
    }
    return [row]


def linked(data: Path, folder: Path, names: list[str]) -> Path:
    """A folder of cases as `--check` takes it."""
    folder.mkdir()
    for name in names:
        ct, label, _, _ = CASES[name]
        suffix = ".nii.gz" if ct.endswith(".nii.gz") else ""
        (folder / f"{name}_ct{suffix}").symlink_to((data / ct).resolve())
        source = (LABELS / f"{name}.json") if label is None else data / label
        (folder / f"{name}_label{'.json' if label is None else '.nii.gz'}").symlink_to(source.resolve())
    return folder


def row_of(what: str, result: FineTuneResult) -> dict[str, Any]:
    return {
        "what": what,
        "parent": result.parent,
        "learnt": result.train_slices,
        "held_back": result.held_back_slices,
        "verdict": result.verdict,
        "head_share": result.head_share,
        "decoder_share": result.decoder_share,
        "dice": {label: [old, round(new, 4)] for label, old, new in result.table()},
        "figures": [vars(figure) for figure in result.figures],
        "seconds": result.seconds,
    }


def main() -> None:
    """Measures what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["time", "kidney", "adapt"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--case", choices=list(CASES), default="lits117")
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--check", nargs="*", choices=list(CASES), default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["SAMMIX_HOME"] = str(home / "home")
        if arguments.what == "time":
            rows = measure_time(arguments.data, home)
        elif arguments.what == "kidney":
            rows = measure_kidney(arguments.data, home)
        else:
            rows = measure_adapt(arguments.data, home, arguments.case, arguments.slices, arguments.check)
    for row in rows:
        print(json.dumps(row), flush=True)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
