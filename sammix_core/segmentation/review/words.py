"""Why a slice should be reviewed, in the words of a person who reads CT."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sammix_core.segmentation.review.signs import SIGNS, SeenSlice

_LEAST_SHARE = 0.25  # of the expected wrong area
_MOST = 3
_ASIDE = 0.15  # of the extent of organ and place: less is no direction

_WORDS = {
    "between": "part of the {target} may be missing{place}: the slices above and below have it",
    "beside": "a second part may be missing{place}: a neighbouring slice has it",
    "ends": "the {target} ends abruptly{place}",
    "alone": "the mask may include another organ{place}: the neighbouring slices do not have this part",
    "unlike": "the mask may include the stomach, the spleen or a vessel{place}: its density differs from the {target}",
    "outside": "the outline may be too narrow{place}: tissue as dense as the {target} lies outside it",
    "masks": "the three masks disagree",
    "score": "the model is not sure of its mask",
    "map": "activation map and mask disagree",
    "absent": "there may be no {target} on this slice",
    "present": "the {target} may go on here, but there is no mask",
}
_EMPTY = {
    "between": "the {target} may be missing here: the slices above and below have it",
    "beside": "the {target} may go on here: a neighbouring slice has it",
}
_SMALLER = "the mask is much smaller than on the neighbouring slices"
_LARGER = "the mask is much larger than on the neighbouring slices"


def reasons_of(
    parts: np.ndarray,
    here: SeenSlice,
    mean_beside_mm2: float,
    places: Mapping[str, np.ndarray],
    target: str,
    sides_known: bool,
) -> tuple[str, ...]:
    """The reasons to review a slice.

    Args:
        parts: (signs,) mm², what each sign adds to the expected wrong area.
        here: The slice.
        mean_beside_mm2: Mean area of the neighbours' masks.
        places: (rows, cols) bool cells of signs that lie somewhere.
        target: "liver".
        sides_known: Whether left and right are known.

    Returns:
        Strongest first; at least one where anything adds to the area.
    """
    told = [(part, name) for part, name in zip(parts.tolist(), SIGNS, strict=True) if part > 0]
    told.sort(reverse=True)
    least = _LEAST_SHARE * sum(part for part, _ in told)
    texts: list[str] = []
    for part, name in told[:_MOST]:
        if texts and part < least:
            break
        if name == "jump":
            texts.append(_SMALLER if here.area_mm2 < mean_beside_mm2 else _LARGER)
            continue
        words = _WORDS[name] if here.cells.any() else _EMPTY.get(name, _WORDS[name])
        place = _place(places[name], here.cells, sides_known) if name in places else ""
        texts.append(words.format(target=target, place=place))
    return tuple(texts)


def _place(cells: np.ndarray, mask: np.ndarray, sides_known: bool) -> str:
    """Where cells lie, seen from the middle of the mask and them: " on the patient's left"; "" where that says little.

    Rows of canonical slices go to the patient's back, columns to the patient's left.
    """
    if not sides_known or not cells.any():
        return ""
    away = []
    for axis in (1, 0):
        through = np.flatnonzero((cells | mask).any(axis=axis))
        middle, extent = (through[0] + through[-1]) / 2, through[-1] - through[0] + 1
        away.append(float(np.nonzero(cells)[1 - axis].mean() - middle) / extent)
    back, left = away
    if max(abs(back), abs(left)) < _ASIDE:
        return ""
    if abs(left) >= abs(back):
        return " on the patient's left" if left > 0 else " on the patient's right"
    return " at the back" if back > 0 else " in front"
