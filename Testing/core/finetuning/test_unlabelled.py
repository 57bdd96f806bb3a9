"""CTs without masks in a fine-tuning run: how they are named and refused, and what is learnt from them."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from corrected_slices import a_correction_set, a_patient, quick_models
from image_files import write_with_itk
from stopping import Stop

from sammix_core import model_store
from sammix_core.datasets.labels import CaseLabels
from sammix_core.errors import Cancelled, InputError
from sammix_core.finetuning import FineTuneRun, FineTuneSettings, unlabelled_part
from sammix_core.finetuning.encoded import SAME_PLACE, EncodedSlice, Encoder
from sammix_core.finetuning.engine import ENCODING
from sammix_core.finetuning.part_training import stage_of
from sammix_core.finetuning.process import work
from sammix_core.finetuning.recipe import gentle
from sammix_core.finetuning.result import FineTuneResult
from sammix_core.finetuning.samples import Sample
from sammix_core.finetuning.unlabelled_ct import OpenedCt, UnlabelledCt, read_cts, store_ct
from sammix_core.finetuning.unlabelled_slices import absent_for_share, choose_slices, forget_old_views
from sammix_core.model_store.weights import load_model_weights
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.training.views import CLEAN, View


def a_ct(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    volume, _ = a_patient(seed)
    write_with_itk(path, volume.array, volume.spacing)
    return path


# How they are named


@pytest.mark.parametrize(
    ("text", "path", "shows"),
    [
        ("ct.nii.gz", "ct.nii.gz", None),
        ("ct.nii.gz:12-48", "ct.nii.gz", (12, 48)),
        (r"C:\scans\ct.nii.gz", r"C:\scans\ct.nii.gz", None),
        (r"C:\scans\ct.nii.gz:7-7", r"C:\scans\ct.nii.gz", (7, 7)),
        ("C:12-48", "C", (12, 48)),
    ],
)
def test_a_range_of_slices_follows_the_path(text: str, path: str, shows: tuple[int, int] | None) -> None:
    ct = UnlabelledCt.parse(text)
    assert (ct, str(ct)) == (UnlabelledCt(Path(path), shows), text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ct.nii.gz:48-12", "upside down; write the lower one first, as 12-48"),
        ("ct.nii.gz:12-", "no range of slices at its end"),
        ("ct.nii.gz:12", "no range of slices at its end"),
        ("ct.nii.gz:", "no range of slices at its end"),
        ("ct.nii.gz:12–48", "no range of slices at its end"),
        ("ct.nii.gz:1-9999999", "no range of slices at its end"),
        (" ", "has an empty name"),
    ],
)
def test_what_is_no_range_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        UnlabelledCt.parse(text)


def test_a_folder_stands_for_the_cts_in_it(tmp_path: Path) -> None:
    for name in ("b_ct.nii.gz", "b_label.nii.gz", "a.nrrd", "a.seg.nrrd", "notes.txt", ".hidden.nii.gz"):
        (tmp_path / name).touch()
    (tmp_path / "b_label.json").touch()
    (tmp_path / "d.mhd").touch()
    (tmp_path / "c_ct").mkdir()
    (tmp_path / "other").mkdir()
    found = UnlabelledCt(tmp_path).found()
    assert [(ct.path.name, ct.labels and ct.labels.name) for ct in found] == [
        ("a.nrrd", None),
        ("b_ct.nii.gz", "b_label.json"),
        ("d.mhd", None),
        ("c_ct", None),
    ]
    with pytest.raises(InputError, match="holds 4 CTs"):
        UnlabelledCt(tmp_path, (1, 2)).found()
    with pytest.raises(InputError, match="There is no CT in"):
        UnlabelledCt(tmp_path / "other").found()
    with pytest.raises(InputError, match="does not exist"):
        UnlabelledCt(tmp_path / "nowhere").found()
    series = tmp_path / "other" / "series"
    series.mkdir()
    (series / "IM0001").touch()
    assert UnlabelledCt(tmp_path / "other").found() == [UnlabelledCt(series)]
    assert UnlabelledCt(series, (1, 2)).found() == [UnlabelledCt(series, (1, 2))]


def test_a_range_goes_before_a_label_file_and_of_two_label_files_none_is_chosen(tmp_path: Path) -> None:
    for name in ("a_ct.nii.gz", "a_label.json"):
        (tmp_path / name).touch()
    ct = tmp_path / "a_ct.nii.gz"
    assert UnlabelledCt(tmp_path, (1, 2)).found() == [UnlabelledCt(ct, (1, 2))]
    assert UnlabelledCt(tmp_path).found() == [UnlabelledCt(ct, labels=tmp_path / "a_label.json")]
    (tmp_path / "a_label_2.json").touch()
    with pytest.raises(InputError, match=r"a_ct.nii.gz has 2 label files beside it; leave one there"):
        UnlabelledCt(tmp_path).found()


def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"cannot be read: permission denied\."):
        UnlabelledCt(tmp_path).found()


@pytest.mark.skipif(os.name == "nt", reason="no name has a colon on Windows")
def test_a_name_that_ends_like_a_range_is_a_name_where_it_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "ct:1-3"
    assert UnlabelledCt.parse(str(folder)).shows == (1, 3)
    folder.mkdir()
    assert UnlabelledCt.parse(str(folder)) == UnlabelledCt(folder)


# Which slices


def slices_of(ct: OpenedCt, home: Path) -> Any:
    [case] = choose_slices([ct], (), PreprocessingSpec(), home)
    return case


def test_a_range_says_of_every_slice_whether_it_shows_the_structure(tmp_path: Path) -> None:
    volume, _ = a_patient(1)
    case = slices_of(OpenedCt.of_range("ct", volume, (2, 5), "liver"), tmp_path)
    order = volume.axial_order
    assert [order.slice_index(s.correction.slice_index, volume.shape_kji) for s in case.present] == [2, 3, 4, 5]
    assert {order.slice_index(s.correction.slice_index, volume.shape_kji) for s in case.absent} == {0, 1, 6, 7}
    assert case.unknown == ()
    assert not any(sample.positive for sample in (*case.present, *case.absent))
    undecided = slices_of(OpenedCt.of_range("ct", volume, None, "liver"), tmp_path)
    assert (undecided.present, len(undecided.unknown), undecided.absent) == ((), 8, ())
    with pytest.raises(InputError, match="has the slices 0 to 7, so it cannot show the liver on slice 8"):
        OpenedCt.of_range("ct", volume, (2, 8), "liver")


def test_slices_free_of_the_structure_count_with_the_labelled_cases(tmp_path: Path) -> None:
    volume, _ = a_patient(1)
    case = slices_of(OpenedCt.of_range("ct", volume, (2, 5), "liver"), tmp_path)
    labelled = [Sample(name, case.present[0].correction, False, False, tmp_path) for name in ("anna", "bert")]
    more = absent_for_share([case, case], labelled)
    assert [sample.case for sample in more] == ["anna", "bert", "anna", "bert"]
    assert not any(sample.positive for sample in more)


def test_old_embeddings_are_forgotten(tmp_path: Path) -> None:
    old, new = tmp_path / "old.npy", tmp_path / "new.npy"
    for path in (old, new):
        path.touch()
    before = time.time() - 31 * 24 * 3600
    os.utime(old, (before, before))
    forget_old_views(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new.npy"]


# What is learnt


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder with a small model and a correction set in it, and everything slow made quick."""
    quick_models(tmp_path, monkeypatch)
    monkeypatch.setattr(unlabelled_part, "STEPS", 3)
    a_correction_set(tmp_path / "set")
    return tmp_path


