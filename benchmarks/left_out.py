"""Sessions of training cases with head, decoder and refiner that have not seen the patient.

    python benchmarks/refiner/train_refiner.py liver --without hcc009 --version 0.3.0    # once for each fold

trains the refiner without a patient and the others of its fold; other scripts open sessions with `LeftOut`.
"""

from __future__ import annotations

from pathlib import Path

from ablation import DEFAULT, Fold, session_for

from sammix_core.datasets.cases import CaseConfig
from sammix_core.errors import InputError
from sammix_core.model_store.store import ModelFolder, open_model
from sammix_core.refinement.folder import LIVER, SHIPPED
from sammix_core.refinement.model import load_refiner
from sammix_core.segmentation.default_refiner import organ_refiner
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_sampling import EVERY_SLICE, SliceSampling
from sammix_core.training.config import TrainingConfig
from sammix_core.training.supervised import SupervisedTrainer
from sammix_core.training.views import CLEAN

REFINERS = Path(__file__).resolve().parents[1] / "work" / "refiner" / "models"


class LeftOut:
    """Opens sessions of a configuration's cases, each with what was trained without the case's patient.

    Args:
        config: Of the training; folds that are not trained yet are trained now.
        version: Of the folds' refiners, as given to `train_refiner.py --version`; None for no refiner at all.
    """

    def __init__(self, config: TrainingConfig, version: str | None) -> None:
        self.trainer = SupervisedTrainer(config)
        self._version = version
        self._folds: dict[tuple[str, ...], Fold] = {}

    def session(self, case: CaseConfig, sampling: SliceSampling = EVERY_SLICE) -> SegmentationSession:
        """A session that takes the embeddings of the case's clean views.

        Args:
            case: One of the configuration.
            sampling: Which slices are encoded.

        Raises:
            InputError: The refiner of the case's fold has not been trained yet.
        """
        together = self.trainer.config.left_out_with(case.patient)
        fold = self._folds.setdefault(together, Fold(self.trainer, case.patient))
        model = fold.model(DEFAULT)
        clean = [view for view in self.trainer.views if view.case == case.name and view.name == CLEAN]
        session = session_for(model, case.ct, clean, sampling)
        if self._version is not None:
            folder = self.refiner(case.patient)
            session.set_refiner(organ_refiner(model, folder, 1, every_box=False))
            session.clicked.refiner = load_refiner(folder, model.preprocessing, model.device.type)
        return session

    def refiner(self, patient: str) -> ModelFolder:
        """The refiner that was trained without a patient, for itself or for another one of the fold.

        Raises:
            InputError: There is none yet.
        """
        together = self.trainer.config.left_out_with(patient)
        for without in together:
            folder = REFINERS / f"{SHIPPED[LIVER]}-without-{without}" / str(self._version)
            if (folder / "manifest.json").is_file():
                return open_model(folder)
        raise InputError(
            f"No refiner {self._version} was trained without {', '.join(together)}: run "
            f"`python benchmarks/refiner/train_refiner.py liver --without {patient} --version {self._version}` first."
        )
