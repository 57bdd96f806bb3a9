"""Calibrates how the liver model tells that what it found can be no liver, and measures how well it does.

    python benchmarks/liver_model/plausibility.py gather --data ../shared/data --cache CACHE
    python benchmarks/liver_model/plausibility.py fit --cache CACHE
    python benchmarks/liver_model/plausibility.py judge --data ../shared/data

`gather` lets the model look for a liver, without the check, in

* the training and validation patients (slices 15 mm apart),
* drawn changes of training patients: as small as children, fatty down to -20 HU, mirrored, a small field of view,
* drawn bodies without a liver (`Testing/makers/drawn_bodies.py`), and parts of real CTs that have none,

and keeps what `sammix_core.segmentation.plausibility` sums up of each slice. `fit` makes the calibration from training
patients, their changes and what has no liver, writes it into the model's folder, and puts the figures into
`plausibility.json`: each training patient judged by a calibration without them, each kind of body without a liver
judged by one that has not seen the kind, and the validation patients by the one that is shipped.

`judge` changes no model: the shipped calibration judges drawn livers that nothing was learnt from (`changed_livers.py`:
cirrhotic, resected, transplanted, of -20 HU; besides a child of 35 % and situs inversus), on a few slices each, and
the figures go into `changed_livers.json`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import optimize

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "makers")]

from changed_livers import CHANGES  # noqa: E402
from drawn_bodies import DRAWN  # noqa: E402

from sammix_core import Segmenter, Volume, read_volume  # noqa: E402
from sammix_core.datasets.labels import CaseLabels  # noqa: E402
from sammix_core.files import write_text_atomic  # noqa: E402
from sammix_core.model_store.manifest import MANIFEST_FILE  # noqa: E402
from sammix_core.model_store.store import resolve  # noqa: E402
from sammix_core.model_store.weights import save_weights  # noqa: E402
from sammix_core.segmentation.plausibility import (  # noqa: E402
    NAME,
    WEIGHTS_FILE,
    Plausibility,
    PlausibilitySettings,
    Sight,
    Verdict,
    cells_of,
    sight_of,
    slices_to_judge,
)
from sammix_core.volume_io.labelmap_reading import placed_on_ct, read_labelmap  # noqa: E402

RESULT = Path(__file__).with_suffix(".json")
CHANGED_RESULT = Path(__file__).with_name("changed_livers.json")
TRAINING = (
    *("crlm1004_ct", "totalseg_dicom_slab20", "totalseg_example_ct", "acrin_flt_breast_001_abdpelvis_ct"),
    *("acrin_flt_breast_013_chest_ct", "hcc002_portal_ct", "hcc005_portal_ct", "hcc005_plain_ct", "hcc006_portal_ct"),
    *("hcc007_arterial_ct", "hcc007_plain10mm_ct", "hcc007_post_portal_ct", "hcc009_portal_ct", "hcc009_plain10mm_ct"),
    *("hcc015_arterial_ct", "hcc015_portal_ct", "kits00072_slab_ct"),
)
VALIDATION = ("ircadb17_ct", "amos0001_slab11_ct", "lits117_128_ct", "tace0697_ct", "tace1211_ct")
CHANGED = ("crlm1004_ct", "acrin_flt_breast_001_abdpelvis_ct", "hcc005_plain_ct", "hcc015_arterial_ct")
_THIN_MM = 15.0
# Judged with drawn livers: a CT and its labels, beside it or in `labels`.
LABELLED = {
    "crlm1004_ct": "crlm1004.json",
    "acrin_flt_breast_001_abdpelvis_ct": "acrin_flt_breast_001_abdpelvis.json",
    "totalseg_example_ct": "totalseg_example_label_liver1_MODEL.nii.gz",
    "tace0697_ct": "tace0697_label_liver1_tumour2.nii.gz",
}
_JUDGED_SLICES = 6
_AXES, _ORGAN_AXES, _STRENGTH = 40, 24, 0.1
_FORCED_SLICES, _FORCED_CELLS = 4, 150

SETTINGS = PlausibilitySettings(
    implausible_below=-0.7,
    doubtful_below=0.3,
    least_hu=-60.0,
    most_hu=280.0,
    most_spread_hu=110.0,
    most_bone=0.15,
    bone_below=0.9,
    doubtful_bone=0.15,
    doubtful_body_share=0.7,
    least_body_mm=60.0,
    most_ml=7000.0,
)


@dataclass
class Case:
    """What was seen of one volume.

    Attributes:
        name: "training/crlm1004_ct", "child 50 %/crlm1004_ct", "head/3".
        sights: Of slices on which a liver was found.
        forced: Features of slices without one, at the cells most like a liver.
        slice_mm: How much of the patient a slice covers, or None.
    """

    name: str
    sights: list[Sight]
    forced: np.ndarray
    slice_mm: float | None

    @property
    def group(self) -> str:
        """The patient, or the kind of body without a liver."""
        kind, of = self.name.split("/")
        if not self.is_liver:
            return kind
        return re.match(r"(acrin_flt_breast_\d+|[a-z]+\d*)", of).group(1)

    @property
    def is_liver(self) -> bool:
        """Whether a liver is there."""
        return self.name.startswith(("training/", "validation/", "child", "fatty", "mirrored", "small view"))

    def save(self, folder: Path) -> None:
        """Writes it into the cache."""
        numbers = [(s.area_mm2, s.hu, s.spread_hu, s.bone, s.body_share, s.body_mm) for s in self.sights]
        np.savez(
            folder / f"{self.name.replace('/', '@')}.npz",
            features=np.array([s.features for s in self.sights], np.float32),
            numbers=np.array(numbers),
            forced=self.forced,
            slice_mm=np.nan if self.slice_mm is None else self.slice_mm,
        )

    @classmethod
    def load(cls, path: Path) -> Case:
        """Reads one from the cache."""
        with np.load(path) as kept:
            sights = [Sight(f, *map(float, n)) for f, n in zip(kept["features"], kept["numbers"], strict=True)]
            slice_mm = float(kept["slice_mm"])
            return cls(path.stem.replace("@", "/"), sights, kept["forced"], None if np.isnan(slice_mm) else slice_mm)


def thinned(volume: Volume) -> Volume:
    """Every so many slices of a volume, so that they are 15 mm apart; every fifth where millimetres are not known."""
    axis = volume.axial_order.axes[0]
    mm = volume.spacing[axis]
    step = 5 if not volume.spacing_known else max(1, round(_THIN_MM / mm)) if mm >= 1 else 3
    return chosen_slices(volume, range(0, volume.array.shape[2 - axis], step))


def chosen_slices(volume: Volume, slices: range | list[int]) -> Volume:
    """Some slices of a volume, as far apart as they are on average."""
    axis = volume.axial_order.axes[0]
    spacing = list(volume.spacing)
    indices = np.array(slices)
    if len(indices) > 1:
        spacing[axis] *= float(np.abs(np.diff(indices)).mean())
    array = np.ascontiguousarray(volume.array.take(indices, axis=2 - axis))
    gone = dict.fromkeys(("slice_positions_mm", "grid_header", "dicom_frames"))  # what belongs to all slices
    return replace(volume, array=array, spacing=tuple(spacing), **gone)


def as_small_as_a_child(volume: Volume, share: float) -> Volume:
    """The same body, smaller."""
    return replace(volume, spacing=tuple(share * mm for mm in volume.spacing), slice_positions_mm=None)


def fattier(volume: Volume, by_hu: float) -> Volume:
    """Darker soft tissue, most so between 5 and 155 HU."""
    share = np.clip(2 - np.abs(volume.array - 80.0) / 75, 0, 1)
    return replace(volume, array=(volume.array - by_hu * share).astype(np.int16), grid_header=None)


def mirrored(volume: Volume) -> Volume:
    """Situs inversus, left and right swapped."""
    axis = 2 - volume.axial_order.axes[2]
    return replace(volume, array=np.ascontiguousarray(np.flip(volume.array, axis)), grid_header=None)


def small_view(volume: Volume) -> Volume:
    """A field of view round the liver: the right two thirds of the body without its front and back."""
    order = volume.axial_order
    axial = order.forward(volume.array)
    body = (axial > -300).mean(0)
    rows, cols = (np.flatnonzero(body.max(axis) > 0.5) for axis in (1, 0))
    height, width = rows[-1] - rows[0], cols[-1] - cols[0]
    top, bottom = rows[0] + round(0.08 * height), rows[0] + round(0.85 * height)
    part = axial[:, top:bottom, cols[0] + round(0.03 * width) : cols[0] + round(0.68 * width)]
    return replace(volume, array=np.ascontiguousarray(order.back(part)), grid_header=None)


def seen(segmenter: Segmenter, volume: Volume, name: str) -> Case:
    """Looks for a liver in a volume, and sums up what was found."""
    session = segmenter.open_session(volume)
    session.find_boxes()
    finder = session._finder
    guided, size = finder.guided, segmenter.model.preprocessing.size
    _, row_mm, _ = finder.axial.order.spacing(volume.spacing)
    pixel_mm = row_mm / finder.axial.frame.scale_y

    def sight(index: int, cells: np.ndarray) -> Sight:
        embedding = session.embedding(index)[0].numpy()
        return sight_of(embedding, finder.axial.image(index), cells, pixel_mm, segmenter.model.preprocessing)

    sights = [sight(index, cells_of(guided, index, size)) for index in slices_to_judge(guided)]
    empty = [index for index in sorted(finder._maps) if not guided.boxes[index]]
    forced = []
    for index in empty[:: max(1, len(empty) // _FORCED_SLICES)][:_FORCED_SLICES]:
        logits = finder.maps_at(index).cam_logits[0]
        forced.append(sight(index, logits >= np.sort(logits, axis=None)[-_FORCED_CELLS]).features)
    slices = sum(map(bool, guided.boxes))
    slice_mm = finder.axial.slice_mm * slices / max(1, len(sights)) if volume.spacing_known else None
    return Case(name, sights, np.array(forced, np.float32), slice_mm)


def volumes(data: Path, seeds: int) -> Iterator[tuple[str, Callable[[], Volume]]]:
    """All cases by name, each with what makes its volume."""

    def real(name: str) -> Volume:
        path = data / name
        return thinned(read_volume(path if path.exists() else data / f"{name}.nii.gz"))

    for use, names in (("training", TRAINING), ("validation", VALIDATION)):
        for name in names:
            yield f"{use}/{name}", lambda name=name: real(name)
    for name in CHANGED:
        for share in (35, 50, 70):
            yield f"child {share} %/{name}", lambda n=name, s=share: as_small_as_a_child(real(n), s / 100)
        yield f"fatty/{name}", lambda n=name: fattier(real(n), 130 if n.startswith("crlm") else 75)
        yield f"mirrored/{name}", lambda n=name: mirrored(real(n))
        yield f"small view/{name}", lambda n=name: small_view(real(n))
    for seed in range(seeds):
        for kind, draw in DRAWN.items():
            yield f"{kind}/{seed}", lambda d=draw, s=seed: chosen_slices(d(s), range(0, d(s).shape_kji[0], 3))
    yield "real pelvis/acrin_001", lambda: lowest(real("acrin_flt_breast_001_abdpelvis_ct"), 0.45)
    yield "real chest/acrin_013", lambda: highest(real("acrin_flt_breast_013_chest_ct"), 0.4)


def lowest(volume: Volume, share: float) -> Volume:
    """The lowest share of a volume's slices."""
    order, count = volume.axial_order, len(volume.axial_order.forward(volume.array))
    return chosen_slices(
        volume, sorted(order.slice_index(index, volume.shape_kji) for index in range(round(share * count)))
    )


