"""A training with the sections of the SAM-Mix paper, small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training_cases import write_config

from sammix_core.training.config import TrainingConfig
from sammix_core.training.supervised import SupervisedTrainer

RESNET = {"steps": 3, "batch": 4, "width": 0.0625, "threshold": "paper"}


def config(folder: Path, **changes: Any) -> Path:
    return write_config(folder, **{"decoder": {"steps": 0}, "head": {"steps": 2, "batch": 2}, **changes})


def trainer(folder: Path, **changes: Any) -> SupervisedTrainer:
    return SupervisedTrainer(TrainingConfig.read(config(folder, **changes)))
