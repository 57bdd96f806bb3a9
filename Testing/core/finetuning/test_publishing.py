"""What a new version takes over from its parent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sammix_core.finetuning.candidate import Weights
from sammix_core.finetuning.publishing import Candidate, publish_candidate
from sammix_core.finetuning.result import FineTuneResult
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.model_store import ModelFolder, list_models, resolve
from sammix_core.model_store.manifest import PACK_FILE
from sammix_core.model_store.weights import load_model_weights
from sammix_core.refinement.organ import OrganRefiner
from sammix_core.sam import lora
from sammix_core.segmentation import plausibility
from sammix_core.segmentation.segmenter import Segmenter

RESULT = FineTuneResult("mine/1.0.0", "liver", Path(), "better", "Better.", (), 1.0, 1.0, 1.0, 4, 1)


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFolder:
    """The shipped model, which carries a calibration."""
    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path))
    return resolve("liver")


def published(parent: ModelFolder, **changes: Any) -> ModelFolder:
    weights = Weights({"weight": torch.ones(2)}, {"mask_decoder.weight": torch.ones(2)})
    candidate = Candidate(weights, adapter=None, boxes=BoxSettings(), target="liver", new_structure=False)
    result = replace(RESULT, model=f"mine/{len(list_models())}.0.0")
    return publish_candidate(parent, replace(candidate, **changes), ["case-1"], result)


def test_the_check_for_a_liver_is_taken_over_exactly(parent: ModelFolder) -> None:
    child = published(parent)
    assert child.manifest.guidance[plausibility.NAME] == parent.manifest.guidance[plausibility.NAME]
    old, new = (load_model_weights(model, plausibility.WEIGHTS_FILE) for model in (parent, child))
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_the_refiner_and_the_slices_of_the_training_patients_go_along(parent: ModelFolder) -> None:
    weights = Weights({}, load_model_weights(parent))
    alone = published(parent, weights=weights)
    assert "refiner" not in alone.manifest.guidance
    assert alone.manifest.files[PACK_FILE] == parent.manifest.files[PACK_FILE]
    refiner = OrganRefiner("liver-refiner/0.0.1", lambda _embedding, logits: logits)
    child = published(parent, weights=weights, refiner=refiner)
    assert child.manifest.guidance["refiner"] == "liver-refiner/0.0.1"
    used = Segmenter.load(child.path, device="cpu", engine="torch").refiner
    assert used is not None
    assert used.spec == resolve("liver-refiner").spec  # a newer one takes the place of that it was tried with


@pytest.mark.parametrize(
    "changes", [{"adapter": {"lora": torch.ones(2)}}, {"target": "right kidney", "new_structure": True}]
)
def test_another_encoder_or_structure_has_no_such_check(parent: ModelFolder, changes: dict[str, Any]) -> None:
    child = published(parent, **changes)
    assert (lora.WEIGHTS_FILE in child.manifest.files) == ("adapter" in changes)
    assert plausibility.NAME not in child.manifest.guidance
    assert not {plausibility.WEIGHTS_FILE, PACK_FILE} & set(child.manifest.files)
    assert child.manifest.postprocessing["clean_density"] == ("adapter" in changes), "another structure may hold fat"
