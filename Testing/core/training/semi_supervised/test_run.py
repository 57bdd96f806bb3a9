"""`sammix train` with `method: sammix`: from labelled, weakly labelled and unlabelled slices to a model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from image_files import write_with_itk
from safetensors.torch import load_file
from stopping import Stop
from training_cases import SPACING, QuickLiteMedSam, StubEncoder, write_config

from sammix_core import files
from sammix_core.errors import Cancelled, InputError
from sammix_core.model_store import ModelFolder, verify
from sammix_core.progress import Progress
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.training.run import train_from_config
from sammix_core.training.semi_supervised import run
from sammix_core.training.semi_supervised.config import SemiSupervisedConfig
from sammix_core.volume_io import read_volume

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
QUICK = {"steps": 4, "warm_up": 2, "batch": 3, "unlabelled_batch": 2, "decoded": 1, "views": 2, "check_every": 2}


@pytest.fixture(scope="module")
def quick() -> QuickLiteMedSam:
    return QuickLiteMedSam(CPU)


@pytest.fixture(autouse=True)
def _quick_backend(quick: QuickLiteMedSam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LiteMedSam", lambda *_, **__: quick)


def config(folder: Path, sammix: dict[str, Any] | None = None, **changes: Any) -> Path:
    """One patient with two masks and image-level labels, one with neither."""
    cases = [
        {"name": "anna", "ct": "anna_ct.nii.gz", "labels": "anna.json", "labelled": 3},
        {"name": "bert", "ct": "bert_ct.nii.gz", "present": [[2, 3]]},
    ]
    own = {"method": "sammix", "cases": cases, "sammix": {**QUICK, **(sammix or {})}}
    return write_config(folder, **{"views": None, "head": None, "decoder": None, **own, **changes})


@pytest.fixture(scope="module")
def trained(quick: QuickLiteMedSam, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model trained without a break."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "LiteMedSam", lambda *_, **__: quick)
        return train_from_config(config(tmp_path_factory.mktemp("whole")))


def same(one: ModelFolder, other: ModelFolder) -> bool:
    files = one.manifest.files
    return files.keys() == other.manifest.files.keys() and all(
        torch.equal(tensor, load_file(other.path / file)[name])
        for file in files
        for name, tensor in load_file(one.path / file).items()
    )


def test_the_model_says_how_it_was_made(trained: ModelFolder) -> None:
    assert verify(trained) == []
    manifest = trained.manifest
    assert (manifest.spec, manifest.training_cases) == ("small/0.1.0", ["anna", "bert"])
    metrics = manifest.metrics
    assert (metrics["method"], metrics["held_back_by"]) == ("sammix", "slice")
    # Of three masks one is held back; the one slice without liver is held back, so that it is none to train on.
    assert metrics["slices"]["with_mask"] == 2
    assert 0 <= metrics["held_back_dice"] <= 1
    assert 2 <= metrics["best_step"] <= 4


def test_it_segments(trained: ModelFolder) -> None:
    segmenter = Segmenter.load(trained.path, device="cpu", engine="torch")
    segmenter.model.backend.encode = QuickLiteMedSam(CPU).encode  # type: ignore[method-assign]
    volume = read_volume(trained.path.parents[2] / "data" / "bert_ct.nii.gz")
    result = segmenter.segment_volume(volume)
    assert result.mask.shape == volume.array.shape
    assert (result.model, result.guidance) == ("small/0.1.0", "embedding_cam")


def test_stopped_twice_it_goes_on_to_the_same(trained: ModelFolder, tmp_path: Path) -> None:
    """In the warm-up, and between two looks."""
    path = config(tmp_path)
    for done in (1, 3):
        stop = Stop("SAM-Mix", done)
        with pytest.raises(Cancelled):
            train_from_config(path, stop.report, stop.is_wanted)
        assert not (tmp_path / "out").exists()
    assert same(trained, train_from_config(path))


def test_killed_it_goes_on_from_the_last_look_to_the_same(trained: ModelFolder, tmp_path: Path) -> None:
    """Nothing is saved at the moment of a kill, so that steps since the checkpoint are taken once more."""

    class Killed(BaseException):
        pass

    def progress(now: Progress) -> None:
        if now.stage == "SAM-Mix" and now.done == 3:
            raise Killed

    path = config(tmp_path)
    with pytest.raises(Killed):
        train_from_config(path, progress)
    [checkpoint] = (tmp_path / "work" / "checkpoints").iterdir()
    assert torch.load(checkpoint, weights_only=True)["step"] == 2
    assert same(trained, train_from_config(path))


def test_a_full_disk_is_one_sentence_and_with_room_it_goes_on_to_the_same(
    trained: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = config(tmp_path), torch.save
    saved: list[Path] = []

    def full(state: Any, file: Path) -> None:
        if saved:
            raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 768 vs 662")
        saved.append(file)
        real(state, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        patch.setattr(files.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
        with pytest.raises(InputError, match=r"\.pt could not be written: no space left on device"):
            train_from_config(path)
    assert not (tmp_path / "out").exists()
    assert same(trained, train_from_config(path))


def test_another_seed_gives_another(trained: ModelFolder, tmp_path: Path) -> None:
    assert not same(trained, train_from_config(config(tmp_path, seed=6)))


@pytest.mark.parametrize("decoder", [True, False])
def test_the_papers_guidance_with_its_own_file(tmp_path: Path, decoder: bool, quick: QuickLiteMedSam) -> None:
    settings = {"guidance": "resnet38", "width": 0.0625, "train_decoder": decoder, "mask_prompt": False}
    model = train_from_config(config(tmp_path, settings))
    assert sorted(model.manifest.files) == ["resnet38.safetensors", "weights.safetensors"]
    assert model.manifest.postprocessing["mask_prompt"] is False
    base = quick.network.state_dict()
    state = load_file(model.path / "weights.safetensors")
    assert decoder != all(torch.equal(tensor, base[name].half()) for name, tensor in state.items())
    segmenter = Segmenter.load(model.path, device="cpu", engine="torch")
    assert segmenter.model.guidance.name == "resnet38"


def test_lora_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = QuickLiteMedSam(CPU)
    own.network.image_encoder = StubEncoder()
    monkeypatch.setattr(run, "LiteMedSam", lambda *_, **__: own)
    settings = {"lora_rank": 2, "steps": 3, "warm_up": 1, "check_every": 1}
    model = train_from_config(config(tmp_path, settings))
    adapter = load_file(model.path / "lora.safetensors")
    assert {name.rsplit(".", 1)[1]: tensor.shape[0 if "A" in name else 1] for name, tensor in adapter.items()} == {
        "lora_A": 2,
        "lora_B": 2,
    }


def test_bfloat16_trains_both_parts(tmp_path: Path, trained: ModelFolder, quick: QuickLiteMedSam) -> None:
    """What CUDA takes by itself, on a CPU: boxes are still drawn, and the decoder learns."""
    model = train_from_config(config(tmp_path, precision="bf16-mixed"))
    state, base = load_file(model.path / "weights.safetensors"), quick.network.state_dict()
    decoder = {name for name in state if name in base}
    assert decoder
    assert not all(torch.equal(state[name], base[name].half()) for name in decoder)
    assert all(torch.isfinite(tensor).all() for tensor in state.values())
    assert not same(trained, model)


def test_everything_that_is_off_by_default_trains_together_and_resumes_to_the_same(tmp_path: Path) -> None:
    everything = {
        **{"mean_teacher": True, "agreement": True, "fold_heads": 2, "interpolate": True},
        **{"multiple_instance_weight": 0.2, "along_z_weight": 0.2, "steps": 3, "warm_up": 1, "check_every": 1},
    }
    path, stop = config(tmp_path / "stopped", everything), Stop("SAM-Mix", 2)
    with pytest.raises(Cancelled):
        train_from_config(path, stop.report, stop.is_wanted)
    model = train_from_config(path)
    assert same(model, train_from_config(config(tmp_path / "whole", everything)))
    assert model.manifest.metrics["shares"].keys() == {"head", "decoder"}


def test_without_unlabelled_slices(tmp_path: Path, trained: ModelFolder) -> None:
    assert not same(trained, train_from_config(config(tmp_path, {"unlabelled_batch": 0})))


def test_patients_are_held_back_whole_where_there_are_several(tmp_path: Path) -> None:
    cases = [
        {"name": "anna", "ct": "anna_ct.nii.gz", "labels": "anna.json"},
        {"name": "bert", "ct": "bert_ct.nii.gz", "mask": "bert_mask.nii.gz", "values": [3]},
    ]
    model = train_from_config(config(tmp_path, cases=cases))
    assert model.manifest.metrics["held_back_by"] == "patient"
    # Of five slices of the other patient four have a mask.
    assert model.manifest.metrics["slices"] == {"with_mask": 4, "without_structure": 1, "without_mask": 0}


# Wrong configurations

ANNA = {"name": "anna", "ct": "anna_ct.nii.gz", "labels": "anna.json"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no cases": ({"cases": None}, "missing or unknown keys: cases"),
    "an unknown key": ({"epochs": 3}, "missing or unknown keys: epochs"),
    "views belong into the section": ({"views": 3}, "missing or unknown keys: views"),
    "a section that is none": ({"sammix": [1]}, "sammix must be keys and values"),
    "an unknown setting": ({"sammix": {"momentum": 0.9}}, "does not know the key 'momentum'"),
    "a guidance": ({"sammix": {"guidance": "vit"}}, "guidance 'vit'; choose one of embedding_cam, resnet38"),
    "nothing but warm-up": ({"sammix": {"steps": 5, "warm_up": 5}}, "warm_up as long as all its steps"),
    "no patience": ({"sammix": {"patience": 0}}, "needs patience of 1 or more"),
    "a batch of one": ({"sammix": {"batch": 1}}, "batch of 2 or more"),
    "a share above 1": ({"sammix": {"guided_share": 1.5}}, "guided_share above 1"),
    "nothing held back": ({"sammix": {"held_back": 0.0}}, "share between 0 and 1"),
    "a coin's confidence": ({"sammix": {"confidence": 0.4}}, "confidence from 0.5"),
    "a single fold": ({"sammix": {"fold_heads": 1}}, "fold_heads of 2 or more"),
    "agreement of another map": ({"sammix": {"guidance": "resnet38", "agreement": True}}, "agreement, which needs"),
    "neighbours through LoRA": ({"sammix": {"along_z_weight": 0.1, "lora_rank": 8}}, "does not go with lora_rank"),
    "back to no warm-up": ({"sammix": {"interpolate": True, "warm_up": 0}}, "goes back to a warm_up's end"),
    "an encoder": ({"encoder": "int4"}, "no encoder 'int4'; choose one of float32, int8"),
    "a rank of a half": ({"sammix": {"lora_rank": 0.5}}, "lora_rank must be a whole number"),
    "an accelerator": ({"accelerator": "tpu"}, "no accelerator 'tpu'; choose one of auto, cpu, cuda"),
    "no devices": ({"devices": 0}, "devices must be a whole number from 1"),
    "a precision": ({"precision": "int4"}, "no precision 'int4'"),
    "a case with both": ({"cases": [{**ANNA, "mask": "bert_mask.nii.gz"}]}, "double are labels and mask"),
    "a case that is none": ({"cases": [3]}, "A training case needs keys"),
    "a path for a name": ({"cases": [{**ANNA, "name": "../anna"}]}, "letters, digits"),
    "labelled without labels": ({"cases": [{"name": "b", "ct": "bert_ct.nii.gz", "labelled": 3}]}, "neither labels"),
    "labelled nothing": ({"cases": [{**ANNA, "labelled": []}]}, "labelled must be a count or a list"),
    "image_level of text": ({"cases": [{**ANNA, "image_level": "yes"}]}, "image_level must be true or false"),
    "present as numbers": ({"cases": [{**ANNA, "present": [3]}]}, r"present must be ranges such as \[\[0, 12\]\]"),
    "values": ({"cases": [{**ANNA, "values": ["one"]}]}, "values must be a list of whole numbers"),
    "twice": ({"cases": [ANNA, ANNA]}, "the same name"),
    "a CT that is not there": ({"cases": [{**ANNA, "ct": "carl.nii.gz"}]}, "carl.nii.gz, which is not there"),
}


@pytest.mark.parametrize(("changes", "match"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_configuration_is_refused_in_one_sentence(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    path = config(tmp_path)
    entry = {**yaml.safe_load(path.read_text()), **changes}
    path.write_text(yaml.safe_dump({key: value for key, value in entry.items() if value is not None}))
    with pytest.raises(InputError, match=match) as caught:
        SemiSupervisedConfig.read(path)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


CANNOT: dict[str, tuple[dict[str, Any], str]] = {
    "one mask": ({"labelled": 1}, "that early stopping can look at: label one more"),
    "a slice that is not there": ({"labelled": [1, 7]}, "has 5 slices, so labelled cannot name 7"),
    "a slice without a mask": ({"labelled": [0, 1]}, "labelled slices without a mask"),
    "both with and without": ({"present": [[0, 0]]}, "says of slice 0 that it is with and without"),
    "none without": ({"image_level": False}, "No slice is known to be without the structure"),
}


@pytest.mark.parametrize(("changes", "match"), CANNOT.values(), ids=CANNOT.keys())
def test_slices_that_cannot_be_trained_on(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        train_from_config(config(tmp_path, cases=[{**ANNA, **changes}]))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("shape", "spacing"), [((5, 50, 59), SPACING), ((5, 50, 60), (6.0, 6.0, 5.0))], ids=["size", "spacing"]
)
def test_labels_on_another_grid_are_refused(
    tmp_path: Path, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    path = config(tmp_path, cases=[{"name": "bert", "ct": "bert_ct.nii.gz", "mask": "bert_mask.nii.gz", "values": [3]}])
    write_with_itk(tmp_path / "data" / "bert_mask.nii.gz", np.full(shape, 3, np.uint8), spacing)
    with pytest.raises(InputError, match="different grids"):
        train_from_config(path)


def test_empty_masks_are_refused(tmp_path: Path) -> None:
    bert = {"name": "bert", "ct": "bert_ct.nii.gz", "mask": "bert_mask.nii.gz", "values": [9]}
    with pytest.raises(InputError, match="No training case has a slice with a mask"):
        train_from_config(config(tmp_path, cases=[bert]))


def test_cuda_is_refused_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA device"):
        train_from_config(config(tmp_path, accelerator="cuda"))


def test_a_version_that_is_there_is_refused_before_any_work(trained: ModelFolder) -> None:
    with pytest.raises(InputError, match=r"small/0\.1\.0 is there already"):
        train_from_config(trained.path.parents[2] / "config.yaml")


def test_masks_of_unused_slices_are_not_seen(tmp_path: Path) -> None:
    """Only image-level labels of them are: other shapes there change nothing."""
    first = config(tmp_path / "one", {"steps": 3})
    one = train_from_config(first)
    second = config(tmp_path / "two", {"steps": 3})
    labels = tmp_path / "two" / "anna.json"
    from sammix_core.datasets.labels import CaseLabels

    before = CaseLabels.read(labels)
    used = yaml.safe_load(first.read_text())["cases"][0]["labelled"]
    from sammix_core.datasets.sampling import spread

    kept = spread(sorted(before.masks), used)
    other = {k: mask if k in kept else np.roll(mask, 5, axis=1) for k, mask in before.masks.items()}
    assert sorted(other) != kept
    CaseLabels(before.case, before.target, before.made_by, before.shape, other, before.without).write(labels)
    assert same(one, train_from_config(second))
