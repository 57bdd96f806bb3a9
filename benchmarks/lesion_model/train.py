"""Trains the lesion CAM: the embedding guidance with lesions as its target, on views that are encoded already.

    python benchmarks/lesion_model/train.py [--steps N]

The views of benchmarks/liver_model/config.yaml are used as they lie (`sammix train` makes them). Some (VIEWS)
have lesions drawn into the liver; where these are is found by drawing the views again without encoding them. The
lesions of crlm1004 are the only real ones. The validation cases are not used. Shares of lesions, checkpoint
and head go to work/lesion_model, which git ignores.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors.torch import save_file

from sammix_core.cli.progress import shown_progress
from sammix_core.datasets.cases import LabelledCase, load_case
from sammix_core.datasets.labels import CaseLabels
from sammix_core.files import atomic_path
from sammix_core.progress import ProgressCallback, ProgressReporter
from sammix_core.training.case_views import draw_slice
from sammix_core.training.config import TrainingConfig
from sammix_core.training.context import TrainingContext
from sammix_core.training.head_training import train_head
from sammix_core.training.settings import HeadTraining
from sammix_core.training.supervised import SupervisedTrainer
from sammix_core.training.views import CLEAN, View

HERE = Path(__file__).resolve().parent
WORK = HERE.parents[1] / "work" / "lesion_model"
CONFIG = HERE.parent / "liver_model" / "config.yaml"
VIEWS = (CLEAN, "view-08", "view-09", "view-10", "view-11", "view-13")
LEAST_SHARE = 64  # of 255: a slice whose drawn liver differs by more was not drawn as it is today


def lesion_view(case: LabelledCase, view: View, labels: CaseLabels | None, config: TrainingConfig) -> View:
    """A view of the liver as one of lesions: the slices that are labelled, with the share of lesions.

    Args:
        case: The case, with its liver.
        view: What is on disk.
        labels: Its lesions; None where there are none but those drawn.
        config: Of the liver's training.

    Raises:
        RuntimeError: The view on disk is not the one that is drawn today.
    """
    file = WORK / "shares" / f"{case.name}-{view.name}.npz"
    if not file.exists():
        kept: list[int] = []
        shares: list[np.ndarray] = []
        empty = np.zeros(case.axial.shape[1:], dtype=bool)
        for number, index in enumerate(int(k) for k in view.slices):
            if labels is not None and index not in labels.masks and index not in labels.without:
                continue
            lesions = empty if labels is None else labels.masks.get(index, empty)
            if not shares:
                _, liver = draw_slice(case, view.name, index, config.preprocessing, config.seed)
                if np.abs(liver * 255 - view.shares[number]).max() > LEAST_SHARE:
                    raise RuntimeError(
                        f"{case.name} {view.name} was drawn by an older version; delete the views and make them again"
                    )
            _, share = draw_slice(case, view.name, index, config.preprocessing, config.seed, lesions)
            kept.append(number)
            shares.append(np.round(share * 255).astype(np.uint8))
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as path:
            np.savez_compressed(path, kept=np.array(kept), shares=np.stack(shares))
    with np.load(file) as arrays:
        chosen, found = arrays["kept"], arrays["shares"]
    rows = cast(np.ndarray, _Rows(view.embeddings, chosen))  # only rows are read from it
    return View(case.name, view.name, rows, found, view.slices[chosen], view.patient)


class _Rows:
    """Some rows of a memory-mapped array, read on access."""

    def __init__(self, array: np.ndarray, rows: np.ndarray) -> None:
        self._array, self._rows = array, rows

    def __getitem__(self, index: int) -> np.ndarray:
        return self._array[self._rows[index]]


def lesion_views(config: TrainingConfig, show: ProgressCallback) -> list[View]:
    """All of `VIEWS` that the configuration has, of all cases."""
    found = []
    views = [view for view in SupervisedTrainer(config, show).views if view.name in VIEWS]
    stage = ProgressReporter("Drawing lesions", len(views), show, None)
    for one in config.cases:
        case = load_case(one)
        file = HERE / "labels" / f"{one.name}.json"
        labels = CaseLabels.read(file) if file.exists() else None
        for view in views:
            if view.case == one.name:
                found.append(lesion_view(case, view, labels, config))
                stage.step()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = TrainingConfig.read(CONFIG)
    settings = HeadTraining(steps=arguments.steps, batch=8)
    with shown_progress(quiet=False) as show:
        views = lesion_views(config, show)
        checkpoint = WORK / f"head-{arguments.steps}.pt"
        head = train_head(views, settings, TrainingContext("Lesion CAM", checkpoint, config.seed, progress=show))
    state = {f"guidance.{name}": tensor.contiguous() for name, tensor in head.state_dict().items()}
    with atomic_path(WORK / "head.safetensors") as path:
        save_file(state, str(path))
    print(WORK / "head.safetensors", sum(t.numel() for t in state.values()), "numbers")


if __name__ == "__main__":
    main()
