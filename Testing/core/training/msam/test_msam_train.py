"""Training of M-SAM: stages, losses, seeds, resuming, and what a model's folder says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from small_msam import TINY, write_msam_config
from torch import nn
from typer.testing import CliRunner

from sammix_core.cli.app import app
from sammix_core.errors import Cancelled, InputError
from sammix_core.model_store import ModelFolder, verify
from sammix_core.model_store.weights import load_model_weights
from sammix_core.progress import Progress
from sammix_core.refinement.msam.network import MSam, Sam3d
from sammix_core.refinement.msam.stages import dice, empty_mask, mask_as_prompt, on_the_crop, stage_loss, stages
from sammix_core.training.msam import train as training
from sammix_core.training.msam.cases import load_ras_case
from sammix_core.training.msam.config import MSamConfig
from sammix_core.training.msam.train import build, train_msam
from sammix_core.training.run import train_from_config

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _quietly() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)


def a_target() -> torch.Tensor:
    target = torch.zeros(1, 1, 16, 16, 16, dtype=torch.bool)
    target[..., 4:9, 5:11, 6:12] = True
    return target


class _Told(MSam):
    """Notes what each stage gets."""

    def __init__(self) -> None:
        super().__init__(TINY)
        self.encoded = 0
        self.got: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        self.encoded += 1
        return super().encode(images)

    def decode(self, embeddings: Any, mask_logits: Any, points: Any, labels: Any) -> Any:
        self.got.append((mask_logits, points, labels))
        return super().decode(embeddings, mask_logits, points, labels)


def test_each_stage_takes_the_last_mask_and_one_more_click_from_its_errors() -> None:
    network, target = _Told(), a_target()
    found = list(stages(network, torch.randn(1, 1, 16, 16, 16), target, 4, np.random.default_rng(0)))
    assert network.encoded == 1
    assert [logits.shape for logits in found] == [(1, 1, 16, 16, 16)] * 4
    masks, points, labels = zip(*network.got, strict=True)
    assert [one.shape[1] for one in points] == [1, 2, 3, 4]
    assert not masks[0].any(), "the main stage begins from an empty mask"
    before = torch.full((1, 1, 16, 16, 16), -1.0)
    for stage in range(4):
        place = (0, 0, *points[stage][0, -1].tolist())
        assert (before[place] > 0) != target[place], "the newest click lies on an error"
        assert labels[stage][0, -1].item() == int(target[place])
        assert torch.equal(points[stage][0, :-1], points[stage - 1][0] if stage else points[0][0, :0])
        before = found[stage]
        if stage < 3:
            assert torch.allclose(on_the_crop(network, masks[stage + 1]), found[stage], atol=1e-5)


def test_stages_without_clicks_and_from_a_mask() -> None:
    network, target = _Told(), a_target()
    start = torch.zeros_like(target)
    start[..., 4:12, 4:12, 4:12] = True
    list(stages(network, torch.randn(1, 1, 16, 16, 16), target, 3, np.random.default_rng(0), start, clicking=1))
    masks, points, labels = zip(*network.got, strict=True)
    assert [one.shape[1] for one in points] == [1, 1, 1]
    assert ((masks[0] > 0) == start).all(), "16 voxels of the prompt are those of the cube"
    assert labels[0].item() == 0, "everything was in the mask, so the click takes something away"


def test_a_mask_becomes_a_prompt_by_its_share() -> None:
    network = MSam(TINY)
    assert empty_mask(network, 2, torch.device("cpu")).shape == (2, 1, 16, 16, 16)
    halves = torch.zeros(1, 1, 32, 32, 32, dtype=torch.bool)
    halves[..., :3] = True
    prompt = mask_as_prompt(network, halves)
    assert prompt.shape == (1, 1, 16, 16, 16)
    assert prompt[0, 0, 0, 0, :3].tolist() == [4.0, 0.0, -4.0]


def test_losses_and_dice() -> None:
    target = a_target()
    sure, wrong = torch.where(target, 9.0, -9.0), torch.where(target, -9.0, 9.0)
    assert stage_loss(sure, target).item() < 0.01
    p = torch.full(target.shape, 0.5)
    expected = 1 - 2 * (0.5 * target).sum() / ((p**2).sum() + target.sum()) + np.log(2)
    assert stage_loss(torch.zeros_like(sure), target).item() == pytest.approx(float(expected), abs=1e-4)
    assert (dice(sure, target), dice(wrong, target)) == (1.0, 0.0)
    assert dice(torch.full_like(sure, -1), torch.zeros_like(target)) == 1.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    torch.set_num_threads(1)
    return train_from_config(write_msam_config(tmp_path_factory.mktemp("msam")))


def test_method_msam_makes_a_model_folder(model: ModelFolder) -> None:
    assert verify(model) == []
    assert model.spec == "small-msam/0.1.0"
    manifest = model.manifest
    assert manifest.guidance == {"name": "msam", "network": TINY.to_dict(), "refining_stages": 2}
    assert manifest.base_model["name"] == "none"
    assert manifest.preprocessing == {"values": "hu", "largest": 1000.0}
    assert len(manifest.metrics["training_dice_by_stage"]["anna"]) == 3
    assert load_model_weights(model).keys() == MSam(TINY).state_dict().keys()


def test_stopped_it_goes_on_to_the_same_network(model: ModelFolder, tmp_path: Path) -> None:
    path = write_msam_config(tmp_path)
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        train_from_config(path, seen.append, lambda: bool(seen) and seen[-1].done >= 2)
    assert seen[-1].total == 4
    assert [file.suffix for file in (tmp_path / "work" / "checkpoints").iterdir()] == [".pt"]
    steps: list[int] = []
    again = train_msam(MSamConfig.read(path), on_step=lambda step, loss, network: steps.append(step))
    assert steps == [4], "what was done is not done again"
    one, other = load_model_weights(model), load_model_weights(again)
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_it_learns_and_a_version_is_not_overwritten(tmp_path: Path) -> None:
    path = write_msam_config(tmp_path, steps=16, learning_rate=3e-3, decoder_rate=3e-3, flips=False)
    losses: list[float] = []
    made = train_msam(MSamConfig.read(path), on_step=lambda step, loss, network: losses.append(loss))
    assert np.mean(losses[-3:]) < 0.8 * losses[0]
    with pytest.raises(InputError, match="is there already"):
        train_from_config(path)
    assert verify(made) == []


def test_lora_on_base_weights_is_saved_apart(tmp_path: Path) -> None:
    base = Sam3d(TINY).state_dict()
    path = write_msam_config(tmp_path, encoder="lora", base_weights="base.pth", steps=2)
    torch.save({"model_state_dict": base}, tmp_path / "base.pth")
    network = build(MSamConfig.read(path))
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(name.startswith("sam.image_encoder.") and "lora" not in name for name in frozen)
    assert torch.equal(network.sam.mask_decoder.iou_token.weight, base["mask_decoder.iou_token.weight"])
    made = train_from_config(path)
    assert sorted(made.manifest.files) == ["lora.safetensors", "weights.safetensors"]
    assert made.manifest.base_model["name"] == "sam_med3d"
    assert not any(name.startswith("sam.image_encoder") for name in load_model_weights(made))
    adapter = load_model_weights(made, "lora.safetensors")
    assert len(adapter) == 8
    assert all(tensor.any() for name, tensor in adapter.items() if name.endswith("lora_B")), "B begins as 0"


def test_rates_are_those_of_the_paper(tmp_path: Path) -> None:
    config = MSamConfig.read(write_msam_config(tmp_path))
    network = build(config)
    fast, slow = training._groups(network, config)
    assert (fast["lr"], slow["lr"]) == (8e-4, 8e-5)
    both: list[nn.Module] = [network.sam.prompt_encoder, network.sam.mask_decoder]
    assert {id(p) for p in slow["params"]} == {id(p) for module in both for p in module.parameters()}
    assert len(fast["params"]) + len(slow["params"]) == len(list(network.parameters()))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"encoder": "lora"}, "name base_weights, or say encoder: whole"),
        ({"encoder": "half"}, "encoder 'half'; choose one of lora, whole"),
        ({"network": "huge"}, "network 'huge'"),
        ({"values": "mri"}, "values 'mri'"),
        ({"steps": 0}, "needs steps"),
        ({"steps": "many"}, "steps must be a whole number"),
        ({"speed": 3}, "does not know the key 'speed'"),
        ({"sizes": {"crop": 15}}, "multiple of its patch"),
        ({"sizes": 3}, "sizes must be keys and values"),
        ({"device": "tpu"}, "no device 'tpu'"),
        ({"base_weights": "none.pth"}, "base_weights are not there"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    path = write_msam_config(tmp_path, **changes)
    with pytest.raises(InputError, match=sentence) as caught:
        train_from_config(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"views": 3}, "missing or unknown keys: views"),
        ({"cases": []}, "has no cases"),
        ({"seed": "x"}, "seed must be"),
    ],
)
def test_configurations_that_cannot_be(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    path = write_msam_config(tmp_path)
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    with pytest.raises(InputError, match=sentence):
        MSamConfig.read(path)


def test_the_command_says_what_is_wrong_and_ends_with_2(tmp_path: Path) -> None:
    path = write_msam_config(tmp_path, encoder="lora")
    result = CliRunner().invoke(app, ["train", str(path)])
    assert isinstance(result.exception, InputError) or result.exit_code == 2


def test_the_published_demo_configuration_is_one(tmp_path: Path) -> None:
    demo = Path(__file__).parents[4] / "benchmarks" / "msam" / "demo.yaml"
    entry = yaml.safe_load(demo.read_text())
    data = tmp_path / "data"
    data.mkdir()
    for case in entry["cases"]:
        for key in ("ct", "mask"):
            (data / case[key]).touch()
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump({**entry, "data_root": "data"}))
    config = MSamConfig.read(tmp_path / "demo.yaml")
    assert (config.spec.crop, config.training.encoder, config.training.values) == (32, "whole", "normalised")


@pytest.mark.real_data
def test_the_demo_case_is_read() -> None:
    from real_data import real_data

    real_data("msam_demo_image.nii.gz")
    config = MSamConfig.read(Path(__file__).parents[4] / "benchmarks" / "msam" / "demo.yaml")
    case = load_ras_case(config.cases[0], config.training.values)
    assert case.image.shape == (128, 128, 128)
    assert case.mask.sum() == 2719
    assert len(case.centres) == 1
