"""Which encoder views go through, and how its views are told from another one's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from real_data import real_data
from training_cases import write_config

from sammix_core.errors import InputError
from sammix_core.training import view_encoder
from sammix_core.training.case_views import case_views, count_slices
from sammix_core.training.config import TrainingConfig
from sammix_core.training.supervised import SupervisedTrainer
from sammix_core.training.view_encoder import ViewEncoder


def test_every_encoder_has_views_of_its_own(tmp_path: Path) -> None:
    config = TrainingConfig.read(write_config(tmp_path))
    ranges = tmp_path / "ranges.safetensors"
    ranges.write_bytes(b"ranges")
    adapter = {"first.qkv.lora_A": torch.ones(2, 3)}
    encoders = [
        ViewEncoder(),
        ViewEncoder("int8"),
        ViewEncoder("float32", adapter),
        ViewEncoder("float32", {"first.qkv.lora_A": torch.full((2, 3), 2.0)}),
        ViewEncoder("int8", adapter, ranges),
    ]
    folders = [case_views(config, config.cases[0], encoder.identity).folder.name for encoder in encoders]
    assert len(set(folders)) == len(folders)
    assert folders[0] == case_views(config, config.cases[0]).folder.name, "as in versions that knew no other"
    ranges.write_bytes(b"others")
    assert case_views(config, config.cases[0], encoders[-1].identity).folder.name not in folders


def test_int8_without_openvino_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_encoder, "openvino_available", lambda device: False)
    with pytest.raises(InputError, match="encoder int8 needs OpenVINO, which is not installed here"):
        SupervisedTrainer(TrainingConfig.read(write_config(tmp_path, encoder="int8")))
    assert not (tmp_path / "work").exists()


def test_int8_on_a_processor_that_computes_in_float32_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_encoder, "openvino_available", lambda device: True)
    monkeypatch.setattr(view_encoder, "default_precision", lambda: "float32")
    with pytest.raises(InputError, match="this one computes in float32"):
        ViewEncoder("int8").check()


def test_an_encoder_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no encoder 'int4'; choose one of float32, int8"):
        TrainingConfig.read(write_config(tmp_path, encoder="int4"))


def test_slices_are_counted_without_encoding(tmp_path: Path) -> None:
    config = TrainingConfig.read(write_config(tmp_path, views=[0, 11]))
    plain = count_slices(config)
    assert plain.keys() == {"anna", "bert"}
    assert all(count >= 5 + 2 * 4 for count in plain.values()), "5 clean, and what shows the liver twice"
    first = TrainingConfig.read(write_config(tmp_path, views=[0, 11], lora={"order": "first", "views": 0}))
    assert count_slices(first) == {name: count + 5 for name, count in plain.items()}
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
@pytest.mark.real_data
def test_the_recipe_of_liver_2_encodes_at_most_9000_slices() -> None:
    path = Path(__file__).parents[3] / "benchmarks" / "liver_model" / "config-lora.yaml"
    real_data("hcc005_plain_ct.nii.gz")
    config = TrainingConfig.read(path)
    patients = {case.patient for case in config.cases}
    assert (len(config.cases), len(patients)) == (17, 12)
    assert sum(count_slices(config).values()) == 6852
