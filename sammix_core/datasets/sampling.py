"""Drawing and choosing slices: patients count the same however many slices they have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


class PatientSampler(Generic[T]):
    """Draws a patient first, then one of the patient's volumes, then one of its items, with replacement.

    A patient with three volumes is drawn no more often than one with a single volume.

    Args:
        items: (patient, volume, item); an item that comes twice is twice as likely among its volume's.

    Example:
        >>> sampler = PatientSampler([("anna", "ct", 1), ("bert", "plain", 2), ("bert", "portal", 3)])
        >>> len(sampler), set(sampler.draw(100, np.random.default_rng(0)))
        (3, {1, 2, 3})
    """

    def __init__(self, items: Iterable[tuple[str, str, T]]) -> None:
        patients: dict[str, dict[str, list[T]]] = {}
        for patient, volume, item in items:
            patients.setdefault(patient, {}).setdefault(volume, []).append(item)
        self._patients = [list(volumes.values()) for volumes in patients.values()]

    def __len__(self) -> int:
        return sum(len(volume) for volumes in self._patients for volume in volumes)

    def draw(self, count: int, rng: np.random.Generator) -> list[T]:
        """Draws items.

        Args:
            count: How many.
            rng: Random source.

        Raises:
            ValueError: There is nothing to draw from.
        """
        drawn = []
        for _ in range(count):
            volumes = self._patients[rng.integers(len(self._patients))]
            # No random number is used up where there is no choice: patients of one volume are drawn as ever.
            volume = volumes[rng.integers(len(volumes))] if len(volumes) > 1 else volumes[0]
            drawn.append(volume[rng.integers(len(volume))])
        return drawn


def spread(slices: Sequence[int], count: int, offset: float = 0.5) -> list[int]:
    """Takes slices evenly from a list, each from one of `count` equal parts.

    Args:
        slices: Sorted.
        count: How many; all where there are fewer.
        offset: Where in each part, from 0 to below 1.

    >>> spread([10, 11, 12, 13, 14, 15], 3)
    [11, 13, 15]
    """
    if count >= len(slices):
        return list(slices)
    return [slices[int((part + offset) * len(slices) / count)] for part in range(count)]


def spread_with_ends(slices: Sequence[int], count: int) -> list[int]:
    """Takes at most `count` slices evenly from a list, the first and the last among them.

    >>> spread_with_ends(range(10), 4)
    [0, 3, 6, 9]
    """
    if len(slices) <= count:
        return list(slices)
    chosen = np.unique(np.linspace(0, len(slices) - 1, count).round().astype(int))
    return [slices[index] for index in chosen]
