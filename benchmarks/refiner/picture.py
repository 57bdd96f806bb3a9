"""Draws docs/images/refined.png: the liver of crlm1004 before and after one stage, beside its label.

    python benchmarks/refiner/picture.py [--output FILE] [--slices N]

Segmenter and refiner are those that were trained without that patient (train_refiner.py liver --without crlm1004). The
slices are those that the stage changes most, whether for the better or for the worse; under each is its Dice. crlm1004
is from TCIA's Colorectal-Liver-Metastases (doi 10.7937/QXK2-QG03, CC BY 4.0).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from by_stage import OURS, LiverCase, liver_case, overlap  # noqa: E402
from train_refiner import VERSIONS, WORK, name_of  # noqa: E402

from sammix_core.evaluation.preview.tile import TileFrame, draw_tile  # noqa: E402
from sammix_core.refinement.folder import LIVER  # noqa: E402

OUTPUT = HERE.parents[1] / "docs" / "images" / "refined.png"
_MARGIN = 8  # pixels of the slice about the liver
_TILE = (300, 225)
_LINE = 20
_COLOURS = 64


def crop_round(masks: list[np.ndarray]) -> tuple[int, int, int, int]:
    """Half-open (row_min, col_min, row_max, col_max) of all masks, and a little more."""
    inside = np.any(masks, axis=0)
    rows, cols = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    height, width = inside.shape
    return (
        max(0, int(rows[0]) - _MARGIN),
        max(0, int(cols[0]) - _MARGIN),
        min(height, int(rows[-1]) + _MARGIN + 1),
        min(width, int(cols[-1]) + _MARGIN + 1),
    )


def draw(one: LiverCase, before: np.ndarray, after: np.ndarray, count: int) -> Image.Image:
    """A column a slice: before, after, label."""
    volume, order = one.session.volume, one.session.axial.order
    hu, label = order.forward(volume.array), order.forward(one.label)
    before, after = order.forward(before) != 0, order.forward(after) != 0
    spacing = order.spacing(volume.spacing)
    changed = (before != after).sum((1, 2)) * one.known
    chosen = sorted(np.argsort(-changed, kind="stable")[:count].tolist())
    font = ImageFont.load_default(13)
    columns = []
    for index in chosen:
        frame = TileFrame.fit(crop_round([before[index], after[index], label[index]]), spacing[1:], *_TILE)
        column = Image.new("RGB", (_TILE[0], 3 * (_TILE[1] + _LINE)), (20, 20, 20))
        pen = ImageDraw.Draw(column)
        for row, (title, mask) in enumerate((("before", before), ("one stage", after), ("label", label))):
            tile = draw_tile(frame, hu[index], np.zeros(hu[index].shape), mask[index], None)
            top = row * (_TILE[1] + _LINE)
            column.paste(tile, ((_TILE[0] - tile.width) // 2, top + _LINE + (_TILE[1] - tile.height) // 2))
            dice = "" if mask is label else f", Dice {overlap(mask[index], label[index])['dice']:.3f}"
            pen.text((6, top + 2), f"slice {index}: {title}{dice}", font=font, fill=(230, 230, 230))
        columns.append(column)
    sheet = Image.new("RGB", (len(columns) * (_TILE[0] + 6) - 6, columns[0].height), (20, 20, 20))
    for place, column in enumerate(columns):
        sheet.paste(column, (place * (_TILE[0] + 6), 0))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--slices", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    one = liver_case(OURS, WORK / "models" / name_of(LIVER, OURS) / VERSIONS[LIVER], OURS)
    sheet = draw(one, one.refined(0), one.refined(1), arguments.slices)
    sheet.quantize(_COLOURS, dither=Image.Dither.NONE).save(arguments.output, optimize=True)
    print(f"{arguments.output.name}: {arguments.output.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
