"""Detects the in-plane orientation of a volume whose header has lost it.

Files that lost their spacing have mostly lost their orientation as well (an array saved with an identity header). Taken
by its header such a CT can lie upside down, and nothing is found. So the in-plane flips that the spine leaves open are
compared on a few slices, and the one where the guidance sees most of the organ is used. A real header is never changed;
where it contradicts the anatomy, that is said.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch

from sammix_core.errors import WARNING
from sammix_core.masks.probability import sigmoid
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.segmentation.spine import spine_row
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

_SAMPLED_SLICES = 5
# The order by the header stays unless another one shows this many times as much.
_CLEARLY_MORE = 1.25
# Where bone already says that front and back are exchanged, the guidance only must not say the opposite.
_NOT_LESS = 0.8

# A map that covers fewer cells than this on every slice may be that of a mirrored liver. In CT the right way round the
# largest covers 160 to 540 of the 4096 cells, in mirrored ones 30 to 150.
_FEW_CELLS = 200
# Less than this much of the structure is too little to compare.
_LEAST_SUPPORT = 60.0
# The spine lies in the back half of the body, and the liver in its right half. From these rows on it is certain where
# back is, see `spine_row`.
SPINE_IN_FRONT, _SPINE_ROW, _SPINE_AT_BACK = 0.42, 0.5, 0.58
_LIVER_COL = 0.45
# Flips of rows and columns, and how a patient looks by them.
_MIRRORED = (False, True)
_TURNED = {
    _MIRRORED: "left and right exchanged",
    (True, True): "turned by 180 degrees in plane",
    (True, False): "front and back exchanged",
}
_BODY_VALUE = 0.1  # of the network's image: from -120 HU


def orientation_steps(axial: AxialSlices) -> int:
    """How many (order, slice) pairs `detect_orientation` compares."""
    return 2 * len(row_flips(axial.hu)) * len(_sampled(len(axial)))


def row_flips(axial: np.ndarray) -> tuple[bool, ...]:
    """Whether rows may have to be flipped so that they run from front to back: what the spine leaves open.

    Args:
        axial: (slice, row, col) HU.

    Returns:
        False, True or both.
    """
    row = spine_row(axial[_sampled(len(axial))])
    if row is None or SPINE_IN_FRONT < row < _SPINE_AT_BACK:
        return False, True
    return (row <= SPINE_IN_FRONT,)


def best_supported_order(
    order: AxialOrder, slices: int, flips_of_rows: tuple[bool, ...], support: Callable[[AxialOrder, int], float]
) -> AxialOrder:
    """Compares in-plane flips on a few slices.

    Args:
        order: The order by the header.
        slices: Number of axial slices.
        flips_of_rows: Whether rows are tried as they are, flipped, or both.
        support: (order, canonical slice) -> how much of the structure the slice shows, at least 0. Not the slice's
            probability: that is near 1 upside down as well, while the map then covers half as much.

    Returns:
        The order to use; `order` itself unless another one shows clearly more.
    """
    sampled = _sampled(slices)
    best, best_score = order, -1.0
    for row_flip, col_flip in itertools.product(flips_of_rows, (False, True)):
        flips = (order.flips[0], order.flips[1] ^ row_flip, order.flips[2] ^ col_flip)
        candidate = AxialOrder(order.axes, flips)
        score = float(np.mean([support(candidate, int(index)) for index in sampled]))
        if candidate == order:
            score *= _CLEARLY_MORE
        if score > best_score:
            best, best_score = candidate, score
    return best


def _sampled(slices: int) -> np.ndarray:
    """Canonical slices spread over the middle of the volume."""
    return np.unique((np.linspace(0.15, 0.85, _SAMPLED_SLICES) * (slices - 1)).round().astype(int))


class OrientationCheck:
    """Compares a header that states the orientation with the anatomy, where there is reason to doubt it.

    Args:
        volume: The CT.
        model: Its guidance judges.
        cam_logits: (n, h, w) of the header's own order, by canonical slice.
    """

    def __init__(self, volume: Volume, model: LoadedModel, cam_logits: np.ndarray) -> None:
        self._volume = volume
        self._model = model
        self._maps = sigmoid(cam_logits)
        self.slices_encoded = 0

    def run(self) -> str | None:
        """What contradicts the header, in a sentence; None where nothing does. The volume stays as it is."""
        axial = AxialSlices.cut(self._volume, self._volume.axial_order, self._model.preprocessing)
        spine = spine_row(axial.hu[_sampled(len(axial))])
        fullest = int(np.argmax(self._maps.sum((1, 2))))
        slices = np.unique([fullest, *(round(share * (len(axial) - 1)) for share in (0.35, 0.65))])
        stated = self._maps[slices].sum((1, 2))
        if not self._is_doubtful(axial, spine):
            return _contradiction(_MIRRORED) if self._is_mirrored(slices, float(stated.max())) else None
        scores = {flips: float(np.mean(self._support(flips, slices))) for flips in _TURNED}
        is_proven = spine is not None and spine <= SPINE_IN_FRONT
        flips = max((flips for flips in scores if flips[0] or not is_proven), key=lambda flips: scores[flips])
        least_more = _NOT_LESS if is_proven else _CLEARLY_MORE
        if scores[flips] < max(_LEAST_SUPPORT, least_more * float(stated.mean())):
            return None
        return _contradiction(flips)

    def _is_mirrored(self, slices: np.ndarray, stated: float) -> bool:
        """Whether a slice with left and right exchanged shows clearly more than any as the header has them.

        A map of a mirrored liver may look like one of a small liver. Of eight CT the right way round, mirrored slices
        showed at most 0.65 times as much; of the same with a wrong header, six 1.4 to 2.9 times. Models without a
        calibration of what the structure can be are not checked.
        """
        if self._model.plausibility is None:
            return False
        return max(self._support(_MIRRORED, slices)) >= max(_LEAST_SUPPORT, _CLEARLY_MORE * stated)

    def _is_doubtful(self, axial: AxialSlices, spine: float | None) -> bool:
        covered = (self._maps > 0.5).sum((1, 2))
        if covered.max() < _FEW_CELLS:
            return True
        if spine is not None and spine < _SPINE_ROW:
            return True
        fullest = int(np.argmax(covered))
        body = np.flatnonzero((axial.image(fullest) > _BODY_VALUE).any(0))
        cols = np.arange(self._maps.shape[2]) * axial.preprocessing.size / self._maps.shape[2]
        weights = self._maps[fullest].sum(0)
        col = float(cols @ weights / weights.sum())
        return len(body) > 0 and (col - body[0]) / max(1, body[-1] - body[0]) > _LIVER_COL

    def _support(self, flips: tuple[bool, bool], slices: np.ndarray) -> list[float]:
        """How much of the structure each slice shows with rows and columns flipped so."""
        order = self._volume.axial_order
        row, col = order.flips[1] ^ flips[0], order.flips[2] ^ flips[1]
        axial = AxialSlices.cut(
            self._volume, AxialOrder(order.axes, (order.flips[0], row, col)), self._model.preprocessing
        )
        if self._model.guidance.needs_embeddings:
            self.slices_encoded += len(slices)
        return [_support(self._model, axial, int(index)) for index in slices]


def _contradiction(flips: tuple[bool, bool]) -> str:
    return (
        f"{WARNING} the header contradicts the anatomy. With {_TURNED[flips]} the slices look far more like those of a "
        "patient than as the header has them. Nothing was changed: check the orientation in the viewer (and think "
        "of situs inversus) before you use the mask."
    )


def _support(model: LoadedModel, axial: AxialSlices, index: int) -> float:
    """How much of the structure the guidance sees on a canonical slice, in cells of its map."""
    image = torch.from_numpy(axial.image(index))[None, None]
    embedding = torch.empty(0)
    if model.guidance.needs_embeddings:
        # As it would come out of the cache.
        embedding = model.backend.encode(image).to(torch.float16).float()
    return float(sigmoid(model.guidance.maps(image, embedding).cam_logits).sum())


def detect_orientation(volume: Volume, model: LoadedModel, step: Callable[[], None]) -> AxialSlices:
    """Cuts a volume in the in-plane orientation that shows the guidance most of the structure.

    Args:
        volume: The CT.
        model: Its guidance judges.
        step: Called after each of the `orientation_steps`.

    Returns:
        The volume's slices; cut by its header unless another orientation shows clearly more.
    """
    axial = AxialSlices.cut(volume, volume.axial_order, model.preprocessing)

    def support(order: AxialOrder, index: int) -> float:
        nonlocal axial
        if order != axial.order:
            axial = AxialSlices.cut(volume, order, model.preprocessing)
        amount = _support(model, axial, index)
        step()
        return amount

    best = best_supported_order(volume.axial_order, len(axial), row_flips(axial.hu), support)
    return axial if axial.order == best else AxialSlices.cut(volume, best, model.preprocessing)
