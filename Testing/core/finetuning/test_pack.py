"""Slices of the training patients that go with a model: packed, rehearsed, and a check that a version must pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from corrected_slices import a_correction_set, a_pack, quick_models

from sammix_core import model_store
from sammix_core.errors import InputError
from sammix_core.finetuning import FineTuneResult, FineTuneRun, FineTuneSettings
from sammix_core.finetuning.interpolation import kept_shares
from sammix_core.finetuning.pack import STEP, Pack, open_pack, pack_of
from sammix_core.finetuning.process import work
from sammix_core.finetuning.result import Figure, judge
from sammix_core.model_store.weights import load_model_weights
from sammix_core.training.interpolation import Shares
from sammix_core.training.views import CLEAN, View


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder with a small model and its pack."""
    a_pack(quick_models(tmp_path / "home", monkeypatch))
    return tmp_path / "home"


def tuned(home: Path, name: str, rehearse: bool = True) -> FineTuneResult:
    source = home / "set"
    if not source.is_dir():
        a_correction_set(source)
    settings = FineTuneSettings(name, (source,), "untrained", rehearse=rehearse, views=0, threads=1)
    return work(FineTuneRun.create(settings))


# The pack itself


def test_a_pack_comes_back_from_its_tensors_nearly_as_it_was() -> None:
    rng = np.random.default_rng(1)
    embeddings = rng.normal(0, 0.1, (3, 256, 64, 64)).astype(np.float32)
    masks = rng.random((3, 256, 256)) > 0.5
    pack = Pack.from_state(Pack.of(embeddings, masks, [0, 0, 1], [False, True, True], channels=256).to_state())
    assert np.abs(pack.embedding(2)[0].numpy() - embeddings[2]).std() < STEP / 3
    np.testing.assert_array_equal(pack.masks, masks)
    assert (pack.side(checked=True), pack.side(checked=False), len(pack)) == ([1, 2], [0], 3)


def test_half_of_each_patients_slices_may_be_learnt_from() -> None:
    shares = np.zeros((12, 256, 256), dtype=np.uint8)
    shares[2:, 100:150, 100:150] = 255
    views = [
        View(case, CLEAN, np.zeros((12, 8, 64, 64), np.float16), shares, np.arange(12), case[:4])
        for case in ("anna portal", "anna plain", "bert")
    ]
    pack = pack_of(views)
    assert pack.patients.tolist() == [0] * 6 + [1] * 6
    assert [bool(pack.masks[index].any()) for index in pack.side(checked=False)] == [True, True, False] * 2
    of_learning = pack.views(1)
    assert [len(view.slices) for view in of_learning] == [3, 3]
    assert len({view.patient for view in of_learning}) == 1  # drawn as often as one patient
    assert len({view.patient for view in pack.views(2)}) == 2


def test_a_damaged_pack_is_one_sentence() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Pack.from_state({"codes": torch.zeros(3, dtype=torch.uint8)})


def test_the_shipped_model_has_slices_of_all_its_patients() -> None:
    pack = open_pack(model_store.resolve("liver"))
    assert pack is not None
    assert len(set(pack.patients.tolist())) == 12
    for patient in range(12):
        assert {bool(side) for side in pack.checked[pack.patients == patient]} == {False, True}
    assert pack.embedding(0).shape == (1, 256, 64, 64)


# In a run


def test_a_version_is_checked_on_slices_of_the_training_patients_and_takes_them_along(home: Path) -> None:
    result = tuned(home, "mine")
    of_pack = [figure for figure in result.figures if figure.group == "pack"]
    assert {(figure.case, figure.slices) for figure in of_pack} == {("patient 0", 1), ("patient 1", 1)}
    assert any(label.startswith("training patients") for label, _, _ in result.table())
    made = model_store.resolve("mine")
    assert open_pack(made) is not None
    assert "training patients" in (made.path / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_rehearsing_changes_what_is_learnt_and_can_be_left_out(home: Path) -> None:
    for name, rehearse in (("with", True), ("without", False)):
        tuned(home, name, rehearse)
    one, other = (load_model_weights(model_store.resolve(name)) for name in ("with", "without"))
    for part in ("guidance.", "mask_decoder."):
        assert any(not torch.equal(one[name], other[name]) for name in one if name.startswith(part))


def test_shares_go_back_until_the_training_patients_keep_what_they_had() -> None:
    tried = []

    def lost(shares: Shares) -> float:
        tried.append((shares.head, shares.decoder))
        return 0.01 * shares.decoder + 0.004 * shares.head - 0.002

    assert kept_shares(Shares(0.5, 1.0), lost) == Shares(0.25, 0.0)
    assert tried == [(0.5, 1.0), (0.5, 0.75), (0.5, 0.5), (0.5, 0.25), (0.25, 0.25), (0.25, 0.0)]
    assert kept_shares(Shares(0.5, 1.0), lambda _: 0.0) == Shares(0.5, 1.0)
    assert kept_shares(Shares(1.0, 1.0), lambda _: 1.0) == Shares(0.0, 0.0)


# The verdict


def figures(*rows: tuple[str, str, str, float, float]) -> list[Figure]:
    return [Figure(group, case, 3, boxes, before, after) for group, case, boxes, before, after in rows]


def test_a_version_that_forgets_is_never_better_whatever_it_gains() -> None:
    gain, kept = ("held_back", "mine", "auto", 0.80, 0.95), ("pack", "patient 0", "auto", 0.96, 0.97)
    verdict, sentence = judge(figures(gain, kept, ("pack", "patient 1", "auto", 0.970, 0.954)), False)
    assert verdict == "worse"
    assert sentence == (
        "The new version is worse for other patients: on 6 slices of 2 training patients, Dice fell from 0.965 to "
        "0.962 with automatic boxes; on the slices held back, Dice went from 0.800 to 0.950 with automatic boxes."
    )
    assert judge(figures(gain, kept, ("pack", "patient 1", "auto", 0.970, 0.957)), False)[0] == "better"
    assert judge(figures(gain, kept, ("pack", "patient 1", "oracle", 0.970, 0.960)), False)[0] == "worse"
