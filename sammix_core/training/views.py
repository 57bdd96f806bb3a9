"""Views of slices as trainings take them, and the draws from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from sammix_core.datasets.sampling import PatientSampler
from sammix_core.masks.components import component_sizes, label_components

CLEAN = "clean"
MIN_POSITIVE_CELLS = 1.0  # a slice counts as showing the structure from this much of an embedding's cell on
_POSITIVE_SHARE = 0.7
_CLEAN_WEIGHT = 4  # the clean view is what inference sees, so it counts four times
_CELL_PIXELS = 16


@dataclass(frozen=True)
class View:
    """One view of one case.

    Attributes:
        case: Name of the case.
        name: "clean", or "view-00" and on.
        embeddings: (n, 256, 64, 64) float16, memory-mapped where it lies on disk.
        shares: (n, 256, 256) uint8, label share times 255.
        slices: (n,) canonical slice indices.
        patient: Name of the patient; the case's own by default.
    """

    case: str
    name: str
    embeddings: np.ndarray
    shares: np.ndarray
    slices: np.ndarray
    patient: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "patient", self.patient or self.case)


class ViewSamples:
    """Slices of several views, drawn so that every patient counts the same, and every volume among its patient's.

    Within a volume the clean view counts four times. Where each patient has one volume, the draws are those of earlier
    versions.

    Args:
        views: The views.
        rng: Random source of the draws.
    """

    def __init__(self, views: Sequence[View], rng: np.random.Generator) -> None:
        self.views = views
        self._rng = rng
        areas = [view.shares.reshape(len(view.shares), -1).sum(1) / 255 / _CELL_PIXELS for view in views]
        self._positive = self._sampler([np.flatnonzero(area >= MIN_POSITIVE_CELLS) for area in areas])
        self._negative = self._sampler([np.flatnonzero(area == 0) for area in areas])

    def _sampler(self, indices: Sequence[np.ndarray]) -> PatientSampler[tuple[int, int]]:
        return PatientSampler(
            (view.patient, view.case, (number, int(index)))
            for number, view in enumerate(self.views)
            for index in indices[number]
            for _ in range(_CLEAN_WEIGHT if view.name == CLEAN else 1)
        )

    def draw(self, count: int, positive_share: float = _POSITIVE_SHARE) -> list[tuple[int, int]]:
        """Draws (view, index) pairs, those with the structure first.

        Args:
            count: How many.
            positive_share: Share of slices with the structure; all where there is no other slice.
        """
        positive = round(count * positive_share) if len(self._negative) else count
        return self._positive.draw(positive, self._rng) + self._negative.draw(count - positive, self._rng)

    def draws(self, steps: int, count: int, positive_share: float = _POSITIVE_SHARE) -> list[list[tuple[int, int]]]:
        """Draws the pairs of all steps at once, so that a resumed training continues the same sequence."""
        return [self.draw(count, positive_share) for _ in range(steps)]

    def embeddings(self, pairs: Sequence[tuple[int, int]]) -> torch.Tensor:
        """(n, 256, 64, 64) float32."""
        return torch.from_numpy(np.stack([self.views[v].embeddings[i] for v, i in pairs])).float()

    def shares(self, pairs: Sequence[tuple[int, int]]) -> torch.Tensor:
        """(n, 1, 256, 256) float32 in [0, 1]."""
        return torch.from_numpy(np.stack([self.views[v].shares[i] for v, i in pairs]))[:, None].float() / 255

    def patients(self, pairs: Sequence[tuple[int, int]]) -> list[str]:
        """The patient of each pair."""
        return [self.views[v].patient for v, _ in pairs]


def one_component(share: torch.Tensor, least_pixels: int, rng: np.random.Generator) -> torch.Tensor:
    """Narrows a label to one of its components, drawn with equal chances.

    Args:
        share: (1, h, w) label share in [0, 1].
        least_pixels: Smaller components are not drawn.
        rng: Random source.

    Returns:
        (1, h, w): the component with its soft edge; nothing where all are too small.
    """
    components, count = label_components(share[0].numpy() > 0.5)
    large = 1 + np.flatnonzero(component_sizes(components, count) >= least_pixels)
    if not len(large):
        return torch.zeros_like(share)
    near = ndimage.binary_dilation(components == rng.choice(large), iterations=2)  # its soft edge belongs to it
    return share * torch.from_numpy(near)