def a_run(home: Path, *unlabelled: str, **changes: Any) -> FineTuneRun:
    wanted = {"name": "mine", "sources": (home / "set",), "parent": "untrained", "views": 0, "threads": 1, **changes}
    return FineTuneRun.create(FineTuneSettings(**wanted, unlabelled=unlabelled))


def weights_of(result: FineTuneResult) -> dict[str, torch.Tensor]:
    return load_model_weights(model_store.open_model(result.folder))


def differing(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    return {name.split(".")[0] for name in one if not torch.equal(one[name], other[name])}


def steps_of(events: list[dict[str, Any]]) -> list[int]:
    """The steps of the stage that learns from CTs without masks."""
    return [event["step"] for event in events if event.get("part") == unlabelled_part.LABEL]


@pytest.mark.slow
def test_head_and_decoder_learn_from_a_ct_in_a_file_as_from_one_that_a_host_gives(home: Path) -> None:
    without = work(a_run(home))
    run = a_run(home, f"{a_ct(home / 'more' / 'one.nii.gz', 1)}:2-5")
    learnt = work(run)
    assert differing(weights_of(without), weights_of(learnt)) >= {"guidance", "mask_decoder"}
    assert learnt.notes == ("8 slices of 1 CT without labels were learnt from as well.",)
    assert learnt.train_slices == without.train_slices  # and the same slices are held back
    assert [(one.case, one.slices, one.before) for one in learnt.figures] == [
        (one.case, one.slices, one.before) for one in without.figures
    ]
    assert steps_of(run.read_events()) == [1, 2, 3]
    # Four slices with the liver in two views, four without it in one.
    assert len(list((home / "finetuning" / "views").glob("*.npy"))) == 12

    given = a_run(home)
    store_ct(given.cts_folder, a_patient(1)[0], (2, 5))
    stop = Stop(stage_of(unlabelled_part.LABEL), 2)
    with pytest.raises(Cancelled):
        work(given, stop.report, stop.is_wanted)
    assert [path.name for path in given.cts_folder.iterdir()] == ["ct-001.npz"]
    assert differing(weights_of(work(FineTuneRun.open(given.folder))), weights_of(learnt)) == set()
    assert not given.cts_folder.exists()
    events = given.read_events()
    assert steps_of(events) == [1, 2, 3]
    # The run before has left the embeddings.
    assert ENCODING not in {event["stage"] for event in events if event["event"] == "stage"}


@pytest.mark.slow
def test_what_cannot_be_learnt_from_is_refused_and_nothing_is_written(home: Path) -> None:
    one, labelled = a_ct(home / "more" / "one_ct.nii.gz", 1), a_ct(home / "labelled.nii.gz", 0)
    other = a_ct(home / "copy.nii.gz", 1)
    no_ct = home / "no_ct.nii.gz"
    write_with_itk(no_ct, np.zeros((4, 30, 30), np.int16), (1.0, 1.0, 1.0))
    CaseLabels("one", "spleen", "drawn", (8, 50, 60), without=frozenset({0})).write(home / "more" / "one_label.json")
    for unlabelled, sentence in (
        ((f"{labelled}:2-5",), "labelled.nii.gz is among the labelled cases"),
        ((str(one), str(other)), "one_ct.nii.gz and copy.nii.gz are the same CT"),
        ((str(one), f"{one}:2-5"), "one_ct.nii.gz is given twice"),
        ((f"{one}:2-80",), "one_ct.nii.gz has the slices 0 to 7"),
        ((str(home / "more"),), "one_label.json says which slices show the spleen, not the liver"),
        ((str(no_ct),), "no_ct.nii.gz"),
    ):
        with pytest.raises(InputError, match=sentence):
            work(a_run(home, *unlabelled))
    assert not (home / "models" / "mine").exists()
    damaged = a_run(home)
    damaged.cts_folder.mkdir()
    (damaged.cts_folder / "ct-001.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="is damaged"):
        work(damaged)


@pytest.mark.slow
def test_a_new_structure_learns_from_what_a_label_file_says_of_each_slice(home: Path) -> None:
    a_ct(home / "cases" / "zero_ct.nii.gz", 0)
    write_with_itk(home / "cases" / "zero_label.nii.gz", a_patient(0)[1].astype(np.uint8), (6.0, 6.0, 6.0))
    a_ct(home / "more" / "one_ct.nii.gz", 1)
    CaseLabels(
        *("one", "Right kidney", "seen", (8, 50, 60)),
        without=frozenset({0, 7}),
        present=frozenset({3, 4}),
        undecided=frozenset({2}),
    ).write(home / "more" / "one_label.json")
    [ct] = read_cts([UnlabelledCt(home / "more")], "right kidney", values_are_hu=False)
    case = slices_of(ct, home)
    assert (len(case.present), len(case.unknown), len(case.absent)) == (2, 4, 2)
    cases, changes = (home / "cases",), {"target": "right kidney", "name": "right-kidney"}
    run = a_run(home, str(home / "more"), sources=cases, **changes)
    result = work(run)
    assert (result.verdict, result.notes) == ("new", ("8 slices of 1 CT without labels were learnt from as well.",))
    assert steps_of(run.read_events()) == [1, 2, 3]


def test_both_views_of_a_slice_show_the_same_place(tmp_path: Path) -> None:
    volume, _ = a_patient(1)
    sample = slices_of(OpenedCt.of_range("ct", volume, (2, 5), "liver"), tmp_path).present[0]
    encoder = Encoder(None, PreprocessingSpec(), "none", 0)  # type: ignore[arg-type] - nothing is encoded
    plain, other = (encoder.draw(sample, view)[0] for view in (CLEAN, SAME_PLACE))
    assert np.array_equal(encoder.draw(sample, SAME_PLACE)[0], other)  # the same each time
    assert plain.shape == other.shape
    assert abs(plain - other).mean() > 0.005
    # Where there was air there is air: nothing has moved.
    assert other[plain == 0].mean() < 0.02
    assert plain[other == 0].mean() < 0.02


class NumberingEncoder:
    """Gives each slice an embedding full of its number, and 100 more in the other view."""

    def get(self, sample: Sample, view: str) -> EncodedSlice:
        value = sample.correction.slice_index + (100 if view == SAME_PLACE else 0)
        blank = np.zeros((256, 256))
        return EncodedSlice(blank.astype(np.float32), np.full((256, 64, 64), value, np.float16), blank.astype(np.uint8))


def test_a_batch_has_empty_masks_where_the_structure_is_not_and_two_views_where_no_mask_is_known(
    tmp_path: Path,
) -> None:
    volume, _ = a_patient(1)
    cases = [slices_of(OpenedCt.of_range("ct", volume, shows, "liver"), tmp_path) for shows in ((2, 5), None)]
    shares = np.full((1, 256, 256), 255, np.uint8)
    labelled = View("anna", CLEAN, np.full((1, 256, 64, 64), 50, np.float16), shares, np.zeros(1, int))
    settings = replace(unlabelled_part.training_settings(gentle(4)), steps=4)
    batches = unlabelled_part.UnlabelledBatches([labelled], cases, NumberingEncoder(), settings, 0)  # type: ignore[arg-type]
    seen: dict[float, set[float]] = {}
    for step in range(4):
        batch = batches(step)
        numbers = batch.embeddings[:, 0, 0, 0].tolist()
        assert numbers[:4] == [50.0] * 4
        assert set(numbers[4:]) <= {0.0, 1.0, 6.0, 7.0}
        assert batch.present.tolist() == [1.0] * 4 + [0.0] * 2
        assert batch.shares[4:].sum() == 0
        assert torch.equal(batch.weak_embeddings + 100, batch.strong_embeddings)
        for number, present in zip(batch.weak_embeddings[:, 0, 0, 0].tolist(), batch.unlabelled_present, strict=True):
            seen.setdefault(float(present.nan_to_num(-1)), set()).add(number)
        assert all(
            torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in zip(batch, batches(step), strict=True)
        )
    assert seen.keys() == {1.0, -1.0}
    assert seen[1.0] <= {2.0, 3.0, 4.0, 5.0}
