"""A structure that no model knows, from 10 masks of one patient and CTs of five others without masks: the spleen.

    python benchmarks/new_structure.py --data ../shared/data

Labels (`sammix-labels/2`, target "spleen") lie in benchmarks/new_structure, one file a CT, named as the CT. They are
made with this tool and looked at slice by slice; the script says which are missing:

- hcc002_portal, which is learnt from: masks of at least 10 slices, and some slices in "without";
- hcc005_portal, hcc006_portal, hcc007_post_portal, hcc009_portal and crlm1004, without masks: every slice in "present"
  or in "without";
- hcc015_portal, which is tested: a mask of every slice with the spleen, all others in "without".

Two runs with the same masks and the same seed, without and with the five CTs; the test patient is no part of either.
Each appends a row to benchmarks/new_structure.jsonl: Dice of the whole test volume with automatic and with oracle
boxes, the figures on the slices held back, and seconds. Some of the ten masks are held back, as in any run. The aim is
0.93 with automatic boxes. Nothing of this has been run yet.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from finetune import a_set, even, row_of, tune

from sammix_core.datasets.cases import CaseConfig, LabelledCase, load_case
from sammix_core.datasets.labels import CaseLabels
from sammix_core.errors import InputError
from sammix_core.finetuning.scoring import score_volume
from sammix_core.segmentation.model_loading import load_model

RESULTS = Path(__file__).with_suffix(".jsonl")
LABELS = Path(__file__).with_suffix("")
TARGET, MODEL = "spleen", "spleen-few"
LEARNT, TESTED = "hcc002_portal", "hcc015_portal"
UNLABELLED = ("hcc005_portal", "hcc006_portal", "hcc007_post_portal", "hcc009_portal", "crlm1004")
MASKS, EMPTY = 10, 4


def check_labels() -> None:
    """Says at once what is missing.

    Raises:
        InputError: A label file is not there, is of another structure, or says less than the protocol needs.
    """
    missing = [name for name in (LEARNT, *UNLABELLED, TESTED) if not (LABELS / f"{name}.json").is_file()]
    if missing:
        raise InputError(f"Labels of the {TARGET} are missing in {LABELS}: {', '.join(missing)}.")
    for name in (LEARNT, *UNLABELLED, TESTED):
        labels = CaseLabels.read(LABELS / f"{name}.json")
        if labels.target != TARGET:
            raise InputError(f"{name}.json is of the {labels.target}, not of the {TARGET}.")
        described = len(labels.masks) + len(labels.without) + (0 if name == TESTED else len(labels.present))
        if name != LEARNT and described < labels.shape[0]:
            raise InputError(f"{name}.json does not describe every slice.")
        if name == LEARNT and (len(labels.masks) < MASKS or not labels.without):
            raise InputError(f"{name}.json needs {MASKS} masks, and slices without the {TARGET}.")


def a_case(data: Path, name: str) -> LabelledCase:
    """A CT and its labels."""
    return load_case(CaseConfig(name, data / f"{name}_ct.nii.gz", LABELS / f"{name}.json"))


def unlabelled_folder(data: Path, folder: Path) -> Path:
    """The CTs without masks, each with a file that says of every slice whether it shows the spleen."""
    folder.mkdir()
    for name in UNLABELLED:
        (folder / f"{name}_ct.nii.gz").symlink_to((data / f"{name}_ct.nii.gz").resolve())
        labels = CaseLabels.read(LABELS / f"{name}.json")
        without_masks = replace(labels, masks={}, present=labels.present | labels.masks.keys(), began_from={})
        without_masks.write(folder / f"{name}_label.json")
    return folder


def measure(data: Path, home: Path, with_unlabelled: bool) -> dict[str, Any]:
    """One run and its row."""
    case = a_case(data, LEARNT)
    learnt = [*even(np.array(sorted(case.masks)), MASKS), *even(np.array(case.absent), EMPTY)]
    source = a_set(home / "set", TARGET, case.volume, case.order, case.order.back(case.mask_volume()), learnt)
    more = (str(unlabelled_folder(data, home / "more")),) if with_unlabelled else ()
    _, result = tune(name=MODEL, sources=(source.folder,), target=TARGET, unlabelled=more)
    scores = score_volume(load_model(result.model, "cpu", None, None, "auto"), a_case(data, TESTED), lambda: False)
    row = row_of("new_structure", result)
    row |= {"target": TARGET, "labelled": LEARNT, "tested": TESTED}
    row |= {"unlabelled": list(UNLABELLED) if with_unlabelled else [], "notes": list(result.notes)}
    return row | {"volume_dice": {kind: round(overlap.dice, 4) for kind, overlap in scores.items()}}


def main() -> None:
    """Runs both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    try:
        check_labels()
    except InputError as error:
        parser.error(str(error))
    for with_unlabelled in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SAMMIX_HOME"] = str(Path(folder) / "home")
            row = measure(data, Path(folder), with_unlabelled)
        print(json.dumps(row), flush=True)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
