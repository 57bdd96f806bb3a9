"""The backend of the trainers' tests: LiteMedSAM's own decoder behind an encoder that takes no time."""

from __future__ import annotations

import pytest
import torch
from training_cases import QuickLiteMedSam

from sammix_core.training import supervised


@pytest.fixture(scope="module")
def quick() -> QuickLiteMedSam:
    return QuickLiteMedSam(torch.device("cpu"))


@pytest.fixture
def quick_backend(quick: QuickLiteMedSam, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `SupervisedTrainer` take that backend."""
    monkeypatch.setattr(supervised, "LiteMedSam", lambda *_: quick)
