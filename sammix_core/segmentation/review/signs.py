"""What on a slice says that its mask may be wrong: areas in mm², of places and of doubts of the model. Numpy alone.

================  ===================================================================================================
sign              area
================  ===================================================================================================
between           as dense as the organ, in the masks of both neighbours and not in the slice's
beside            as dense, in a neighbour's mask and further from the slice's than an outline moves
outside           as dense, within 12 mm outside the mask; no thin seam
ends              in the mask, and further from a neighbour's than an outline moves; for both neighbours
alone             in the mask, and in no neighbour's; no thin seam
unlike            inside the mask, of another density
jump              area of the mask against the mean of its neighbours', where these have one
masks             area times the share of pixels in which the model's three masks differ
score             area times what the score that the masks predict of themselves lacks to 1
map               area times what the Dice of activation map and mask lacks to 1
absent            area times the probability that there is no organ on the slice
present           without a mask: the neighbours' mean area times the probability that there is one
================  ===================================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sammix_core.segmentation.review.cells import CellGrid, Density, grown, shrunk
from sammix_core.segmentation.slice_state import SliceScores

PLACES = ("between", "beside", "outside", "ends", "alone", "unlike")
SIGNS = (*PLACES, "jump", "masks", "score", "map", "absent", "present")
_EDGE = 1  # cells that are partly outside
_OUTSIDE_MM = 12.0


@dataclass(frozen=True, eq=False)
class SeenSlice:
    """One slice on its cells.

    Attributes:
        cells: (rows, cols) bool of the mask.
        hu: (rows, cols) float32.
        area_mm2: Area of the mask, by its pixels.
        scores: The figures computed with it.
        probability: That the slice shows the organ; NaN where unknown.
        values: (n,) HU of the cells inside, without the edge.
    """

    cells: np.ndarray
    hu: np.ndarray
    area_mm2: float
    scores: SliceScores
    probability: float
    values: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", self.hu[shrunk(self.cells, _EDGE)])


def places_of(here: SeenSlice, beside: Sequence[SeenSlice], density: Density, grid: CellGrid) -> dict[str, np.ndarray]:
    """Where signs lie on a slice.

    Args:
        here: The slice.
        beside: Its neighbours that were segmented, two at most.
        density: The organ's.
        grid: The cells.

    Returns:
        (rows, cols) bool cells for each of `PLACES`.
    """
    cells, like, nothing = here.cells, density.like(here.hu), np.zeros_like(here.cells)
    neighbours = [other.cells for other in beside]
    either = np.logical_or.reduce([nothing, *neighbours])
    both = np.logical_and.reduce(neighbours) if len(neighbours) == 2 else nothing
    cell_mm = math.sqrt(grid.cell_mm2)
    moves = 1 + round(grid.step_mm / cell_mm)  # how far an outline moves from slice to slice
    between = both & ~cells & like
    ends = [cells & ~grown(other, moves) for other in neighbours]
    return {
        "between": between,
        "beside": either & ~grown(cells, moves) & like & ~between,
        "outside": _thick(grown(cells, max(1, round(_OUTSIDE_MM / cell_mm))) & ~cells & like),
        "ends": np.logical_or.reduce([nothing, *ends]),
        "alone": _thick(cells & ~either) if neighbours else nothing,
        "unlike": shrunk(cells, _EDGE) & density.unlike(here.hu),
    }


def signs_of(
    here: SeenSlice, beside: Sequence[SeenSlice], places: Mapping[str, np.ndarray], grid: CellGrid
) -> np.ndarray:
    """The signs of a slice.

    Args:
        here: The slice.
        beside: Its neighbours, as `places_of` takes them.
        places: What it returned.
        grid: The cells.

    Returns:
        (signs,) float, mm², in the order of `SIGNS`; 0 where what they need is not known.
    """
    area, scores = here.area_mm2, here.scores
    mean = mean_area(beside)
    probability = here.probability
    values: dict[str, float] = {name: np.count_nonzero(cells) * grid.cell_mm2 for name, cells in places.items()}
    values |= {
        "jump": abs(area - mean) if len(beside) == 2 and all(other.area_mm2 > 0 for other in beside) else 0.0,
        "masks": area * _lack(scores.agreement),
        "score": area * _lack(scores.score),
        "map": area * _lack(scores.cam_agreement),
        "absent": area * (0.0 if np.isnan(probability) else 1 - probability),
        "present": 0.0 if np.isnan(probability) or area else mean * probability,
    }
    return np.array([values[name] for name in SIGNS])


def mean_area(slices: Sequence[SeenSlice]) -> float:
    """Mean area of masks in mm²; 0 where there is none."""
    return float(np.mean([one.area_mm2 for one in slices])) if slices else 0.0


def _thick(cells: np.ndarray) -> np.ndarray:
    """Cells without what is less than three of them wide."""
    return grown(shrunk(cells, 1), 1) & cells


def _lack(value: float | None) -> float:
    """What a share lacks to 1; 0 where it is not known."""
    return 0.0 if value is None else min(max(1 - value, 0.0), 1.0)
