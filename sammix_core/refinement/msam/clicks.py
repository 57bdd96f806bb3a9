"""Clicks as tensors: the user's, or drawn from where a mask is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from sammix_core.masks.components import component_sizes, label_components
from sammix_core.refinement.msam.prompt_encoder import ABSENT, NEGATIVE, POSITIVE


@dataclass(frozen=True)
class Clicks:
    """Clicks on each crop of a batch; crops with fewer clicks are padded with absent ones.

    Attributes:
        points: (n, m, 3) int64 voxel indices of the crop; (n, m, 2) rows and columns where it is a slice.
        labels: (n, m) int64, `POSITIVE`, `NEGATIVE` or `ABSENT`.
    """

    points: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def none(cls, count: int, device: torch.device | None = None, axes: int = 3) -> Clicks:
        """No clicks, on `count` crops with `axes` axes."""
        points = torch.zeros(count, 0, axes, dtype=torch.int64, device=device)
        return cls(points, torch.zeros(count, 0, dtype=torch.int64, device=device))

    def __add__(self, other: Clicks) -> Clicks:
        """These clicks, followed by the other ones."""
        return Clicks(torch.cat([self.points, other.points], 1), torch.cat([self.labels, other.labels], 1))


# (bool of a crop, not all False; draws) -> a point of it
ChoosePoint = Callable[[np.ndarray, np.random.Generator], tuple[int, ...]]


def any_point(wrong: np.ndarray, rng: np.random.Generator) -> tuple[int, ...]:
    """Any point of a mask, all alike."""
    points = np.argwhere(wrong)
    return tuple(map(int, points[int(rng.integers(len(points)))]))


def middle_of_component(wrong: np.ndarray, rng: np.random.Generator) -> tuple[int, ...]:
    """The point farthest from the edge of a component, as a person clicks; larger components are likelier."""
    labels, count = label_components(wrong)
    sizes = component_sizes(labels, count).astype(float)
    component = np.pad(labels == 1 + rng.choice(count, p=sizes / sizes.sum()), 1)
    depth = ndimage.distance_transform_edt(component)
    return tuple(int(at) - 1 for at in np.unravel_index(int(depth.argmax()), depth.shape))


def clicks_on_errors(
    logits: torch.Tensor, target: torch.Tensor, rng: np.random.Generator, choose: ChoosePoint = any_point
) -> Clicks:
    """Draws one click for each crop from where its mask is wrong.

    Args:
        logits: (n, 1, d, h, w) or (n, 1, h, w) of the mask; above 0 is inside.
        target: The same shape, bool, the correct mask.
        rng: Draws the clicks; the same state gives the same clicks.
        choose: Chooses the point.

    Returns:
        One click each: positive where the mask misses something, negative where it has too much, absent where the
        whole mask is correct.
    """
    points: list[tuple[int, ...]] = []
    labels: list[int] = []
    for mask, right in zip(logits[:, 0] > 0, target[:, 0], strict=True):
        wrong = (mask != right).cpu().numpy()
        if not wrong.any():
            points.append((0,) * mask.dim())
            labels.append(ABSENT)
            continue
        point = choose(wrong, rng)
        points.append(point)
        labels.append(POSITIVE if bool(right[point]) else NEGATIVE)
    device = logits.device
    return Clicks(torch.tensor(points, device=device)[:, None], torch.tensor(labels, device=device)[:, None])
