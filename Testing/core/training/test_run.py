"""Training from a configuration to a model folder: repeatable, resumable, and refused in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from stopping import Stop
from training_cases import QuickLiteMedSam, write_config

from sammix_core.datasets.cases import load_case
from sammix_core.embeddings.view_store import ViewStore
from sammix_core.errors import Cancelled, InputError
from sammix_core.model_store import ModelFolder, verify
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.progress import Progress
from sammix_core.sam.decoding import MaskSettings
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.training import decoder_training, head_training, supervised
from sammix_core.training.case_views import open_view, view_names
from sammix_core.training.config import TrainingConfig
from sammix_core.training.run import train_from_config
from sammix_core.training.settings import DecoderTraining, HeadTraining
from sammix_core.training.supervised import SupervisedTrainer
from sammix_core.training.views import View
from sammix_core.volume_io import read_volume

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_backend")]

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(quick: QuickLiteMedSam, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model trained without a break; its folder lies at work/../out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervised, "LiteMedSam", lambda *_: quick)
        return train_from_config(write_config(tmp_path_factory.mktemp("whole")))


def config_of(model: ModelFolder) -> Path:
    return model.path.parents[2] / "config.yaml"


def tensors(model: ModelFolder) -> dict[str, torch.Tensor]:
    return load_file(model.path / "weights.safetensors")


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert different == []


# What comes out


def test_the_model_that_is_written(trained: ModelFolder) -> None:
    assert verify(trained) == []
    manifest = trained.manifest
    assert (manifest.spec, manifest.target) == ("small/0.1.0", "liver")
    assert manifest.training_cases == ["anna", "bert"]
    assert manifest.preprocessing == PreprocessingSpec().to_dict()
    assert manifest.postprocessing == MaskSettings().to_dict()
    assert manifest.guidance["name"] == "embedding_cam"
    assert len(manifest.guidance["boxes"]["padding"]) == 4


def test_training_changed_head_and_decoder_and_nothing_else(trained: ModelFolder, quick: QuickLiteMedSam) -> None:
    state = tensors(trained)
    base = quick.network.state_dict()
    assert {name.split(".")[0] for name in state} == {"guidance", "prompt_encoder", "mask_decoder"}
    moved = [
        name
        for name in state
        if name in base and not torch.allclose(state[name].float(), base[name], atol=2e-3, rtol=2e-3)
    ]
    # Three gentle steps: hardly a weight moves by more than half precision rounds away, but some do.
    exact = [name for name in state if name in base and not torch.equal(state[name], base[name].half())]
    assert len(exact) > 50
    assert len(moved) < 20
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


def test_the_base_network_stays_as_it_was(trained: ModelFolder, quick: QuickLiteMedSam) -> None:
    fresh = QuickLiteMedSam(CPU).network.state_dict()
    assert_same(quick.network.state_dict(), fresh)
    assert not any(parameter.requires_grad for parameter in quick.network.parameters())


def test_the_model_loads_and_segments(trained: ModelFolder) -> None:
    segmenter = Segmenter.load(trained.path, device="cpu", engine="torch")
    assert segmenter.model.spec == "small/0.1.0"
    segmenter.model.backend.encode = QuickLiteMedSam(CPU).encode  # type: ignore[method-assign]
    volume = read_volume(config_of(trained).parent / "data" / "anna_ct.nii.gz")
    result = segmenter.segment_volume(volume)
    assert result.mask.shape == volume.array.shape
    assert (result.model, len(result.slices)) == ("small/0.1.0", 5)


def test_a_model_with_another_image_size_is_refused(trained: ModelFolder, tmp_path: Path) -> None:
    import json
    import shutil

    folder = tmp_path / "small" / "0.1.0"
    shutil.copytree(trained.path, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["preprocessing"]["size"] = 512
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="wants images of 512 pixels"):
        Segmenter.load(folder, device="cpu", engine="torch")


def test_another_seed_gives_another_model(trained: ModelFolder, tmp_path: Path) -> None:
    other = train_from_config(write_config(tmp_path, seed=6, decoder={"steps": 0}))
    names = [name for name in tensors(trained) if name.startswith("guidance.")]
    assert any(not torch.equal(tensors(trained)[name], tensors(other)[name]) for name in names)


def test_no_decoder_steps_leave_litemedsams_own(tmp_path: Path, quick: QuickLiteMedSam) -> None:
    state = tensors(train_from_config(write_config(tmp_path, decoder={"steps": 0})))
    base = {name: tensor.half() for name, tensor in quick.network.state_dict().items() if name in state}
    assert len(base) > 100
    assert_same({name: state[name] for name in base}, base)


# Stopped and taken up again


# Odd counts: the state is saved every second step, so what a step more is saved by is the stop.
STOPS = [
    ("views", 3),
    ("head with all patients", 3),
    ("head without bert", 3),
    ("decoder with all patients", 1),
]


def test_stopped_again_and_again_it_loses_no_step_and_ends_at_the_same_model(
    trained: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (head_training, decoder_training):
        monkeypatch.setattr(module, "_CHECKPOINT_EVERY", 2)
    path = write_config(tmp_path)
    runs: list[list[Progress]] = []
    for stage, done in STOPS:
        stop = Stop(stage, done)
        with pytest.raises(Cancelled):
            train_from_config(path, stop.report, stop.is_wanted)
        assert not (tmp_path / "out").exists()
        runs.append(stop.seen)
    last: list[Progress] = []
    again = train_from_config(path, last.append)
    for (stage, done), after in zip(STOPS[1:], [*runs[2:], last], strict=True):
        assert [now.done for now in after if now.stage == stage][:2] == [0, done + 1], stage
    assert_same(tensors(again), tensors(trained))
    assert again.manifest.guidance == trained.manifest.guidance


def test_views_are_made_once(trained: ModelFolder, quick: QuickLiteMedSam, tmp_path: Path) -> None:
    before = quick.encoded
    path = write_config(tmp_path, head={"steps": 1, "batch": 1}, decoder={"steps": 0})
    SupervisedTrainer(TrainingConfig.read(path))
    first = quick.encoded - before
    # 5 slices clean and 4 or 5 augmented, of two patients
    assert 18 <= first <= 20
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "work" / "views").rglob("*.npy")}
    assert len(files) == 12
    SupervisedTrainer(TrainingConfig.read(path))
    assert quick.encoded - before == first
    assert {file: file.stat().st_mtime_ns for file in files} == files


def test_views_of_changed_labels_are_made_again(quick: QuickLiteMedSam, tmp_path: Path) -> None:
    path = write_config(tmp_path, views=0)
    SupervisedTrainer(TrainingConfig.read(path))
    before = quick.encoded
    labels = tmp_path / "anna.json"
    labels.write_text(labels.read_text().replace("Made up.", "Made up again."))
    SupervisedTrainer(TrainingConfig.read(path))
    assert quick.encoded - before == 5


def test_a_view_holds_what_inference_would_see(tmp_path: Path, quick: QuickLiteMedSam) -> None:
    """The clean view is the body crop of each slice, and its embedding what a session computes."""
    config = TrainingConfig.read(write_config(tmp_path, views=1))
    trainer = SupervisedTrainer(config)
    case = load_case(config.cases[0])
    clean = next(view for view in trainer.views if (view.case, view.name) == ("anna", "clean"))
    assert clean.slices.tolist() == [0, 1, 2, 3, 4]
    assert clean.embeddings.shape == (5, 256, 64, 64)
    assert clean.embeddings.dtype == np.float16
    volume = read_volume(tmp_path / "data" / "anna_ct.nii.gz")
    from fake_network import a_fake_model

    session = Segmenter(a_fake_model(backend=quick)).open_session(volume)
    for index in range(5):
        np.testing.assert_array_equal(clean.embeddings[index], session._cache.embedding(index)[0].numpy())
        assert bool(clean.shares[index].any()) == (index in case.masks)


def test_view_names() -> None:
    assert view_names(0) == ["clean"]
    assert view_names(2) == ["clean", "view-00", "view-01"]


def test_a_half_written_view_is_made_again(tmp_path: Path) -> None:
    config = TrainingConfig.read(write_config(tmp_path, views=0))
    trainer = SupervisedTrainer(config)
    (file,) = (tmp_path / "work" / "views").glob("anna-*/clean.embeddings.npy")
    whole = file.read_bytes()
    file.unlink()
    SupervisedTrainer(config)
    assert file.read_bytes() == whole
    assert (
        open_view(config.cases[0], "clean", ViewStore(file.parent)).slices.tolist() == trainer.views[0].slices.tolist()
    )


# Leaving a patient out


def test_a_fold_without_a_patient_needs_two_others(tmp_path: Path) -> None:
    trainer = SupervisedTrainer(TrainingConfig.read(write_config(tmp_path, views=0)))
    with pytest.raises(InputError, match="two patients with the structure"):
        trainer.train(without="bert")


def test_the_head_without_a_patient_never_sees_that_patient(tmp_path: Path) -> None:
    """Spoiling one patient's embeddings changes the head with all, and not the head without that patient."""
    config = TrainingConfig.read(write_config(tmp_path, views=0))
    before = SupervisedTrainer(config)
    heads = {without: before.head(without).state_dict() for without in (None, "bert")}
    for file in (tmp_path / "work" / "checkpoints").iterdir():
        file.unlink()
    (spoilt,) = (tmp_path / "work" / "views").glob("bert-*/clean.embeddings.npy")
    np.save(spoilt, np.load(spoilt) * 0 + 1)
    after = SupervisedTrainer(config)
    assert_same(after.head("bert").state_dict(), heads["bert"])
    assert any(not torch.equal(tensor, heads[None][name]) for name, tensor in after.head(None).state_dict().items())


