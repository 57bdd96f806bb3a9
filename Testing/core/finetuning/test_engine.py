"""Fine-tuning from corrected slices to an offered version: resumable, reported, and refused in one sentence."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from corrected_slices import a_correction_set, a_patient, quick_models
from image_files import write_with_itk
from stopping import Stop
from training_cases import StubEncoder

from sammix_core import files, model_store
from sammix_core.errors import Cancelled, InputError
from sammix_core.finetuning import FineTuneRun, FineTuneSettings, lora_part
from sammix_core.finetuning.lora_part import stacked
from sammix_core.finetuning.process import work
from sammix_core.finetuning.result import ONE_SIDED, Figure, judge
from sammix_core.model_store.weights import load_model_weights
from sammix_core.sam.litemedsam import build_backend
from sammix_core.sam.registry import BACKENDS
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.training.settings import LoraTraining

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder with a small model in it, and everything slow made quick."""
    quick_models(tmp_path / "home", monkeypatch)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FineTuneRun:
    """A run that was not interrupted, in a user's folder of its own."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        quick_models(folder, patch)
        run = a_run(folder)
        work(run)
    return run


@pytest.fixture
def its_home(finished: FineTuneRun, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of the finished run."""
    home = finished.folder.parents[1]
    monkeypatch.setenv("SAMMIX_HOME", str(home))
    return home


def a_run(home: Path, **changes: Any) -> FineTuneRun:
    source = home / "set"
    if not source.is_dir():
        a_correction_set(source)
    wanted = {"name": "mine", "sources": (source,), "parent": "untrained", "views": 1, "threads": 1, **changes}
    return FineTuneRun.create(FineTuneSettings(**wanted))


# What comes out


def test_a_version_is_offered_with_both_figures_and_used_by_nobody(finished: FineTuneRun, its_home: Path) -> None:
    result = finished.result()
    assert result is not None
    assert (result.model, result.parent, finished.state) == ("mine/1.0.0", "untrained/1.0.0", "finished")
    model = model_store.resolve("mine/1.0.0")
    assert model_store.verify(model) == []
    assert model.path == result.folder
    assert (model.manifest.parent, model.manifest.target) == ("untrained/1.0.0", "liver")
    assert model.manifest.training_cases == [a_correction_set(its_home / "set").entries()[0].case]
    # What "liver" means is still the shipped one.
    assert model_store.resolve("liver").shipped
    assert not model_store.is_active(model)
    figures = {(one.group, one.boxes): one for one in result.figures}
    assert set(figures) == {("held_back", "auto"), ("held_back", "oracle")}
    assert figures["held_back", "oracle"].slices == result.held_back_slices == 1
    assert all(one.before is not None and 0 <= one.after <= 1 for one in result.figures)
    stored = model.manifest.metrics
    assert isinstance(stored, dict)
    assert stored["finetuning"]["figures"] == [asdict(one) for one in result.figures]
    card = (model.path / "MODEL_CARD.md").read_text()
    assert "held-back slices, oracle boxes" in card
    assert result.sentence in card
    before = (finished.folder / "events.jsonl").read_bytes()
    assert work(FineTuneRun.open(finished.folder)) == result  # nothing is done again
    assert (finished.folder / "events.jsonl").read_bytes() == before


def test_where_a_head_has_learnt_from_one_kind_of_slices_alone_the_verdict_says_so(
    finished: FineTuneRun, home: Path
) -> None:
    result = finished.result()
    assert result is not None
    assert result.head_share > 0
    assert result.sentence.endswith(ONE_SIDED)
    with_an_empty_one = work(a_run(home, sources=(a_correction_set(home / "both", slices=(0, 2, 3, 4, 5)).folder,)))
    assert (with_an_empty_one.train_slices, with_an_empty_one.head_share > 0) == (4, True)
    assert ONE_SIDED not in with_an_empty_one.sentence


