"""Everything that rows need, made once: patients, encoder, trained networks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sammix_core.engines.openvino_compiler import INT8
from sammix_core.errors import InputError
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.progress import Progress
from sammix_core.sam.litemedsam import LiteMedSam
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.training.config import TrainingConfig
from sammix_core.training.semi_supervised.bank import Bank
from sammix_core.training.semi_supervised.split import Split
from sammix_core.training.view_encoder import ViewEncoder

from .baselines import train_baseline
from .cases import TestCase
from .cells import Cell
from .embeddings import KeptEncoder
from .methods import QUICKER, Method, method_of
from .patient import Patient
from .patients import Material, Patients, material_of, roles_of
from .rows import Row
from .sammix_rows import checkpoint_of, model_of, trained
from .scoring import Loaded, Training, load, rows_with_boxes, rows_without_boxes

CPU = torch.device("cpu")
_TELL_SECONDS = 30.0


@dataclass(frozen=True)
class Given:
    """What a cell's training gets.

    Attributes:
        banks: Views of the cases, with the labels that it may know.
        split: What is held back.
        depends_on: JSON values that stand for the cases.
    """

    banks: list[Bank]
    split: Split
    depends_on: list[Any]

    @property
    def masks(self) -> int:
        """How many masks."""
        return sum(len(bank.case.masks) for bank in self.banks)


class Bench:
    """Trains what rows ask for, and keeps the last one, since rows of a training follow each other.

    Args:
        work: Folder for embeddings and checkpoints.
        spec: The preprocessing.
        precision: The encoder's.
    """

    def __init__(self, work: Path, spec: PreprocessingSpec, precision: str) -> None:
        self._work = work
        self._spec = spec
        self._view_encoder = ViewEncoder(precision)
        self._view_encoder.check()
        self._reported_at = 0.0
        self._last: tuple[Training, LoadedModel | nn.Module] | None = None

    @cached_property
    def base(self) -> LiteMedSam:
        """LiteMedSAM as it comes; its network is what trainings begin from."""
        return LiteMedSam(CPU, engine="torch")

    @cached_property
    def encoder(self) -> KeptEncoder:
        """The plain encoder with another decoder, which takes on what was trained."""
        if self._view_encoder.precision == INT8:
            return KeptEncoder(LiteMedSam(CPU, engine="openvino", precision=INT8), self._work / "embeddings-int8")
        return KeptEncoder(LiteMedSam(CPU), self._work / "embeddings")

    def load(self, case: TestCase) -> Loaded:
        """Reads a case."""
        return load(case)

    def given(self, cell: Cell, method: Method) -> Given:
        """What a cell's training gets."""
        raise NotImplementedError

    def encoded(self, case: str) -> Bank | None:
        """Plain views of a case to test on that are encoded already."""
        return None

    def rows(self, cell: Cell, loaded: Loaded) -> Iterator[Row]:
        """Rows of one training and one case."""
        if self._last is None or self._last[0].cell != cell:
            self._last = self._trained(cell)
        training, made = self._last
        if isinstance(made, LoadedModel):
            kept = self.encoded(loaded.case.name) if made.backend is self.encoder else None
            yield from rows_with_boxes(made, loaded, training, kept)
        else:
            yield from rows_without_boxes(made, loaded, training, self._spec)

    def _trained(self, cell: Cell) -> tuple[Training, LoadedModel | nn.Module]:
        method = method_of(cell.method)
        given = self.given(cell, method)
        training = Training(cell, given.masks)
        settings = method.settings(cell.protocol) if method.network == "sammix" else None
        checkpoint = checkpoint_of(cell, given.masks, settings, given.depends_on, self._work)
        if settings is None:
            return training, train_baseline(method.network, given.banks, given.split, cell.draw, checkpoint, self._tell)
        outcome = trained(cell, given.banks, given.split, settings, checkpoint, self.base, self._tell)
        share = "{:,} of {:,}".format(*outcome.network.trainable_share())
        back = "" if outcome.shares is None else f", {outcome.shares}"
        print(f"{cell}: best at step {outcome.step}, Dice {outcome.dice:.3f}, {share} trained{back}", flush=True)
        return training, model_of(outcome.network, self.encoder.backend, self.encoder, self._spec)

    def _tell(self, progress: Progress) -> None:
        if time.monotonic() - self._reported_at > _TELL_SECONDS:
            self._reported_at = time.monotonic()
            left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
            print(f"{progress.stage}: {progress.done} of {progress.total}{left}", flush=True)


class OnePatientBench(Bench):
    """All slices are one patient's.

    Args:
        ct: The CT of the patient that is trained on.
        label: Its label.
        values: Values that are the structure.
        work: Folder for embeddings and checkpoints.

    Raises:
        InputError: A file is not there.
    """

    def __init__(self, ct: Path, label: Path, values: tuple[int, ...], work: Path) -> None:
        for file in (ct, label):
            if not file.exists():
                raise InputError(f"The training patient needs {file}, which is not there.")
        super().__init__(work, PreprocessingSpec(), "float32")
        self._files = ct, label, values

    @cached_property
    def patient(self) -> Patient:
        """The patient, encoded."""
        ct, label, values = self._files
        return Patient.prepare(ct, label, values, self._work, QUICKER["views"], self.encoder, self._tell)

    def given(self, cell: Cell, method: Method) -> Given:
        """See `Bench.given`."""
        bank, split = self.patient.with_masks(cell.labelled_slices or 0, cell.draw, images=method.network != "sammix")
        return Given([bank], split, [bank.case.name])


class PatientsBench(Bench):
    """Few masks of one or three patients, image-level labels of the others.

    Args:
        config: A configuration of `sammix train` whose cases, encoder and plain views are used.
        work: Folder for pairs of views and checkpoints.
        out_of_fold: Whether training patients are tested on, whom a cell's training then may not know.
    """

    def __init__(self, config: TrainingConfig, work: Path, out_of_fold: bool) -> None:
        super().__init__(work, config.preprocessing, config.encoder)
        self._out_of_fold = out_of_fold
        self.patients = Patients(config, work, lambda: self.encoder.backend, self._tell)

    def tested(self, cell: Cell) -> list[TestCase]:
        """The cases that a cell is tested on out of fold."""
        roles = roles_of(self.patients.cases, cell.draw, cell.patients_labelled, out_of_fold=True)
        return [self.patients.test_case(c.name) for c in self.patients.cases if c.patient in roles.tested]

    def given(self, cell: Cell, method: Method) -> Given:
        """See `Bench.given`; without unlabelled slices the other patients take no part at all."""
        material = self._material(cell, method)
        depends_on = [
            [case.name, sorted(case.masks), case.present, case.absent, material.split.held_back.get(case.name)]
            for case in material.cases
        ]
        if method.network != "sammix":
            return Given(self.patients.images(material), material.split, depends_on)
        views = method.settings(cell.protocol).views
        return Given(self.patients.banks(material, views), material.split, [*depends_on, self._view_encoder.identity])

    def encoded(self, case: str) -> Bank | None:
        """See `Bench.encoded`."""
        return self.patients.encoded(case, QUICKER["views"]) if self._out_of_fold else None

    def _material(self, cell: Cell, method: Method) -> Material:
        cases = self.patients.cases
        # Where all have masks nobody is drawn; out of fold the same patients are tested as in the draw's other cells.
        labelled = 0 if cell.labelled_slices is None else cell.patients_labelled
        roles = roles_of(cases, cell.draw, labelled, self._out_of_fold)
        others = method.network != "sammix" or method.settings(cell.protocol).unlabelled_batch > 0
        return material_of(cases, cell, roles, others)
