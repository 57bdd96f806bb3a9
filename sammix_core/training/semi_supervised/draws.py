"""Which slices a step is made of: from the step's number alone, so that a resumed training sees the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sammix_core.errors import InputError
from sammix_core.training.semi_supervised.bank import STRONG, WEAK, Bank
from sammix_core.training.semi_supervised.guides import DROPPED_CHANNELS
from sammix_core.training.semi_supervised.network import Batch
from sammix_core.training.semi_supervised.section import SamMixTraining
from sammix_core.training.semi_supervised.split import Split

_POSITIVE_SHARE = 2 / 3
Groups = list[list[tuple[int, int]]]  # a patient's (bank, slice) pairs


class Draws:
    """Draws batches of slices that are not held back; patients count the same however many slices they have."""

    def __init__(self, banks: Sequence[Bank], split: Split, settings: SamMixTraining, seed: int, process: int) -> None:
        """Sorts the slices.

        Args:
            banks: The views of all cases.
            split: Who is held back.
            settings: How many of each kind.
            seed: Of the training.
            process: This process among several, each of which draws its own.
        """
        self._banks = banks
        self._settings = settings
        self._seed, self._process = seed, process
        pools = [bank.pool for bank in banks]
        self._with = self._groups([sorted(pool.masks) for pool in pools], split)
        self._without = self._groups([list(pool.absent) for pool in pools], split)
        self._others = self._groups([[*pool.present, *pool.unknown] for pool in pools], split)
        if not self._with:
            raise InputError("All slices with a mask are held back for early stopping: label one more.")
        if not self._without:
            raise InputError(
                "No slice is known to be without the structure, so that it cannot be told from others: name some as "
                "absent, or give labels that cover them."
            )

    def _groups(self, slices: list[list[int]], split: Split) -> Groups:
        groups = []
        for place, own in enumerate(slices):
            name = self._banks[place].pool.name
            group = [(place, index) for index in own if not split.keeps(name, index)]
            if group:
                groups.append(group)
        return groups

    def counts(self) -> dict[str, int]:
        """How many slices of each kind are trained on."""
        kinds = {"with_mask": self._with, "without_structure": self._without, "without_mask": self._others}
        return {name: sum(len(group) for group in groups) for name, groups in kinds.items()}

    def batch(self, step: int) -> Batch:
        """The batch of a step, on the CPU."""
        settings = self._settings
        rng = np.random.default_rng([self._seed, step, self._process])
        positive = round(settings.batch * _POSITIVE_SHARE)
        known = _picked(self._with, positive, rng) + _picked(self._without, settings.batch - positive, rng)
        others = _picked(self._others, settings.unlabelled_batch, rng) if self._others else []
        numbers = rng.integers(settings.views, size=len(known) + len(others)).tolist()
        kinds = [(WEAK, STRONG)[int(kind)] for kind in rng.integers(2, size=len(known))]
        own = list(zip(known, kinds, numbers, strict=False))
        pairs = list(zip(others, numbers[len(known) :], strict=True))
        weak = [(place, WEAK, number) for place, number in pairs]
        strong = [(place, STRONG, number) for place, number in pairs]
        channels = next(iter(self._banks[0].embeddings.values())).shape[1]
        shares = [self._banks[bank].share(index, number) for (bank, index), _, number in own]
        return Batch(
            *self._views(own),
            torch.from_numpy(np.stack(shares))[:, None],
            torch.tensor([1.0] * positive + [0.0] * (settings.batch - positive)),
            *self._views(weak),
            *self._views(strong),
            torch.tensor([self._present(bank, index) for bank, index in others]),
            torch.from_numpy(rng.random((len(known) + len(others), channels)) >= DROPPED_CHANNELS),
            torch.tensor([self._seed, step, self._process]),
        )

    def _present(self, bank: int, index: int) -> float:
        return 1.0 if index in self._banks[bank].pool.present else float("nan")

    def _views(self, wanted: Sequence[tuple[tuple[int, int], str, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and embeddings of slices, each in one of its views."""
        first = self._banks[0]
        shapes = [next(iter(store.values())).shape[1:] for store in (first.images, first.embeddings)]
        images, embeddings = np.empty((0, *shapes[0]), np.float32), np.empty((0, *shapes[1]), np.float32)
        if wanted:
            images = np.stack([self._banks[b].images[kind, n][i] for (b, i), kind, n in wanted]).astype(np.float32)
            found = [self._banks[b].embeddings[kind, n][i] for (b, i), kind, n in wanted]
            embeddings = np.stack(found).astype(np.float32)
        return torch.from_numpy(images)[:, None], torch.from_numpy(embeddings)


def _picked(groups: Groups, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draws by patient first."""
    found = []
    for _ in range(count):
        group = groups[rng.integers(len(groups))]
        found.append(group[rng.integers(len(group))])
    return found