def test_training_changes_head_and_decoder_and_the_offered_model_loads(finished: FineTuneRun, its_home: Path) -> None:
    parent = load_model_weights(model_store.resolve("untrained"))
    made = load_model_weights(model_store.resolve("mine"))
    head = [name for name in parent if name.startswith("guidance.")]
    assert any(not torch.equal(parent[name], made[name]) for name in head)
    assert {name.split(".")[0] for name in made} == {"guidance", "prompt_encoder", "mask_decoder"}
    assert all(torch.isfinite(tensor).all() for tensor in made.values())
    assert Segmenter.load("mine", device="cpu", engine="torch").model.spec == "mine/1.0.0"


def test_held_back_slices_change_nothing_that_is_learnt(finished: FineTuneRun, home: Path) -> None:
    """Another mask on the slice held back gives the same weights."""
    other = a_correction_set(home / "other")
    [held_back] = [entry for entry in other.entries() if entry.held_back]
    correction = other.load(held_back.id)
    mask = correction.mask.copy()
    mask[: mask.shape[0] // 2] = False
    other.add(replace(correction, mask=mask), held_back.case)
    made = load_model_weights(model_store.resolve(work(a_run(home, sources=(other.folder,))).model))
    expected = result_of(finished)
    assert [name for name in made if not torch.equal(made[name], expected[name])] == []


def result_of(run: FineTuneRun) -> dict[str, torch.Tensor]:
    result = run.result()
    assert result is not None
    return load_model_weights(model_store.open_model(result.folder))


def test_events_tell_loss_dice_and_the_time_to_go(finished: FineTuneRun) -> None:
    watching = FineTuneRun.open(finished.folder)
    events = watching.read_events()
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-1]) == ("started", "finished")
    steps = [event for event in events if event["event"] == "step"]
    assert [(event["part"], event["step"]) for event in steps] == [
        *(("head", step) for step in (1, 2, 3, 4)),
        *(("decoder", step) for step in (1, 2)),
    ]
    assert all(np.isfinite(event["loss"]) and event["total_seconds_left"] > 0 for event in steps)
    dice = [event for event in events if event["event"] == "dice"]
    assert [event["part"] for event in dice] == ["start", "head", "decoder", "end"]
    assert all(0 <= event["oracle"] <= 1 for event in dice)
    assert watching.read_events() == []


def test_a_later_round_knows_the_earlier_case_and_its_forgetting(home: Path) -> None:
    first = work(a_run(home, views=0))
    both = a_correction_set(home / "set", seeds=(0, 1))
    cases = list(dict.fromkeys(entry.case for entry in both.entries()))
    run = a_run(home, parent=first.model, views=0)
    assert run.settings.name == "mine/1.1.0"
    second = work(run)
    assert {(one.group, one.case) for one in second.figures} == {("earlier", cases[0]), ("held_back", cases[1])}
    assert model_store.resolve(second.model).manifest.training_cases == cases
    assert model_store.resolve(second.model).manifest.parent == "mine/1.0.0"
    assert [model.spec for model in model_store.list_models() if not model.shipped] == [
        "mine/1.1.0",
        "mine/1.0.0",
        "untrained/1.0.0",
    ]


def a_case_folder(folder: Path, seed: int, **changes: Any) -> Path:
    volume, liver = a_patient(seed)
    kept = changes.get("kept", slice(None))
    folder.mkdir(parents=True, exist_ok=True)
    write_with_itk(folder / f"p{seed}_ct.nii.gz", volume.array[kept], volume.spacing)
    labels = changes.get("labels", liver[kept].astype(np.uint8))
    write_with_itk(folder / f"p{seed}_label.nii.gz", labels, changes.get("spacing", volume.spacing))
    return folder


