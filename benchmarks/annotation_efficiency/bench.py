"""Everything that rows need, made once: the patient, the encoder, trained networks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from sammix_core.errors import InputError
from sammix_core.progress import Progress
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.segmentation.model_loading import LoadedModel

from .baselines import train_baseline
from .cases import TestCase
from .embeddings import KeptEncoder
from .methods import QUICKER, Method
from .patient import Patient
from .rows import Row
from .sammix_rows import checkpoint_of, model_of, trained
from .scoring import Loaded, load, rows_with_boxes, rows_without_boxes

CPU = torch.device("cpu")
_TELL_SECONDS = 30.0


class Bench:
    """Trains what rows ask for, and keeps the last one, since rows of a training follow each other."""

    def __init__(self, ct: Path, label: Path, values: tuple[int, ...], work: Path) -> None:
        """Names the patient; nothing is read yet.

        Args:
            ct: The CT of the patient that is trained on.
            label: Its label.
            values: Values that are the structure.
            work: Folder for embeddings and checkpoints.

        Raises:
            InputError: A file is not there.
        """
        for file in (ct, label):
            if not file.exists():
                raise InputError(f"The training patient needs {file}, which is not there.")
        self._files = ct, label, values
        self._work = work
        self._reported_at = 0.0
        self._last: tuple[tuple[str, int, int], LoadedModel | nn.Module] | None = None

    @cached_property
    def base(self) -> LiteMedSam:
        """LiteMedSAM as it comes; its network is what trainings begin from."""
        return LiteMedSam(CPU, engine="torch")

    @cached_property
    def encoder(self) -> KeptEncoder:
        """The plain encoder with another decoder, which takes on what was trained."""
        return KeptEncoder(LiteMedSam(CPU), self._work / "embeddings")

    @cached_property
    def patient(self) -> Patient:
        """The patient, encoded."""
        ct, label, values = self._files
        return Patient.prepare(ct, label, values, self._work, QUICKER["views"], self.encoder, self._tell)

    def load(self, case: TestCase) -> Loaded:
        """Reads a case."""
        return load(case)

    def rows(self, method: Method, count: int, seed: int, loaded: Loaded) -> Iterator[Row]:
        """Rows of one training and one case."""
        key = (method.name, count, seed)
        if self._last is None or self._last[0] != key:
            self._last = key, self._trained(method, count, seed)
        made = self._last[1]
        if isinstance(made, LoadedModel):
            yield from rows_with_boxes(made, loaded, *key)
        else:
            yield from rows_without_boxes(made, loaded, *key)

    def _trained(self, method: Method, count: int, seed: int) -> LoadedModel | nn.Module:
        if method.network == "sammix":
            outcome = trained(method, count, seed, self.patient, self._work, self.base, self._tell)
            share = "{:,} of {:,}".format(*outcome.network.trainable_share())
            print(f"{method.name}: best at step {outcome.step}, Dice {outcome.dice:.3f}, {share} trained", flush=True)
            return model_of(outcome.network, self.encoder.backend, self.encoder)
        bank, split = self.patient.with_masks(count, seed, images=True)
        checkpoint = checkpoint_of(method, count, seed, self.patient, self._work)
        return train_baseline(method.network, bank, split, seed, checkpoint, self._tell)

    def _tell(self, progress: Progress) -> None:
        if time.monotonic() - self._reported_at > _TELL_SECONDS:
            self._reported_at = time.monotonic()
            left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
            print(f"{progress.stage}: {progress.done} of {progress.total}{left}", flush=True)