# A patient with two volumes


TWO_OF_ANNA = [
    {"name": "anna", "ct": "anna_ct.nii.gz", "labels": "anna.json"},
    {"name": "anna-late", "patient": "anna", "ct": "anna_ct.nii.gz", "labels": "anna.json"},
    {"name": "bert", "ct": "bert_ct.nii.gz", "mask": "bert_mask.nii.gz", "values": [3]},
    {"name": "carl", "ct": "bert_ct.nii.gz", "mask": "bert_mask.nii.gz", "values": [3]},
]


def test_a_fold_leaves_out_all_volumes_of_a_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []
    train_decoder = decoder_training.train_decoder

    def noted(backend: Any, views: Any, *rest: Any) -> Any:
        seen.append({view.case for view in views})
        return train_decoder(backend, views, *rest)

    monkeypatch.setattr(supervised, "train_decoder", noted)
    config = TrainingConfig.read(write_config(tmp_path, views=0, cases=TWO_OF_ANNA, decoder={"steps": 0}))
    trainer = SupervisedTrainer(config)
    trainer.train()
    trainer.train(without="anna")
    assert seen == [{"anna", "anna-late", "bert", "carl"}, {"bert", "carl"}]
    heads = {file.name.split("-")[1] for file in (tmp_path / "work" / "checkpoints").glob("head-*")}
    assert heads == {"all", "anna", "bert", "carl"}, "one head a patient, not one a volume"