def test_cases_of_a_folder_and_a_check_folder(home: Path) -> None:
    cases = a_case_folder(home / "cases", 0)
    check = a_case_folder(home / "check", 1, kept=slice(3, 5))
    result = work(a_run(home, sources=(cases,), check=check, views=0))
    groups = {(one.group, one.boxes): one for one in result.figures}
    assert groups["check", "oracle"].slices == 2
    assert groups["check", "oracle"].before is not None
    labels = [row[0] for row in result.table()]
    assert labels == [
        f"{group}, {boxes} boxes" for group in ("held-back slices", "check folder") for boxes in ("automatic", "oracle")
    ]
    # Nothing that is written carries the files' names.
    manifest = (result.folder / "manifest.json").read_text()
    assert "p0" not in manifest
    assert "p1" not in manifest
    # The sides of a folder's slices are kept for later rounds.
    assert json.loads((home / "finetuning" / "split-liver.json").read_text())["schema"] == "sammix-split/1"


def test_a_case_that_is_learnt_from_is_no_check(home: Path) -> None:
    cases = a_case_folder(home / "cases", 0)
    with pytest.raises(InputError, match="p0 of the check folder is also learnt from"):
        work(a_run(home, sources=(cases,), check=cases, views=0))


def test_a_new_structure_gets_a_model_of_its_own_name(home: Path) -> None:
    cases = a_case_folder(home / "cases", 0)
    result = work(a_run(home, sources=(cases,), target="right kidney", name="right-kidney", views=0))
    assert result.verdict == "new"
    assert all(one.before is None for one in result.figures)
    model = model_store.resolve("right-kidney")
    assert model.manifest.target == "right kidney"
    assert model.manifest.guidance["boxes"]["least_support"] <= 20.0
    assert len(model.manifest.training_cases) == 1
    assert Segmenter.load("right-kidney", device="cpu", engine="torch").model.target == "right kidney"


def test_lora_is_stored_beside_the_weights_and_adds_to_the_parents(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora_part, "SETTINGS", LoraTraining(steps=2, batch=1))
    quick = BACKENDS["lite_medsam"].keywords["create"]  # type: ignore[attr-defined]

    def with_stub(device: torch.device, *args: Any, **kwargs: Any) -> Any:
        backend = quick(device)
        backend.network.image_encoder = StubEncoder().eval()
        return backend

    monkeypatch.setitem(BACKENDS, "lite_medsam", partial(build_backend, create=with_stub))
    monkeypatch.setattr(lora_part, "LiteMedSam", with_stub)
    result = work(a_run(home, lora=True, views=0))
    model = model_store.resolve(result.model)
    assert set(model.manifest.files) == {"weights.safetensors", "lora.safetensors"}
    adapter = load_model_weights(model, "lora.safetensors")
    assert {name.split(".")[0] for name in adapter} == {"first", "second"}


def test_two_adapters_in_one_do_what_both_did() -> None:
    source = torch.Generator().manual_seed(0)

    def adapter(rank: int) -> dict[str, torch.Tensor]:
        return {
            "qkv.lora_A": torch.randn(rank, 5, generator=source),
            "qkv.lora_B": torch.randn(7, rank, generator=source),
        }

    first, second = adapter(2), adapter(3)
    both = stacked(first, second)
    expected = first["qkv.lora_B"] @ first["qkv.lora_A"] + second["qkv.lora_B"] @ second["qkv.lora_A"]
    assert torch.allclose(both["qkv.lora_B"] @ both["qkv.lora_A"], expected, atol=1e-5)


# Stopping and going on


def test_a_run_that_was_stopped_in_each_stage_goes_on_to_the_same_model(finished: FineTuneRun, home: Path) -> None:
    run = a_run(home, name="stopped")
    for stage, steps in (("Encoding slices", 3), ("Training the head", 2), ("Training the decoder", 1)):
        stop = Stop(stage, steps)
        with pytest.raises(Cancelled, match="can go on from there"):
            work(FineTuneRun.open(run.folder), stop.report, stop.is_wanted)
        assert run.state == "cancelled"
        assert not (home / "models" / "stopped").exists()
    again = FineTuneRun.open(run.folder)
    result = work(again)
    kinds = [event["event"] for event in again.read_events()]
    assert [kind for kind in kinds if kind in ("cancelled", "resumed")] == ["cancelled", "resumed"] * 3
    one, other = result_of(finished), load_model_weights(model_store.resolve(result.model))
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    whole = finished.result()
    assert whole is not None
    assert result.figures == whole.figures


_KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import pytest
from corrected_slices import quick_models
from sammix_core.finetuning import FineTuneRun
from sammix_core.finetuning.process import work

def progress(told):
    if told.stage == "Training the decoder" and told.done == 1:
        os.kill(os.getpid(), signal.SIGKILL)

run = FineTuneRun.open(sys.argv[2])
patch = pytest.MonkeyPatch()
quick_models(Path(sys.argv[3]) / "another", patch)
patch.setenv("SAMMIX_HOME", sys.argv[3])
work(run, progress)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_a_process_that_is_killed_loses_no_model_and_the_run_goes_on_to_the_same(
    finished: FineTuneRun, home: Path
) -> None:
    run = a_run(home, name="killed")
    makers = Path(__file__).parents[2] / "makers"
    words = [sys.executable, "-c", _KILLED, str(makers), str(run.folder), str(home)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert run.state == "stopped"
    assert not (home / "models" / "killed").exists()
    assert model_store.resolve("untrained").spec == "untrained/1.0.0"
    assert model_store.find_faults() == []
    result = work(FineTuneRun.open(run.folder))
    one, other = result_of(finished), load_model_weights(model_store.resolve(result.model))
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


# What is refused


def sets_with(tmp_path: Path, slices: tuple[int, ...]) -> Path:
    return a_correction_set(tmp_path / "few", slices=slices).folder


@pytest.mark.parametrize(
    ("slices", "sentence"),
    [
        ((), "nothing to learn from yet"),
        ((0,), "All masks are empty"),
        ((3,), "One slice alone cannot be learnt from"),
    ],
)
def test_too_little_to_learn_from(home: Path, tmp_path: Path, slices: tuple[int, ...], sentence: str) -> None:
    run = a_run(home, sources=(sets_with(tmp_path, slices),))
    with pytest.raises(InputError, match=sentence):
        work(run)
    assert run.state == "failed"
    assert sentence in run.read_events()[-1]["message"]
    assert not (home / "models" / "mine").exists()


@pytest.mark.parametrize("held_back", [True, False])
def test_slices_that_are_all_on_one_side(home: Path, held_back: bool) -> None:
    a_correction_set(home / "set", slices=(2, 3))
    for path in (home / "set" / "entries").iterdir():
        path.write_text(json.dumps({**json.loads(path.read_text()), "held_back": held_back}))
    with pytest.raises(InputError, match="none is left to learn from" if held_back else "none is held back"):
        work(a_run(home))


@pytest.mark.parametrize(
    ("changes", "more", "sentence"),
    [
        ({"spacing": (6.0, 6.0, 5.0)}, {}, "labels and the CT of p0 lie on different grids"),
        ({"labels": np.ones((8, 50, 59), np.uint8)}, {}, "labels and the CT of p0 lie on different grids"),
        ({"labels": np.zeros((8, 50, 60), np.uint8)}, {}, "are empty; nothing can be learnt"),
        ({}, {"label": 6}, "has no label 6; it has 1"),
        ({"labels": np.arange(8 * 50 * 60, dtype=np.uint8).reshape(8, 50, 60) % 5}, {}, "say with --label which"),
    ],
)
def test_labels_that_cannot_be_used(home: Path, changes: Any, more: Any, sentence: str) -> None:
    cases = a_case_folder(home / "cases", 0, **changes)
    with pytest.raises(InputError, match=sentence):
        work(a_run(home, sources=(cases,), **more))


def test_corrections_of_another_structure_are_refused(home: Path) -> None:
    a_correction_set(home / "set")
    with pytest.raises(InputError, match="show liver, not spleen"):
        work(a_run(home, target="spleen"))


def test_folders_and_names_that_cannot_be(home: Path) -> None:
    (home / "empty").mkdir(parents=True)
    for changes, sentence in (
        ({"sources": ()}, "Name something to learn from"),
        ({"sources": (home / "empty",)}, "There is no case in"),
        ({"sources": (home / "nowhere",)}, "is no folder"),
        ({"name": "My liver"}, "cannot name a model"),
        ({"name": "liver"}, "belongs to a model shipped"),
        ({"name": "untrained/1.0.0"}, "is there already"),
        ({"parent": "liver/9.9.9"}, "There is no model"),
        ({"target": "../kidney"}, "cannot name a structure"),
        ({"threads": 0}, "number of threads cannot be 0"),
    ):
        with pytest.raises(InputError, match=sentence):
            a_run(home, **changes)
    assert not (home / "finetuning").exists()


def test_a_case_without_labels_or_with_two_is_said(home: Path) -> None:
    cases = a_case_folder(home / "cases", 0)
    labels = cases / "p0_label.nii.gz"
    (cases / "p0_label_2.nii.gz").write_bytes(labels.read_bytes())
    with pytest.raises(InputError, match=r"p0 in .* has 2 files of labels"):
        a_run(home, sources=(cases,))
    (cases / "p0_label_2.nii.gz").unlink()
    labels.unlink()
    with pytest.raises(InputError, match=r"p0 in .* has no labels"):
        a_run(home, sources=(cases,))


def test_a_parent_that_was_tampered_with_is_refused_and_the_others_work(home: Path) -> None:
    weights = home / "models" / "untrained" / "1.0.0" / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(InputError, match="not the file that the manifest names"):
        work(a_run(home))
    assert model_store.verify(model_store.resolve("liver")) == []


def test_a_parent_on_another_base_model_is_refused(home: Path) -> None:
    path = home / "models" / "untrained" / "1.0.0" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["base_model"]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="made on another base model"):
        work(a_run(home))


