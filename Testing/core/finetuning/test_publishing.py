"""What a new version takes over from its parent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sammix_core.finetuning.candidate import Weights, weights_of
from sammix_core.finetuning.publishing import Candidate, publish_candidate
from sammix_core.finetuning.result import FineTuneResult
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.model_store import ModelFolder, resolve
from sammix_core.model_store.manifest import PACK_FILE
from sammix_core.model_store.weights import load_model_weights
from sammix_core.sam import lora
from sammix_core.segmentation import plausibility
from sammix_core.segmentation.default_refiner import default_refiner
from sammix_core.segmentation.model_loading import load_model
from sammix_core.segmentation.slice_decoder import MaskRefiner

RESULT = FineTuneResult("mine/1.0.0", "liver", Path(), "better", "Better.", (), 1.0, 1.0, 1.0, 4, 1)


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFolder:
    """The shipped model, which carries a calibration."""
    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path))
    return resolve("liver")


def published(parent: ModelFolder, **changes: Any) -> ModelFolder:
    weights = Weights({"weight": torch.ones(2)}, {"mask_decoder.weight": torch.ones(2)})
    candidate = Candidate(weights, adapter=None, boxes=BoxSettings(), target="liver", new_structure=False)
    return publish_candidate(parent, replace(candidate, **changes), ["case-1"], RESULT)


def test_the_check_for_a_liver_is_taken_over_exactly(parent: ModelFolder) -> None:
    child = published(parent)
    assert child.manifest.guidance[plausibility.NAME] == parent.manifest.guidance[plausibility.NAME]
    old, new = (load_model_weights(model, plausibility.WEIGHTS_FILE) for model in (parent, child))
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_a_refiner_goes_along_where_it_was_found_to_help_and_with_its_newer_versions(parent: ModelFolder) -> None:
    def refiner_of(folder: ModelFolder) -> MaskRefiner | None:
        return default_refiner(load_model(folder.path, "cpu", None, None, "torch"))

    shipped = refiner_of(parent)
    assert shipped is not None
    assert PACK_FILE in parent.manifest.files
    weights = weights_of(load_model(parent.path, "cpu", None, None, "torch"))
    child = published(parent, weights=weights, refiner=shipped)
    assert PACK_FILE in child.manifest.files
    assert child.manifest.guidance["refiner"] == shipped.spec
    manifest = replace(child.manifest, guidance={**child.manifest.guidance, "refiner": "liver-refiner/0.0.1"})
    manifest.write(child.path / "manifest.json")
    refiner = refiner_of(child)
    assert refiner is not None
    assert refiner.spec == shipped.spec
    replace(manifest, guidance={**manifest.guidance, "refiner": ""}).write(child.path / "manifest.json")
    assert refiner_of(child) is None


@pytest.mark.parametrize(
    "changes", [{"adapter": {"lora": torch.ones(2)}}, {"target": "right kidney", "new_structure": True}]
)
def test_another_encoder_or_structure_has_no_such_check(parent: ModelFolder, changes: dict[str, Any]) -> None:
    child = published(parent, **changes)
    assert (lora.WEIGHTS_FILE in child.manifest.files) == ("adapter" in changes)
    assert plausibility.NAME not in child.manifest.guidance
    assert not {plausibility.WEIGHTS_FILE, PACK_FILE} & set(child.manifest.files)
