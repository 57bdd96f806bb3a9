"""The sections of a training configuration that cannot work are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from paper_training import config

from sammix_core.errors import InputError
from sammix_core.training.config import TrainingConfig


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"resnet38": {"width": 0.0}}, "width from 0.05 to 2"),
        ({"resnet38": {"steps": 0}}, "resnet38 needs steps"),
        ({"resnet38": {"loss": "hinge"}}, "resnet38 has the loss 'hinge'; choose one of focal, cross_entropy"),
        ({"resnet38": {"method": "scorecam"}}, "the method 'scorecam'; choose one of gradcam"),
        ({"resnet38": {"layer": "layer7"}}, "the layer 'layer7'"),
        ({"resnet38": {"threshold": "0.4"}}, "choose one of paper, otsu, calibrated"),
        ({"resnet38": {"depth": 38}}, "does not know the key 'depth'"),
        ({"resnet38": []}, "resnet38 must be keys and values"),
        ({"lora": {"prompts": "points"}}, "choose one of embedding_cam, resnet38"),
        ({"lora": {"prompts": "resnet38"}}, "prompts of resnet38, which has no section"),
        ({"lora": {"rank": 0}}, "lora needs steps and a rank"),
        ({"lora": {"rank": 2.5}}, "rank must be a whole number"),
    ],
)
def test_sections_that_cannot_work_are_refused(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        TrainingConfig.read(config(tmp_path, **changes))


def test_without_sections_nothing_of_it_is_trained(tmp_path: Path) -> None:
    read = TrainingConfig.read(config(tmp_path))
    assert (read.resnet38, read.lora) == (None, None)
