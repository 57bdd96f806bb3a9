"""What on a slice says that its mask may be wrong: areas in mm², of places and of doubts of the model. Numpy alone.

================  ===================================================================================================
sign              area
================  ===================================================================================================
between           as dense as the organ, in the masks of both neighbours and not in the slice's
beside            as dense, in a neighbour's mask and further from the slice's than an outline moves
ends              in the mask, and further from a neighbour's than an outline moves; for both neighbours
alone             in the mask, and in neither neighbour's
unlike            inside the mask, of another density
open              just outside the mask, of the organ's density: no edge is to be seen there
jump              area of the mask against the mean of its neighbours', where these have one
masks             area times the share of pixels in which the model's three masks differ
score             area times what the score that the masks predict of themselves lacks to 1
map               area times what the Dice of activation map and mask lacks to 1
absent            area times the probability that there is no organ on the slice
present           without a mask: the neighbours' mean area times the probability that there is one
rim               along the outline, one cell wide: an outline is never quite right
================  ===================================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sammix_core.segmentation.review.cells import CellGrid, Density, grown, shrunk
from sammix_core.segmentation.slice_state import SliceScores

PLACES = ("between", "beside", "ends", "alone", "unlike", "open", "rim")
SIGNS = (*PLACES, "jump", "masks", "score", "map", "absent", "present")
_EDGE = 1  # cells that are partly outside


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
    nothing = np.zeros_like(here.cells)
    neighbours = [other.cells for other in beside]
    like = density.like(here.hu)
    reach = 1 + round(grid.step_mm / math.sqrt(grid.cell_mm2))  # how far an outline moves from slice to slice, in cells
    near = grown(here.cells, reach)
    both = np.logical_and.reduce(neighbours) if len(neighbours) == 2 else nothing
    either = np.logical_or.reduce(neighbours) if neighbours else nothing
    ends = [here.cells & ~grown(other, reach) for other in neighbours]
    ring = grown(here.cells, 1) & ~here.cells
    between = both & ~here.cells & like
    return {
        "between": between,
        "beside": either & ~near & like & ~between,
        "ends": np.logical_or.reduce(ends) if ends else nothing,
        "alone": here.cells & ~either if len(neighbours) == 2 else nothing,
        "unlike": shrunk(here.cells, _EDGE) & density.unlike(here.hu),
        "open": ring & like,
        "rim": ring,
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
    values = {name: np.count_nonzero(cells) * grid.cell_mm2 for name, cells in places.items()}
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


def _lack(value: float | None) -> float:
    """What a share lacks to 1; 0 where it is not known."""
    return 0.0 if value is None else min(max(1 - value, 0.0), 1.0)
