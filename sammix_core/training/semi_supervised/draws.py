"""Which slices a step is made of: from the step's number alone, so that a resumed training sees the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sammix_core.datasets.sampling import PatientSampler
from sammix_core.errors import InputError
from sammix_core.training.semi_supervised.bank import STRONG, WEAK, Bank
from sammix_core.training.semi_supervised.guides import DROPPED_CHANNELS
from sammix_core.training.semi_supervised.network import NO_FOLD, Batch
from sammix_core.training.semi_supervised.settings import SamMixTraining
from sammix_core.training.semi_supervised.split import Split

_POSITIVE_SHARE = 2 / 3
_NEIGHBOURS_MM = 10.0  # slices further apart show another part of an organ
BankSlice = tuple[int, int]  # number of the bank, and the canonical slice


class Draws:
    """Draws batches of slices that are not held back.

    Patients count the same however many volumes and slices they have, and so do the volumes of a patient.
    """

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
        cases = [bank.case for bank in banks]
        self._with = self._sampler([sorted(case.masks) for case in cases], split)
        self._without = self._sampler([list(case.absent) for case in cases], split)
        self._others = self._sampler([[*case.present, *case.unknown] for case in cases], split)
        self._folds = folds_of(banks, split, settings.fold_heads)
        if not self._with:
            raise InputError("All slices with a mask are held back for early stopping: label one more.")
        if not self._without:
            raise InputError(
                "No slice is known to be without the structure, so that it cannot be told from others: name some as "
                "absent, or give labels that cover them."
            )

    def _sampler(self, slices: list[list[int]], split: Split) -> PatientSampler[BankSlice]:
        """Of the slices of each bank, those that are not held back."""
        return PatientSampler(
            (bank.case.patient, bank.case.name, (number, index))
            for number, bank in enumerate(self._banks)
            for index in slices[number]
            if bank.has(index) and not split.keeps(bank.case.name, index)
        )

    def counts(self) -> dict[str, int]:
        """How many slices of each kind are trained on."""
        kinds = {"with_mask": self._with, "without_structure": self._without, "without_mask": self._others}
        return {name: len(sampler) for name, sampler in kinds.items()}

    def batch(self, step: int) -> Batch:
        """The batch of a step, on the CPU."""
        settings = self._settings
        rng = np.random.default_rng([self._seed, step, self._process])
        positive = round(settings.batch * _POSITIVE_SHARE)
        labelled = self._with.draw(positive, rng) + self._without.draw(settings.batch - positive, rng)
        others = self._others.draw(settings.unlabelled_batch, rng) if len(self._others) else []
        numbers = rng.integers(settings.views, size=len(labelled) + len(others)).tolist()
        kinds = [(WEAK, STRONG)[int(kind)] for kind in rng.integers(2, size=len(labelled))]
        drawn = list(zip(labelled, kinds, numbers, strict=False))
        pairs = list(zip(others, numbers[len(labelled) :], strict=True))
        channels = next(iter(self._banks[0].embeddings.values())).shape[1]
        neighbours, positions = self._neighbours(pairs) if settings.looks_at_neighbours else (torch.empty(0),) * 2
        shares = [self._banks[bank].share(index, number) for (bank, index), _, number in drawn]
        images, embeddings = self._views(drawn)
        weak_images, weak_embeddings = self._views([(pick, WEAK, number) for pick, number in pairs])
        strong_images, strong_embeddings = self._views([(pick, STRONG, number) for pick, number in pairs])
        return Batch(
            images=images,
            embeddings=embeddings,
            shares=torch.from_numpy(np.stack(shares))[:, None],
            present=torch.tensor([1.0] * positive + [0.0] * (settings.batch - positive)),
            weak_images=weak_images,
            weak_embeddings=weak_embeddings,
            strong_images=strong_images,
            strong_embeddings=strong_embeddings,
            unlabelled_present=torch.tensor([self._present(bank, index) for bank, index in others]),
            kept=torch.from_numpy(rng.random((len(labelled) + len(others), channels)) >= DROPPED_CHANNELS),
            seed=torch.tensor([self._seed, step, self._process]),
            folds=torch.tensor([self._folds.get(pick, NO_FOLD) for pick in labelled]),
            neighbours=neighbours,
            positions=positions,
        )

    def _present(self, bank: int, index: int) -> float:
        return 1.0 if index in self._banks[bank].case.present else float("nan")

    def _views(self, slices: Sequence[tuple[BankSlice, str, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and embeddings of slices, each in one of its views."""
        first = self._banks[0]
        shapes = [next(iter(store.values())).shape[1:] for store in (first.images, first.embeddings)]
        images, embeddings = np.empty((0, *shapes[0]), np.float32), np.empty((0, *shapes[1]), np.float32)
        if slices:
            images = np.stack([self._banks[b].image(i, (kind, n)) for (b, i), kind, n in slices])
            embeddings = np.stack([self._banks[b].embedding(i, (kind, n)) for (b, i), kind, n in slices])
        return torch.from_numpy(images)[:, None], torch.from_numpy(embeddings)

    def _neighbours(self, pairs: Sequence[tuple[BankSlice, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Batch.neighbours` and `Batch.positions`."""
        shape = next(iter(self._banks[0].embeddings.values())).shape[1:]
        embeddings = np.full((len(pairs), 2, *shape), np.nan, np.float32)
        positions = np.empty((len(pairs), *shape[1:], 2), np.float32)
        for place, ((number, index), view) in enumerate(pairs):
            bank = self._banks[number]
            positions[place] = bank.positions(index, view, shape[-1])
            for side, neighbour in enumerate((index - 1, index + 1)):
                if bank.has(neighbour) and bank.case.spacing[0] <= _NEIGHBOURS_MM:
                    embeddings[place, side] = bank.embedding(neighbour, (WEAK, 0))
        return torch.from_numpy(embeddings), torch.from_numpy(positions)


def folds_of(banks: Sequence[Bank], split: Split, count: int) -> dict[BankSlice, int]:
    """The part of each slice with a mask that is trained on: patients in turn, or stretches of the one patient.

    Args:
        banks: The views of all cases.
        split: Who is held back.
        count: How many parts; 0 for none.
    """
    if not count:
        return {}
    trained = [
        (bank.case.patient, (number, index))
        for number, bank in enumerate(banks)
        for index in sorted(bank.case.masks)
        if not split.keeps(bank.case.name, index)
    ]
    patients = sorted({patient for patient, _ in trained})
    if len(patients) > 1:
        return {pick: patients.index(patient) % count for patient, pick in trained}
    return {pick: place * count // len(trained) for place, (_, pick) in enumerate(trained)}
