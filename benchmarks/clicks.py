"""Measures clicks on automatic masks: what one click takes of the largest wrong region, and Dice after several.

    python benchmarks/clicks.py CONFIG --refiner 0.3.0 [--only hcc009 ...]
    python benchmarks/clicks.py CONFIG --refiner 0.3.0 --fit    # prints weights for refinement.click_regions
    python benchmarks/clicks.py CONFIG --table

Each volume of the configuration is segmented once, with head, decoder and refiner that have not seen the patient (see
`left_out.py`). On each of the eight labelled slices with the largest wrong regions a click is set in the middle of the
region (the pixel farthest from its edge), then another one in the largest region that is left, five in all; a region is
a connected component of what is missing or too much. "Better" are first clicks that repair more pixels than they
spoil; Dice is that of the slice. Weights and level were chosen on the patients of CHOSEN_ON alone. Times are of the
processor, so that other work does not count; set OMP_NUM_THREADS=1 for those of one core. Rows go to
benchmarks/clicks.jsonl.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from left_out import LeftOut
from scipy import ndimage, optimize

from sammix_core.boxes import Click
from sammix_core.datasets.cases import LabelledCase, load_case
from sammix_core.masks.components import component_sizes, label_components
from sammix_core.masks.overlap import mask_dice
from sammix_core.refinement.click_regions import FIGURES, figures_near
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.training.config import TrainingConfig

RESULTS = Path(__file__).with_suffix(".jsonl")
CHOSEN_ON = ("acrin_flt_breast_013", "hcc005", "hcc007", "hcc015")
SLICES, CLICKS, LEAST_REGION = 8, 5, 60
SHOWN = (1, 2, 3, 5)
FITTED_PIXELS = 700  # of each click
SHRINKAGE = 3e-3

Region = tuple[np.ndarray, bool]  # a wrong region, and whether it is missing


def main() -> None:
    """Measures, fits, or prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="such as benchmarks/liver_model/config.yaml")
    parser.add_argument("--refiner", help="version of the folds' refiners")
    parser.add_argument("--only", nargs="*", default=[], help="patients or cases; without it all")
    parser.add_argument("--fit", action="store_true", help="fit weights on the patients of CHOSEN_ON instead")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print(table([json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]))
        return
    training = TrainingConfig.read(arguments.config)
    if unknown := set(arguments.only) - {name for config in training.cases for name in (config.name, config.patient)}:
        parser.error(f"{arguments.config} has no patient or case {sorted(unknown)[0]!r}")
    left_out = LeftOut(training, arguments.refiner)
    gathered: list[tuple[np.ndarray, np.ndarray, float]] = []
    for config in training.cases:
        named = not arguments.only or {config.name, config.patient} & set(arguments.only)
        if not named or (arguments.fit and config.patient not in CHOSEN_ON):
            continue
        case, session = load_case(config), left_out.session(config)
        session.find_boxes()
        session.segment_boxes()
        for index in worst_slices(session, case):
            if arguments.fit:
                gathered += pixels_of(session, index, case.planes()[index])
            else:
                row = {"refiner": arguments.refiner, "case": case.name, "patient": case.patient, "slice": index}
                row |= measured(session, index, case.planes()[index])
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, flush=True)
    if arguments.fit:
        for name, weight in zip(FIGURES, fitted(gathered), strict=True):
            print(f"{weight:8.3f}  {name}")


def worst_slices(session: SegmentationSession, case: LabelledCase) -> list[int]:
    """The labelled slices with the largest wrong regions, the worst first."""
    sizes = {}
    for index, label in case.planes().items():
        regions = wrong_regions(label, session.slices.plane(index) > 0)
        sizes[index] = int(regions[0][0].sum()) if regions else 0
    return [index for index in sorted(sizes, key=lambda index: -sizes[index]) if sizes[index] >= LEAST_REGION][:SLICES]


def wrong_regions(label: np.ndarray, mask: np.ndarray) -> list[Region]:
    """The components of what is missing and of what is too much, the largest first."""
    regions: list[tuple[int, Region]] = []
    for wrong, missing in ((label & ~mask, True), (mask & ~label, False)):
        labels, count = label_components(wrong)
        sizes = component_sizes(labels, count)
        regions += [(int(sizes[n - 1]), (labels == n, missing)) for n in np.argsort(-sizes)[:3] + 1]
    return [region for _, region in sorted(regions, key=lambda sized: -sized[0])]