def test_patients_of_a_fold_are_left_out_together(tmp_path: Path) -> None:
    config = TrainingConfig.read(write_config(tmp_path, views=0, folds=2, cases=TWO_OF_ANNA, decoder={"steps": 0}))
    assert config.left_out_with("carl") == ("anna", "carl")
    assert config.left_out_with(None) == ()
    SupervisedTrainer(config).train()
    heads = {file.name.split("-")[1] for file in (tmp_path / "work" / "checkpoints").glob("head-*")}
    assert heads == {"all", "anna+carl", "bert"}


def test_two_volumes_of_one_patient_are_one_patient(tmp_path: Path) -> None:
    trainer = SupervisedTrainer(TrainingConfig.read(write_config(tmp_path, views=0, cases=TWO_OF_ANNA[:2])))
    with pytest.raises(InputError, match="two patients with the structure"):
        trainer.train()


@pytest.mark.parametrize(
    ("patient", "names"),
    [
        (None, ["head-all-3c5aed00c717.pt", "head-bert-fd4e0f56ef40.pt"]),
        ("bert", ["head-all-3c5aed00c717.pt", "head-bert-fd4e0f56ef40.pt"]),
        ("anna", None),
    ],
)
def test_checkpoints_of_patients_with_one_volume_have_the_names_of_earlier_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patient: str | None, names: list[str] | None
) -> None:
    """Checkpoints of liver/1.1.0 stay valid; a patient with a second volume gets new ones."""
    views = [
        View(name, "clean", Stored(f"/v/{name}-0123/clean.embeddings.npy"), *[np.zeros(1)] * 2, patient=whose or "")  # type: ignore[arg-type]
        for name, whose in (("anna", "anna"), ("bert", patient))
    ]
    monkeypatch.setattr(supervised, "prepare_views", lambda *_: views)
    trainer = SupervisedTrainer(TrainingConfig.read(write_config(tmp_path)))
    found = [trainer._context("head", "head", without, [1]).checkpoint.name for without in (None, "bert")]
    assert (found == names) if names else ("3c5aed00c717" not in found[0])


@dataclass
class Stored:
    """As much of a memory-mapped array as names its file."""

    filename: str


# Refused


def test_a_version_that_is_there_is_refused_at_once(trained: ModelFolder) -> None:
    def told(_: Progress) -> None:
        pytest.fail("it began to train")

    with pytest.raises(InputError, match=r"small/0\.1\.0 is there already"):
        train_from_config(config_of(trained), told)


