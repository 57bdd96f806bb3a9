"""Strokes: what a reader does to the slices of a case, as a text file that can be read, corrected and painted again.

A file has one line a stroke. Points are `col,row` in pixels of the axial slice as it is shown: columns count from the
patient's right to left, rows from front to back, slices are those of the file.

    by: one sentence on who read the case and how
    absent 0-9 52-54            slices without liver
    present 10                  slices with liver that get no mask
    undecided 11                slices where nobody can tell
    20: model                   begins from the model's mask of the slice
    20: empty                   begins from nothing (also where a slice has neither line)
    20: copy 19                 begins from the mask painted on another slice
    20: box 100 120 300 280     adds what Segment Anything makes of a box: col_min row_min col_max row_max
    20: add 120,130 140,150 ... adds a polygon
    20: cut 120,130 140,150 ... takes a polygon away
    20: grow 60 140 120,130 ... adds what has 60 to 140 HU in a polygon
    20: shave -50 40 120,130 ...  takes away what has -50 to 40 HU in a polygon
    20: brush 6 120,130 130,140 ...  adds a line 6 pixels to either side
    20: rub 6 120,130 130,140 ...    takes such a line away
    20: keep 200,210 ...        keeps only the parts that hold these points
    20: fill                    fills holes
    20: smooth 1.5              smooths the outline, by so many pixels

Strokes of a slice are applied in the order of the file. `grow` and `shave` look at HU smoothed over 5 x 5 pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from sammix_core.errors import InputError
from sammix_core.masks.components import components_touching

Points = tuple[tuple[float, float], ...]

_NUMBERS = {"copy": 1, "box": 4, "grow": 2, "shave": 2, "brush": 1, "rub": 1, "smooth": 1}  # those before the points
_LEAST_POINTS = {"add": 3, "cut": 3, "grow": 3, "shave": 3, "brush": 1, "rub": 1, "keep": 1}
_PLAIN = {"model", "empty", "copy", "box", "fill", "smooth"}
_RANGES = ("absent", "present", "undecided")


@dataclass(frozen=True)
class Stroke:
    """One line of a slice.

    Attributes:
        kind: What it does, "add".
        numbers: The numbers before the points.
        points: (col, row) in pixels of the slice.
    """

    kind: str
    numbers: tuple[float, ...] = ()
    points: Points = ()


@dataclass
class StrokeFile:
    """What a reader did to a case.

    Attributes:
        made_by: One sentence on who read it and how.
        slices: Strokes by slice.
        absent, present, undecided: Slices without liver, with liver but without a mask, and those nobody can tell.
    """

    made_by: str = ""
    slices: dict[int, list[Stroke]] = field(default_factory=dict)
    absent: set[int] = field(default_factory=set)
    present: set[int] = field(default_factory=set)
    undecided: set[int] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> StrokeFile:
        """Reads a file; an absent one is empty.

        Raises:
            InputError: A line cannot be read; the sentence names it.
        """
        file = cls()
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for number, line in enumerate(lines, 1):
            text = line.split("#")[0].strip()
            if not text:
                continue
            try:
                file._take(text)
            except ValueError as error:
                raise InputError(f"{path.name}, line {number}: {error or text}") from None
        return file

    def _take(self, text: str) -> None:
        head, _, rest = text.partition(":")
        if head == "by":
            self.made_by = rest.strip()
        elif head.strip().isdigit():
            self.slices.setdefault(int(head), []).append(_stroke(rest.split()))
        else:
            kind, *ranges = text.split()
            if kind not in _RANGES:
                raise ValueError(f"unknown line {text!r}")
            getattr(self, kind).update(index for item in ranges for index in _range(item))


def _stroke(words: list[str]) -> Stroke:
    kind, *rest = words
    if kind not in _PLAIN and kind not in _LEAST_POINTS:
        raise ValueError(f"unknown stroke {kind!r}")
    count = _NUMBERS.get(kind, 0)
    numbers = tuple(float(word) for word in rest[:count])
    points = tuple(_point(word) for word in rest[count:])
    if len(numbers) < count or len(points) < _LEAST_POINTS.get(kind, 0) or (points and kind in _PLAIN):
        raise ValueError(f"{kind} needs other numbers or points")
    return Stroke(kind, numbers, points)


def _point(word: str) -> tuple[float, float]:
    col, row = word.split(",")
    return float(col), float(row)


def _range(item: str) -> Iterable[int]:
    first, _, last = item.partition("-")
    return range(int(first), int(last or first) + 1)


@dataclass(frozen=True)
class Easel:
    """What strokes need to know of a slice.

    Attributes:
        hu: (rows, cols) HU.
        model_mask: Returns the model's mask of the slice.
        painted: Returns the painted mask of another slice.
        segment_box: Returns the mask that Segment Anything makes of (col_min, row_min, col_max, row_max).
    """

    hu: np.ndarray
    model_mask: Callable[[], np.ndarray]
    painted: Callable[[int], np.ndarray]
    segment_box: Callable[[tuple[int, int, int, int]], np.ndarray]

    def paint(self, strokes: Iterable[Stroke]) -> np.ndarray:
        """Applies strokes in their order; returns (rows, cols) bool."""
        mask = np.zeros(self.hu.shape, dtype=bool)
        for stroke in strokes:
            mask = self._apply(stroke, mask)
        return mask

    def _apply(self, stroke: Stroke, mask: np.ndarray) -> np.ndarray:
        match stroke.kind:
            case "model":
                return self.model_mask().copy()
            case "empty":
                return np.zeros_like(mask)
            case "copy":
                return self.painted(int(stroke.numbers[0])).copy()
            case "box":
                col_min, row_min, col_max, row_max = (round(number) for number in stroke.numbers)
                return mask | self.segment_box((col_min, row_min, col_max, row_max))
            case "add":
                return mask | polygon(stroke.points, mask.shape)
            case "cut":
                return mask & ~polygon(stroke.points, mask.shape)
            case "grow":
                return mask | self._of_density(stroke)
            case "shave":
                return mask & ~self._of_density(stroke)
            case "brush":
                return mask | line(stroke.points, stroke.numbers[0], mask.shape)
            case "rub":
                return mask & ~line(stroke.points, stroke.numbers[0], mask.shape)
            case "keep":
                seeds = np.zeros_like(mask)
                for col, row in stroke.points:
                    seeds[round(row), round(col)] = True
                return components_touching(mask, seeds & mask)
            case "fill":
                return ndimage.binary_fill_holes(mask)
        return ndimage.gaussian_filter(mask.astype(np.float32), stroke.numbers[0]) > 0.5

    def _of_density(self, stroke: Stroke) -> np.ndarray:
        low, high = stroke.numbers
        smooth = ndimage.uniform_filter(self.hu.astype(np.float32), 5)
        return polygon(stroke.points, self.hu.shape) & (smooth >= low) & (smooth <= high)


def polygon(points: Points, shape: tuple[int, int]) -> np.ndarray:
    """(rows, cols) bool of a filled polygon through pixel centres."""
    image = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(image).polygon(points, fill=1, outline=1)
    return np.array(image)


def line(points: Points, reach: float, shape: tuple[int, int]) -> np.ndarray:
    """(rows, cols) bool of a line with round ends, `reach` pixels to either side."""
    image = Image.new("1", (shape[1], shape[0]))
    draw = ImageDraw.Draw(image)
    if len(points) > 1:
        draw.line(points, fill=1, width=1)
    else:
        draw.point(points, fill=1)
    return ndimage.distance_transform_edt(~np.array(image)) <= reach
