"""The views of a case: every one of them has something to learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_ct import LIVER, synthetic_ct
from training_cases import write_config

from sammix_core.datasets.cases import CaseConfig, LabelledCase
from sammix_core.embeddings.view_store import ViewStore
from sammix_core.training.case_views import make_view, open_view
from sammix_core.training.config import TrainingConfig
from sammix_core.volume.volume import Volume


class Still:
    """A backend that encodes nothing."""

    name = "still"
    device = torch.device("cpu")
    image_size = 256
    batch = 1
    concurrency = 1

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(images), 2, 4, 4)

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        raise NotImplementedError


@pytest.mark.parametrize(("positive", "negative"), [((0,), ()), ((), (0,)), ((0, 1), (2,))])
def test_a_case_of_few_thin_slices_has_something_in_every_view(
    tmp_path: Path, positive: tuple[int, ...], negative: tuple[int, ...]
) -> None:
    axial = synthetic_ct((3, 40, 50))
    volume = Volume(axial, (5.0, 5.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))
    case = LabelledCase("few", volume, {k: abs(axial[k] - LIVER) < 40 for k in positive}, negative)
    config = TrainingConfig.read(write_config(tmp_path))
    store = ViewStore(tmp_path / "views")
    for name in ("clean", "view-00", "view-01", "view-02"):
        encoded: list[int] = []
        make_view(case, name, store, Still(), config, lambda encoded=encoded: encoded.append(1))
        view = open_view(CaseConfig("few", tmp_path), name, store)
        assert 1 <= len(view.slices) == len(view.shares) == len(view.embeddings) == len(encoded)
        assert set(view.slices) <= {*positive, *negative}