def test_a_disk_that_is_full_at_the_end_leaves_the_store_as_it_was(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(home)
    real = files.os.fsync

    def full(handle: int) -> None:
        if (home / "models" / "mine").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(InputError, match="no space left on device"):
            work(run)
    assert not (home / "models" / "mine").exists()
    assert model_store.find_faults() == []
    assert work(FineTuneRun.open(run.folder)).model == "mine/1.0.0"  # with room again, it goes on


# The verdict


def figures(*rows: tuple[str, str, float | None, float]) -> list[Figure]:
    return [Figure(group, "case-0", 3, boxes, before, after) for group, boxes, before, after in rows]


def test_worse_for_anyone_is_worse_and_says_for_whom() -> None:
    better = ("held_back", "auto", 0.80, 0.90)
    assert judge(figures(better), False)[0] == "better"
    assert judge(figures(better, ("earlier", "auto", 0.95, 0.946)), False)[0] == "better"
    verdict, sentence = judge(figures(better, ("earlier", "auto", 0.95, 0.94)), False)
    assert verdict == "worse"
    assert "earlier cases (case-0, automatic boxes) fell from 0.950 to 0.940" in sentence
    assert judge(figures(better, ("check", "oracle", 0.97, 0.96)), False)[0] == "worse"
    assert judge(figures(("held_back", "auto", 0.90, 0.89)), False)[0] == "worse"
    assert judge(figures(("held_back", "auto", 0.90, 0.901)), False)[0] == "same"
    assert judge(figures(("held_back", "auto", 0.90, 0.90), ("held_back", "oracle", 0.9, 0.95)), False)[0] == "better"
    assert judge(figures(("earlier", "auto", 0.90, 0.93)), False)[0] == "better"
    assert judge(figures(("held_back", "auto", None, 0.7)), True)[0] == "new"