def middle_of(region: np.ndarray) -> tuple[int, int]:
    """The pixel farthest from a region's edge."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    row, col = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row), int(col)


def measured(session: SegmentationSession, index: int, label: np.ndarray) -> dict[str, Any]:
    """Corrects a slice click by click, and undoes it again.

    Args:
        session: With the slice's automatic mask.
        index: The slice.
        label: (rows, cols) bool in the user's two in-plane axes.
    """
    session.prepare_slice(index)
    before = session.slices.state(index)
    mask = session.slices.plane(index) > 0
    row: dict[str, Any] = {"dice": [mask_dice(mask, label)], "cpu_ms": []}
    for number in range(CLICKS):
        regions = wrong_regions(label, mask)
        if regions:
            region, missing = regions[0]
            j, i = middle_of(region)
            start = time.process_time()
            changed = session.add_click(index, i, j, positive=missing) > 0
            row["cpu_ms"].append(round(1000 * (time.process_time() - start)))
            if number == 0:
                row["positive"], row["region"] = missing, int(region.sum())
                row["removed"] = round(float((region & (changed == label)).sum()) / row["region"], 4)
                row["fixed"] = int(((mask != label) & (changed == label)).sum())
                row["broken"] = int(((mask == label) & (changed != label)).sum())
            mask = changed
        row["dice"].append(mask_dice(mask, label))
    session.slices.put(before)
    row["dice"] = [round(value, 4) for value in row["dice"]]
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line for the patients that settings were chosen on, one for the others, one a patient."""
    shown = " | ".join(f"Dice after {count}" for count in (0, *SHOWN))
    lines = [
        f"| patients | slices | region removed, median | by half or more | better | {shown} | CPU ms, median |",
        "|" + " --- |" * (6 + len((0, *SHOWN))),
    ]
    patients = sorted({row["patient"] for row in rows})
    groups = {
        "chosen on": [row for row in rows if row["patient"] in CHOSEN_ON],
        "**others**": [row for row in rows if row["patient"] not in CHOSEN_ON],
        **{patient: [row for row in rows if row["patient"] == patient] for patient in patients},
    }
    for name, of_group in groups.items():
        if of_group:
            removed = np.array([row["removed"] for row in of_group])
            better = np.mean([row["fixed"] > row["broken"] for row in of_group])
            dice = np.mean([[row["dice"][count] for count in (0, *SHOWN)] for row in of_group], axis=0)
            times = np.median([ms for row in of_group for ms in row["cpu_ms"]])
            shares = f"{np.median(removed):.2f} | {np.mean(removed >= 0.5):.0%} | {better:.1%}"
            values = " | ".join(f"{value:.4f}" for value in dice)
            lines.append(f"| {name} | {len(of_group)} | {shares} | {values} | {times:.0f} |")
    return "\n".join(lines)


def pixels_of(
    session: SegmentationSession, index: int, label: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """For a click in each of the two largest regions: (pixels, figures), which pixels it holds, and its weight."""
    mask = session.slices.plane(index) > 0
    rng = np.random.default_rng(index)
    for region, missing in wrong_regions(label, mask)[:2]:
        if region.sum() < LEAST_REGION:
            continue
        j, i = middle_of(region)
        seen = session.clicked.evidence(session.slices.unclicked(index), [Click(index, i, j, missing)])
        window, figures, eligible = figures_near(seen.mask, seen.logits, seen.hu, seen.clicks[0], seen.pixel_mm)
        drawn = rng.permutation(np.flatnonzero(eligible))[:FITTED_PIXELS]
        of_region = session.axial.order.slice_to_canonical(region)[window]
        say = min(float(region.sum()), 2000.0) ** 0.25
        yield figures.reshape(-1, len(FIGURES))[drawn], of_region.ravel()[drawn], say


def fitted(clicks: list[tuple[np.ndarray, np.ndarray, float]]) -> np.ndarray:
    """The weights of a logistic model: most likely for the pixels of all clicks, shrunk a little towards zero."""
    figures = np.concatenate([of_click for of_click, _, _ in clicks])
    sign = np.where(np.concatenate([inside for _, inside, _ in clicks]), 1.0, -1.0)
    say = np.concatenate([np.full(len(inside), of_click / len(inside)) for _, inside, of_click in clicks])
    say /= say.sum()
    scale = np.append(figures[:, :-1].std(axis=0), 1.0)
    shrunk = np.append(np.full(len(scale) - 1, SHRINKAGE), 0.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (figures / scale @ weights)
        slope = -(say * sign / (1 + np.exp(margin))) @ (figures / scale)
        return float(say @ np.logaddexp(0, -margin) + 0.5 * shrunk @ weights**2), slope + shrunk * weights

    found = optimize.minimize(loss, np.zeros(len(scale)), jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    return np.asarray(found.x / scale)


if __name__ == "__main__":
    main()
