"""From signs to how much of a slice is expected to be wrong: a sum, learnt from where a model was really wrong.

Expected wrong area = sum of sign x weight. The weights are not negative, so every sign counts for what it says alone,
and the largest summands are the reasons. A weight is a share: so much of the area of a sign is wrong on average.
`benchmarks/review/fit.py` learns them; docs/decisions/review.md says from what, and how well they find errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sammix_core.documents import check_keys, read_json
from sammix_core.errors import InputError
from sammix_core.segmentation.review.signs import SIGNS

WEIGHTS = Path(__file__).with_name("weights.json")
_KEYS = {"learnt_from", "weights"}


@dataclass(frozen=True)
class ErrorEstimate:
    """What each sign is worth.

    Attributes:
        weights: Wrong mm² for each mm² of a sign, by its name.
        learnt_from: One sentence on the masks that the weights were learnt from.
    """

    weights: Mapping[str, float]
    learnt_from: str

    @classmethod
    def read(cls, path: Path = WEIGHTS) -> ErrorEstimate:
        """Reads weights.

        Raises:
            InputError: The file holds something else, or a weight of less than 0.
        """
        entry = read_json(path, "file of review weights")
        if not isinstance(entry, dict):
            raise InputError(f"{path} is no file of review weights.")
        check_keys(entry, required=_KEYS, allowed=_KEYS, what=str(path))
        weights = entry["weights"]
        check_keys(weights, required=set(SIGNS), allowed=set(SIGNS), what=f"The weights of {path}")
        if not all(isinstance(weight, int | float) and weight >= 0 for weight in weights.values()):
            raise InputError(f"A weight of {path} is no number from 0 up.")
        return cls(weights, str(entry["learnt_from"]))

    def parts(self, signs: np.ndarray) -> np.ndarray:
        """Each sign's share in the expected wrong area.

        Args:
            signs: (..., signs) mm², in the order of `SIGNS`.

        Returns:
            Likewise, mm².
        """
        return signs * np.array([self.weights[name] for name in SIGNS])


@lru_cache(1)
def shipped_estimate() -> ErrorEstimate:
    """The weights that belong to this version."""
    return ErrorEstimate.read()
