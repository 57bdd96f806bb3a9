"""Paints labels of the liver slice by slice, without a screen.

    python benchmarks/liver_model/painting start hcc002_portal                 # the model's masks to begin from
    python benchmarks/liver_model/painting sheet hcc002_portal --slices 0-54:3 # an overview
    python benchmarks/liver_model/painting show hcc002_portal 20 21            # large, plain and with outlines
    python benchmarks/liver_model/painting coronal hcc002_portal 200 250       # along z
    python benchmarks/liver_model/painting check hcc002_portal                 # what is labelled, and what is not
    python benchmarks/liver_model/painting build hcc002_portal                 # writes the label file

`strokes.py` documents the text files in `benchmarks/liver_model/strokes`. Painted outlines are green, the model's red.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from cases import LABELS, WORK, PaintedCase
from pictures import Crop, beside, panel
from PIL import Image
from scipy import ndimage

from sammix_core.datasets.labels import CaseLabels
from sammix_core.errors import InputError
from sammix_core.masks.overlap import mask_dice

_MARGIN = 40  # pixels round the model's liver that `show` shows


def main() -> None:
    """Runs one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("start", "sheet", "show", "coronal", "check", "build"))
    parser.add_argument("case")
    parser.add_argument("positions", nargs="*", type=int, help="slices, or rows of coronal cuts")
    parser.add_argument("--reading", default="", help='folder below strokes: "", "blind" or "second"')
    parser.add_argument("--slices", help="first-last:step of a sheet")
    parser.add_argument("--window", nargs=2, type=float, default=(0.0, 160.0), metavar=("LOW", "HIGH"))
    parser.add_argument("--crop", nargs=4, type=int, metavar=("COL_MIN", "ROW_MIN", "COL_MAX", "ROW_MAX"))
    parser.add_argument("--width", type=int, help="pixels of one picture")
    parser.add_argument("--columns", type=int)
    parser.add_argument("--plain", action="store_true", help="no outlines: for reading without having seen a mask")
    parser.add_argument("--model", action="store_true", help="the model's outline too")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    case = PaintedCase(arguments.case, arguments.reading)
    try:
        {"start": _start, "sheet": _sheet, "show": _show, "coronal": _coronal, "check": _check, "build": _build}[
            arguments.command
        ](case, arguments)
    except InputError as error:
        sys.exit(str(error))


def _start(case: PaintedCase, arguments: argparse.Namespace) -> None:
    areas = case.model_mask.sum((1, 2))
    shown = np.flatnonzero(areas)
    print(f"{case.name}: {len(areas)} slices, the model's mask on {shown.min()} to {shown.max()}")


def _crop(case: PaintedCase, arguments: argparse.Namespace) -> Crop:
    """The part to show: as given, round the model's liver, or the whole body."""
    if arguments.crop:
        return tuple(arguments.crop)
    near_liver = arguments.command == "show" and not arguments.plain
    shown = (
        case.model_mask.any(0) if near_liver else ndimage.binary_opening((case.hu > -300).mean(0) > 0.3, iterations=3)
    )
    margin = _MARGIN if near_liver else _MARGIN // 4
    rows, cols = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    return (
        max(0, int(cols[0]) - margin),
        max(0, int(rows[0]) - margin),
        min(shown.shape[1], int(cols[-1]) + 1 + margin),
        min(shown.shape[0], int(rows[-1]) + 1 + margin),
    )