def highest(volume: Volume, share: float) -> Volume:
    """The highest share of a volume's slices."""
    order, count = volume.axial_order, len(volume.axial_order.forward(volume.array))
    first = round((1 - share) * count)
    return chosen_slices(volume, sorted(order.slice_index(index, volume.shape_kji) for index in range(first, count)))


def calibrated(organ: list[Case], other: list[Case]) -> Plausibility:
    """Learns from cases with and without the organ."""
    with_organ = np.concatenate([_features(case) for case in organ])
    without = np.concatenate([np.concatenate([_features(case), case.forced.reshape(-1, 512)]) for case in other])
    # A volume counts with the square root of its slices, and both sides count the same.
    weights = [
        np.concatenate([np.full(n, n**-0.5) for n in counts if n])
        for counts in (
            [len(case.sights) for case in organ],
            [len(case.sights) + len(case.forced) for case in other],
        )
    ]
    both = np.concatenate([with_organ, without])
    mean = with_organ.mean(0)
    axes = np.linalg.svd(both - mean, full_matrices=False)[2][:_AXES]
    scale = ((with_organ - mean) @ axes.T).std(0) + ((without - mean) @ axes.T).std(0)
    organ_axes = np.linalg.svd(with_organ - mean, full_matrices=False)[2][:_ORGAN_AXES]
    blank = Plausibility(mean, axes, scale, organ_axes, np.zeros(len(axes) + 1, np.float32), np.zeros(1), SETTINGS)
    seen = blank.coordinates(both).astype(np.float64)
    sign = np.where(np.arange(len(both)) < len(with_organ), 1.0, -1.0)
    importance = np.concatenate([side / side.sum() for side in weights]) * len(both) / 2

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (seen @ values[:-1] + values[-1])
        slope = -importance * sign / (1 + np.exp(np.clip(margin, -50, 50)))
        total = 0.5 * values[:-1] @ values[:-1] + _STRENGTH * (importance * np.logaddexp(0, -margin)).sum()
        gradient = np.append(values[:-1], 0.0) + _STRENGTH * np.append(seen.T @ slope, slope.sum())
        return total, gradient

    fitted = optimize.minimize(loss, np.zeros(seen.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return replace(blank, weights=fitted[:-1].astype(np.float32), bias=fitted[-1:].astype(np.float32))


def _features(case: Case) -> np.ndarray:
    return np.array([sight.features for sight in case.sights], np.float32).reshape(-1, 512)


def fit(cache: Path) -> None:
    """Calibrates, measures, and writes both into the repository."""
    cases = [Case.load(path) for path in sorted(cache.glob("*.npz"))]
    organ = [case for case in cases if case.is_liver and not case.name.startswith("validation/")]
    other = [case for case in cases if not case.is_liver and not case.name.startswith("real head")]
    shipped = calibrated(organ, other)
    seen_by_it = {True: [], False: []}
    for case in (*organ, *other):
        if case.sights:
            seen_by_it[case.is_liver].append(shipped.judge(case.sights, case.slice_mm).similarity)
    print("in sample: least with a liver, most without:", min(seen_by_it[True]), max(seen_by_it[False]))
    rows = []
    for case in cases:
        judge = shipped
        if case in organ:
            judge = calibrated([one for one in organ if one.group != case.group], other)
        elif case in other:
            judge = calibrated(organ, [one for one in other if one.group != case.group])
        row = {"case": case.name, "slices_found": len(case.sights), "verdict": "nothing found"}
        if case.sights:
            judgement = judge.judge(case.sights, case.slice_mm)
            row |= {"similarity": round(judgement.similarity, 2), "verdict": judgement.verdict.value}
            row |= {"reason": judgement.reason} if judgement.reason else {}
        rows.append(row)
        print(row, flush=True)
    verdicts = [*Verdict, "nothing found"]
    sides = {"with a liver": [c.is_liver for c in cases], "without": [not c.is_liver for c in cases]}
    summary = {
        side: {v: sum(i and row["verdict"] == v for i, row in zip(inside, rows, strict=True)) for v in verdicts}
        for side, inside in sides.items()
    }
    print(summary)
    folder = resolve("liver")
    state = {
        name: torch.from_numpy(np.ascontiguousarray(getattr(shipped, name), np.float32)) for name in shipped.arrays()
    }
    digest = save_weights(state, folder.path / WEIGHTS_FILE, float16=False)
    manifest = folder.manifest
    replace(
        manifest,
        files={**manifest.files, WEIGHTS_FILE: digest},
        guidance={**manifest.guidance, NAME: SETTINGS.to_dict()},
    ).write(folder.path / MANIFEST_FILE)
    text = ",\n".join("    " + json.dumps(row) for row in rows)
    head = json.dumps({"model": manifest.spec, "summary": summary, "settings": SETTINGS.to_dict()}, indent=2)
    write_text_atomic(RESULT, head.removesuffix("\n}") + f',\n  "cases": [\n{text}\n  ]\n}}\n')


def gather(data: Path, cache: Path, seeds: int, only: str) -> None:
    """Looks at every case that the cache has not."""
    cache.mkdir(parents=True, exist_ok=True)
    loaded = Segmenter.load("liver", refined=False)
    segmenter = Segmenter(replace(loaded.model, plausibility=None))
    for name, make in volumes(data, seeds):
        if re.search(only, name) and not (cache / f"{name.replace('/', '@')}.npz").exists():
            case = seen(segmenter, make(), name)
            case.save(cache)
            print(name, len(case.sights), flush=True)


def labelled_slices(data: Path, name: str, label: str) -> tuple[Volume, np.ndarray]:
    """A few slices with liver of a CT, and the liver on them: (k, j, i) bool."""
    volume = read_volume(data / f"{name}.nii.gz")
    if label.endswith(".json"):
        liver = np.zeros(volume.shape_kji, bool)
        for k, mask in CaseLabels.read(Path(__file__).parent / "labels" / label).masks.items():
            liver[k] = mask
    else:
        liver = placed_on_ct(read_labelmap(data / label), volume, name).array > 0
    axis = 2 - volume.axial_order.axes[0]
    shown = np.flatnonzero(liver.any(tuple(other for other in range(3) if other != axis)))
    chosen = np.unique(shown[(np.linspace(0.1, 0.9, _JUDGED_SLICES) * (len(shown) - 1)).round().astype(int)]).tolist()
    return chosen_slices(volume, chosen), np.ascontiguousarray(liver.take(chosen, axis=axis))


def judge(data: Path, only: str) -> None:
    """Judges drawn livers by the shipped calibration."""
    segmenter = Segmenter.load("liver", refined=False)
    plausibility = segmenter.model.plausibility
    blind = Segmenter(replace(segmenter.model, plausibility=None))
    rows = []
    for name, label in LABELLED.items():
        volume, liver = labelled_slices(data, name, label)
        changed = {change: make(volume, liver) for change, make in CHANGES.items()}
        changed["as it is"], changed["situs inversus"] = volume, mirrored(volume)
        changed["as small as a child, 35 %"] = as_small_as_a_child(volume, 0.35)
        for change, made in changed.items():
            row: dict[str, object] = {"case": name, "change": change}
            if not re.search(only, f"{change}/{name}"):
                continue
            case = seen(blind, made, f"changed/{name}")
            row |= {"slices_found": len(case.sights), "of": made.shape_kji[2 - made.axial_order.axes[0]]}
            if case.sights:
                judgement = plausibility.judge(case.sights, case.slice_mm)
                row |= {"similarity": round(judgement.similarity, 2), "verdict": judgement.verdict.value}
                row |= {"reason": judgement.reason} if judgement.reason else {}
            else:
                row["verdict"] = "nothing found"
            rows.append(row)
            print(row, flush=True)
            counts = {v: sum(one["verdict"] == v for one in rows) for v in (*map(str, Verdict), "nothing found")}
            text = ",\n".join("    " + json.dumps(one) for one in rows)
            head = json.dumps({"model": segmenter.model.spec, "summary": counts}, indent=2)
            write_text_atomic(CHANGED_RESULT, head.removesuffix("\n}") + f',\n  "cases": [\n{text}\n  ]\n}}\n')


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("gather", "fit", "judge"))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--cache", type=Path, help="a folder; needed to gather and to fit")
    parser.add_argument("--seeds", type=int, default=5, help="drawn bodies of each kind")
    parser.add_argument("--only", default="", help="a regular expression of cases to look at")
    options = parser.parse_args()
    if options.step == "judge":
        judge(options.data, options.only)
    elif options.cache is None:
        parser.error("name a folder with --cache")
    elif options.step == "gather":
        gather(options.data, options.cache, options.seeds, options.only)
    else:
        fit(options.cache)


if __name__ == "__main__":
    main()