@pytest.mark.parametrize("changes", [{"version": "1.0"}, {"version": 1}, {"name": "My Liver"}, {"target": ""}])
def test_what_no_manifest_can_say_is_refused_at_once(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        train_from_config(write_config(tmp_path, **changes))
    assert not (tmp_path / "work").exists()


ANNA = {"name": "anna", "ct": "anna_ct.nii.gz", "labels": "anna.json"}
BERT = {"name": "bert", "ct": "bert_ct.nii.gz", "mask": "bert_mask.nii.gz"}

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"epochs": 3}, "unknown keys: epochs"),
    "a missing key": ({"seed": None}, "missing or unknown keys: seed"),
    "an unknown key of a section": ({"head": {"rate": 3}}, "does not know the key 'rate'"),
    "an unknown key of the preprocessing": ({"preprocessing": {"gamma": 3}}, "does not know the key 'gamma'"),
    "text for a number": ({"seed": "five"}, "seed must be a whole number from 0, not 'five'"),
    "a share for a whole number": ({"head": {"steps": 2.5}}, "steps must be a whole number"),
    "a negative number": ({"decoder": {"learning_rate": -1}}, "learning_rate must be a number from 0"),
    "not a number": ({"decoder": {"learning_rate": float("nan")}}, "learning_rate must be a number"),
    "an empty batch": ({"head": {"batch": 0}}, "batch must be a whole number from 1"),
    "no steps": ({"head": {"steps": 0}}, "head needs steps"),
    "true for a number": ({"views": True}, "views must be a whole number"),
    "one fold": ({"folds": 1}, "folds would leave out all patients"),
    "a number for a folder": ({"work": 3}, "work must be a text"),
    "a section that is none": ({"decoder": [3]}, "decoder must be keys and values"),
    "cases that are none": ({"cases": "anna"}, "cases must be a list"),
    "a precision": ({"precision": "int4"}, "no precision 'int4'"),
    "a case that is none": ({"cases": ["anna"]}, "A training case needs keys"),
    "a case without labels": ({"cases": [{"name": "a", "ct": "anna_ct.nii.gz"}]}, "either labels or mask"),
    "a case with both": ({"cases": [{**ANNA, "mask": "x"}]}, "either labels or mask"),
    "a case with an unknown key": ({"cases": [{**ANNA, "sex": "F"}]}, "either labels or mask"),
    "a case whose name is a path": ({"cases": [{**ANNA, "name": "../anna"}]}, "letters, digits"),
    "a case whose name is a number": ({"cases": [{**ANNA, "name": 4}]}, "letters, digits"),
    "a case whose patient is a path": ({"cases": [{**ANNA, "patient": "../anna"}]}, "its patient must be letters"),
    "values that are none": ({"cases": [{**BERT, "values": 3}]}, "values must be a list"),
    "a case that chooses slices": ({"cases": [{**ANNA, "labelled": 2}]}, "only the method sammix"),
    "a method that there is not": ({"method": "guesswork"}, "no training method 'guesswork'"),
    "a case twice": ({"cases": [ANNA, ANNA]}, "the same name"),
    "a CT that is not there": (
        {"cases": [{**ANNA, "ct": "carl.nii.gz"}]},
        "anna needs .*carl.nii.gz, which is not there",
    ),
}


@pytest.mark.parametrize(("changes", "match"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_configuration_is_refused_in_one_sentence(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    path = write_config(tmp_path, **changes)
    with pytest.raises(InputError, match=match) as caught:
        train_from_config(path)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "\x00", "just words", "1: 2"])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=r"c\.yaml"):
        TrainingConfig.read(tmp_path / "c.yaml")


def test_a_missing_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        TrainingConfig.read(tmp_path / "c.yaml")


def test_labels_on_another_grid_are_refused(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    labels = tmp_path / "anna.json"
    labels.write_text(labels.read_text().replace("anna", "carl"))
    config = yaml.safe_load(path.read_text())
    config["cases"][0] = {"name": "anna", "ct": "anna_ct.nii.gz", "mask": "bert_mask.nii.gz"}
    path.write_text(yaml.safe_dump(config))
    assert load_case(TrainingConfig.read(path).cases[0]).masks
    from image_files import write_with_itk

    write_with_itk(tmp_path / "data" / "bert_mask.nii.gz", np.ones((5, 50, 61), np.uint8))
    with pytest.raises(InputError, match="different grids"):
        load_case(TrainingConfig.read(path).cases[0])


def test_paths_and_defaults(tmp_path: Path) -> None:
    config = TrainingConfig.read(write_config(tmp_path, head=None, decoder=None, preprocessing={"window_level": -50}))
    assert config.work == (tmp_path / "work").resolve()
    assert config.cases[0].ct == tmp_path.resolve() / "data" / "anna_ct.nii.gz"
    assert config.cases[0].labels == tmp_path.resolve() / "anna.json"
    assert (config.head, config.decoder) == (HeadTraining(), DecoderTraining())
    assert config.precision == "32-true"
    assert config.preprocessing == PreprocessingSpec(window_level=-50)
