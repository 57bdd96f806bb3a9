"""Draws a contact sheet of training views: slices beside what each way of drawing makes of them, the label outlined.

    python benchmarks/liver_model/view_sheet.py OUT.png [--cases hcc009_portal crlm1004] [--kinds effusion ascites ...]
        [--slices 3] [--seed 0] [--positions 0 1]

One row a slice: as inference sees it, then each kind, drawn for certain and without the chance of the others. The
window is that of the network (-160 to 240 HU) or, with --narrow, 0 to 160 HU. Nothing is encoded. Sheets show
patients: they stay out of the repository.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from sammix_core.datasets.augmentation import FLUID, HARD, MILD, OTHER_LIVER, OTHER_SCAN, STRONG, Strength
from sammix_core.datasets.cases import CaseConfig, LabelledCase, load_case
from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.window import slice_image
from sammix_core.training.case_views import draw_augmented

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
CASES = ("crlm1004", "hcc007_arterial", "hcc009_portal")
STILL = Strength(close=0, turned=0, stretch=0.001, bend_mm=0.001, phase_hu=0.001, noise_hu=3.1, thick=0)
ALONE = ("effusion", "ascites", "density", "cysts", "necrosis", "lipiodol", "cropped", "table", "arms", "low_dose")
KINDS: dict[str, Strength] = {
    **{name: replace(STILL, **{name: 1.0}) for name in ALONE},
    "thick": replace(STILL, thick=1.0),
    "turned": replace(STILL, turned=1.0, turned_degrees=45.0),
    **{"MILD": MILD, "HARD": HARD, "STRONG": STRONG},
    **{"FLUID": FLUID, "OTHER_LIVER": OTHER_LIVER, "OTHER_SCAN": OTHER_SCAN},
}


def picture(image: np.ndarray, share: np.ndarray, title: str, narrow: bool) -> Image.Image:
    """A view, twice as large, with its label's outline."""
    if narrow:
        image = np.clip(image * 2.5 - 1, 0, 1)
    grey = np.repeat(np.repeat((image * 255).astype(np.uint8), 2, 0), 2, 1)
    pixels = np.stack([grey] * 3, axis=-1)
    mask = np.repeat(np.repeat(share > 0.5, 2, 0), 2, 1)
    pixels[mask & ~ndimage.binary_erosion(mask, border_value=1)] = (0, 255, 90)
    canvas = Image.fromarray(pixels)
    ImageDraw.Draw(canvas).text((6, 4), title, fill=(255, 230, 120))
    return canvas


def row(
    case: LabelledCase, index: int, kinds: list[str], spec: PreprocessingSpec, seed: int, narrow: bool
) -> list[Image.Image]:
    """One slice as it is, and each kind of view of it."""
    frame = Frame.for_crop(case.crops(spec)[1], case.spacing[1:], spec.size)
    mask = case.masks.get(index, np.zeros(case.axial.shape[1:], dtype=bool))
    clean = slice_image(case.axial[index], frame, spec), frame.to_network(mask.astype(np.float32), 0.0)
    pictures = [picture(*clean, f"{case.name} {index}", narrow)]
    for kind in kinds:
        rng = np.random.default_rng([seed, index, *kind.encode()])
        pictures.append(picture(*draw_augmented(case, index, spec, rng, KINDS[kind]), kind, narrow))
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--kinds", nargs="+", default=list(ALONE), choices=list(KINDS))
    parser.add_argument("--slices", type=int, default=3)
    parser.add_argument("--positions", type=float, nargs=2, default=(0.0, 1.0), help="part of the labelled slices")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--narrow", action="store_true")
    arguments = parser.parse_args()
    spec = PreprocessingSpec()
    lines = []
    for name in arguments.cases:
        case = load_case(CaseConfig(name, DATA / f"{name}_ct.nii.gz", HERE / "labels" / f"{name}.json"))
        labelled = np.flatnonzero(case.labelled)
        for part in np.linspace(*arguments.positions, arguments.slices):
            index = int(labelled[round(part * (len(labelled) - 1))])
            lines.append(row(case, index, arguments.kinds, spec, arguments.seed, arguments.narrow))
    edge = lines[0][0].width
    sheet = Image.new("RGB", (edge * len(lines[0]), edge * len(lines)))
    for y, line in enumerate(lines):
        for x, one in enumerate(line):
            sheet.paste(one, (x * edge, y * edge))
    sheet.save(arguments.out)
    print(arguments.out, sheet.size)


if __name__ == "__main__":
    main()