def _outlines(case: PaintedCase, index: int, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    outlines = {}
    painted = index in case.strokes.slices
    if arguments.model or not painted:
        outlines["model"] = case.model_mask[index]
    if painted:
        outlines["painted"] = case.painted(index)
    return outlines


def _state(case: PaintedCase, index: int) -> str:
    strokes = case.strokes
    if index in strokes.slices:
        return "painted"
    return next((kind for kind in ("absent", "present", "undecided") if index in getattr(strokes, kind)), "open")


def _sheet(case: PaintedCase, arguments: argparse.Namespace) -> None:
    span, _, step = (arguments.slices or f"0-{len(case.hu) - 1}").partition(":")
    first, _, last = span.partition("-")
    indices = arguments.positions or range(int(first), min(len(case.hu), int(last or first) + 1), int(step or 1))
    crop = _crop(case, arguments)
    scale = (arguments.width or 420) / (crop[2] - crop[0])
    pictures = []
    for index in indices:
        outlines = {} if arguments.plain else _outlines(case, index, arguments)
        title = f"{case.name} slice {index}" + ("" if arguments.plain else f" {_state(case, index)}")
        pictures.append(panel(case.hu[index], crop, tuple(arguments.window), scale, outlines, title, grid=False))
    _save(beside(pictures, arguments.columns or 4), arguments, f"{case.name}_sheet")


def _show(case: PaintedCase, arguments: argparse.Namespace) -> None:
    crop = _crop(case, arguments)
    scale = (arguments.width or 590) / (crop[2] - crop[0])
    pictures = []
    for index in arguments.positions:
        title = f"{case.name} slice {index}"
        window = tuple(arguments.window)
        pictures.append(panel(case.hu[index], crop, window, scale, {}, title, grid=arguments.plain))
        if not arguments.plain:
            outlines = _outlines(case, index, arguments)
            pictures.append(panel(case.hu[index], crop, window, scale, outlines, f"{title} {_state(case, index)}"))
    _save(beside(pictures, arguments.columns or 2), arguments, f"{case.name}_show")


def _coronal(case: PaintedCase, arguments: argparse.Namespace) -> None:
    mask = np.stack([case.painted(k) if k in case.strokes.slices else case.model_mask[k] for k in range(len(case.hu))])[
        ::-1
    ]
    slice_mm, _, col_mm = case.volume.axial_order.spacing(case.volume.spacing)
    factor = max(1, round(slice_mm / col_mm))
    pictures = []
    for row in arguments.positions:
        hu = np.repeat(case.hu[::-1, row], factor, axis=0)
        cut = np.repeat(mask[:, row], factor, axis=0)
        crop = (0, 0, hu.shape[1], hu.shape[0])
        title = f"{case.name} row {row}, head up; a slice is {factor} rows"
        scale = (arguments.width or 900) / hu.shape[1]
        outlines = {} if arguments.plain else {"painted": cut}
        pictures.append(panel(hu, crop, tuple(arguments.window), scale, outlines, title, grid=False))
    _save(beside(pictures, arguments.columns or 1), arguments, f"{case.name}_coronal")


def _save(picture: Image.Image, arguments: argparse.Namespace, stem: str) -> None:
    path = arguments.out or WORK / "pictures" / f"{stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    print(path, picture.size)


def _check(case: PaintedCase, arguments: argparse.Namespace) -> None:
    states = [_state(case, index) for index in range(len(case.hu))]
    for kind in ("painted", "absent", "present", "undecided", "open"):
        indices = [index for index, state in enumerate(states) if state == kind]
        print(f"{kind:10} {len(indices):3}  {' '.join(map(str, indices))}")
    for index in sorted(case.strokes.slices):
        painted, began = case.painted(index), case.model_mask[index]
        print(f"  slice {index}: {int(painted.sum())} px, Dice with the model's mask {_dice(painted, began):.3f}")
    twice = set(case.strokes.slices) & (case.strokes.absent | case.strokes.present | case.strokes.undecided)
    if twice:
        print("Both painted and named as absent, present or undecided:", sorted(twice))


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    return mask_dice(first, second) if first.any() or second.any() else 1.0


def _build(case: PaintedCase, arguments: argparse.Namespace) -> None:
    strokes = case.strokes
    open_slices = [index for index in range(len(case.hu)) if _state(case, index) == "open"]
    if not strokes.made_by or (open_slices and not arguments.reading):
        raise InputError(
            f"{case.name}: slices {open_slices} are neither painted nor named, or the line by: is missing."
        )
    masks = {index: case.painted(index) for index in strokes.slices}
    if any(not mask.any() for mask in masks.values()):
        raise InputError(f"{case.name}: a painted slice is empty; name it as absent.")
    began = {index: _dice(mask, case.model_mask[index]) for index, mask in masks.items()}
    labels = CaseLabels(
        case.name,
        "liver",
        strokes.made_by,
        case.hu.shape,
        masks,
        frozenset(strokes.absent),
        frozenset(strokes.present),
        frozenset(strokes.undecided),
        began,
    )
    path = LABELS / arguments.reading / f"{case.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    labels.write(path)
    print(path, f"{len(masks)} slices, mean Dice with what they began from {np.mean(list(began.values())):.3f}")


if __name__ == "__main__":
    main()
