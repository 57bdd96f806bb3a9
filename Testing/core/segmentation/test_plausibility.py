"""What cannot be the organ gets no mask, what is doubtful keeps it and is said, and no real liver is lost."""

from __future__ import annotations

import functools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from drawn_bodies import DRAWN
from fake_network import a_fake_model, turned_volume
from real_data import real_data
from remembering_engine import remembering
from synthetic_ct import synthetic_ct

from sammix_core.boxes import Box, BoxSource
from sammix_core.errors import InputError
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.segmentation.orientation import OrientationCheck
from sammix_core.segmentation.plausibility import (
    Judgement,
    Plausibility,
    PlausibilitySettings,
    Sight,
    Verdict,
    sight_of,
)
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume

AXIAL = synthetic_ct((7, 75, 100))
CANONICAL = AxialOrder((2, 1, 0), (False, False, False))
SETTINGS = PlausibilitySettings(
    **{"implausible_below": -1.0, "doubtful_below": 0.5, "least_hu": -60.0, "most_hu": 280.0},
    **{"most_spread_hu": 110.0, "most_bone": 0.2, "bone_below": 0.9, "doubtful_bone": 0.15, "doubtful_body_share": 0.7},
    **{"least_body_mm": 60.0, "most_ml": 7000.0},
)
LIVER = Sight(np.zeros(2, np.float32), 20_000.0, 110.0, 15.0, 0.02, 0.2, 320.0)


def calibration(similarity: float = 2.0, size: int = 2, **settings: float) -> Plausibility:
    """One that answers with the same log-odds whatever it sees."""
    return Plausibility(
        **{"mean": np.zeros(size, np.float32), "axes": np.eye(size, dtype=np.float32)[:1]},
        **{"scale": np.ones(1, np.float32), "organ_axes": np.eye(size, dtype=np.float32)[1:2]},
        **{"weights": np.zeros(2, np.float32), "bias": np.float32([similarity])},
        settings=replace(SETTINGS, **settings),
    )


def segmenter_with(plausibility: Plausibility | None) -> Segmenter:
    return Segmenter(a_fake_model(plausibility=plausibility))


@pytest.fixture
def volume() -> Volume:
    return turned_volume(AXIAL, CANONICAL)


# One slice, one verdict


@pytest.mark.parametrize(
    ("similarity", "changes", "slice_mm", "verdict", "reason"),
    [
        (2.0, {}, 5.0, Verdict.PLAUSIBLE, ""),
        (2.0, {"hu": -18.0}, 5.0, Verdict.PLAUSIBLE, ""),  # fatty
        (2.0, {"hu": 200.0, "spread_hu": 60.0}, 5.0, Verdict.PLAUSIBLE, ""),
        (2.0, {"hu": -160.0}, 5.0, Verdict.IMPLAUSIBLE, "a density of -160 HU"),
        (2.0, {"spread_hu": 150.0}, 5.0, Verdict.IMPLAUSIBLE, "uneven"),
        (2.0, {"body_mm": 30.0}, 0.5, Verdict.IMPLAUSIBLE, "too small for a patient"),
        (2.0, {"body_mm": 30.0}, None, Verdict.PLAUSIBLE, ""),  # millimetres are not known
        (0.0, {"bone": 0.3}, 5.0, Verdict.IMPLAUSIBLE, "in bone, as a brain does"),
        (2.0, {"bone": 0.3}, 5.0, Verdict.DOUBTFUL, "much bone close round it"),
        (-1.5, {}, 5.0, Verdict.IMPLAUSIBLE, "not like those of an abdomen"),
        (0.0, {}, 5.0, Verdict.DOUBTFUL, "hardly like those of an abdomen"),
        (2.0, {"body_share": 0.8}, 5.0, Verdict.DOUBTFUL, "most of the body's section"),
        (2.0, {}, 500.0, Verdict.DOUBTFUL, "too large"),
        (2.0, {}, None, Verdict.PLAUSIBLE, ""),
    ],
)
def test_verdicts(
    similarity: float, changes: dict[str, float], slice_mm: float | None, verdict: Verdict, reason: str
) -> None:
    judgement = calibration(similarity).judge([replace(LIVER, **changes)], slice_mm)
    assert judgement.verdict is verdict
    assert reason in judgement.reason
    assert (judgement.sentence("liver") == "") == (verdict is Verdict.PLAUSIBLE)


def test_slices_count_by_their_area() -> None:
    tip = replace(LIVER, area_mm2=200.0, hu=-155.0)
    assert calibration().judge([LIVER, tip, tip], 5.0).verdict is Verdict.PLAUSIBLE
    assert calibration().judge([replace(LIVER, hu=-155.0), tip], 5.0).verdict is Verdict.IMPLAUSIBLE


def test_similarity_is_a_logistic_regression_on_axes_and_distance() -> None:
    made = replace(calibration(bias := 0.25), weights=np.float32([2.0, -1.0]), scale=np.float32([4.0]))
    features = np.float32([[3.0, 7.0]])  # 3 along the axis, which is all of the distance from the organ's own
    expected = 2.0 * 3.0 / 4.0 - np.log(3.0 + 1e-3) + bias
    np.testing.assert_allclose(made.similarity(features), [expected], rtol=1e-5)


def test_a_slice_is_summed_up_where_the_organ_lies() -> None:
    image = np.zeros((16, 16), np.float32)
    image[2:14, 2:14] = 0.5  # a body at the window's level
    image[6:10, 6:10] = 0.75
    image[2:14, 2:4] = 1.0  # bone
    cells = np.zeros((8, 8), bool)
    cells[3:5, 3:5] = True
    embedding = np.zeros((3, 8, 8), np.float32)
    embedding[:, cells] = 5.0
    seen = sight_of(embedding, image, cells, 2.0, PreprocessingSpec(window_level=40.0, window_width=400.0))
    np.testing.assert_allclose(seen.features, [5, 5, 5, 0, 0, 0])
    assert (seen.hu, seen.spread_hu) == (140.0, 0.0)
    assert seen.area_mm2 == 4 * 4.0**2
    assert seen.body_share == pytest.approx(4 / 36)
    assert seen.body_mm == pytest.approx(2 * np.sqrt(36 * 16 / np.pi))
    assert 0 < seen.bone < 0.3


@pytest.mark.parametrize("wrong", [{"least_hu": "low"}, {"another": 1.0}, {"least_hu": None}])
def test_settings_of_another_version_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="The model's plausibility section"):
        PlausibilitySettings.from_dict({**SETTINGS.to_dict(), **wrong})
    assert PlausibilitySettings.from_dict(SETTINGS.to_dict()) == SETTINGS


def test_weights_that_do_not_fit_are_refused() -> None:
    made = calibration()
    state = {name: getattr(made, name) for name in made.arrays()}
    assert Plausibility.from_state(state, SETTINGS.to_dict()).settings == SETTINGS
    with pytest.raises(InputError, match="do not fit each other"):
        Plausibility.from_state({**state, "weights": np.zeros(9)}, SETTINGS.to_dict())
    del state["bias"]
    with pytest.raises(InputError, match="lack 'bias'"):
        Plausibility.from_state(state, SETTINGS.to_dict())


# A whole run, with a network that needs no weights


def test_what_cannot_be_the_organ_gets_no_box_and_no_mask(volume: Volume) -> None:
    assert segmenter_with(None).segment_volume(volume).mask.any()
    result = segmenter_with(calibration(-3.0, 32)).segment_volume(volume)
    assert not result.mask.any()
    assert len(result.boxes) == 0
    assert result.notes[0].startswith(
        "Warning: this does not look like a CT with a liver (the slices are not like those"
    )
    assert result.warnings == result.notes[:1]


def test_an_empty_mask_of_a_turned_patient_names_the_header_too(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OrientationCheck, "run", lambda self: "Warning: the header contradicts the anatomy.")
    result = segmenter_with(calibration(-3.0, 32)).segment_volume(volume)
    assert not result.mask.any()
    first, second = result.notes[:2]
    assert "does not look like a CT with a liver" in first
    assert second == "Warning: the header contradicts the anatomy."


def test_what_is_doubtful_keeps_its_mask_and_is_said_first(volume: Volume) -> None:
    plain = segmenter_with(None).segment_volume(volume)
    result = segmenter_with(calibration(0.0, 32)).segment_volume(volume)
    np.testing.assert_array_equal(result.mask, plain.mask)
    assert result.notes[0].startswith("Warning: check first whether this is a liver at all: the slices are hardly like")
    assert result.warnings == result.notes[:1]


def test_what_is_plausible_is_as_without_a_check(volume: Volume) -> None:
    plain = segmenter_with(None).segment_volume(volume)
    result = segmenter_with(calibration(3.0, 32)).segment_volume(volume)
    np.testing.assert_array_equal(result.mask, plain.mask)
    assert (result.boxes, result.notes, result.warnings) == (plain.boxes, plain.notes, [])


def test_a_persons_boxes_are_always_used(volume: Volume) -> None:
    segmenter = segmenter_with(calibration(-3.0, 32))
    session = segmenter.open_session(volume)
    found = segmenter_with(None).segment_volume(volume)
    k = len(AXIAL) // 2
    session.segment_slice(k, replace(found.boxes[k][0], source=BoxSource.EDITED))
    session.find_boxes()
    result = session.segment_boxes()
    assert list(result.boxes) == [k]
    assert result.mask[k].any()
    again = segmenter.segment_volume(volume, boxes=found.boxes)
    np.testing.assert_array_equal(again.mask, found.mask)
    assert again.notes[0].startswith("Warning: this does not look like")


def test_the_sentence_is_said_once_and_goes_along_with_what_was_found(volume: Volume) -> None:
    session = segmenter_with(calibration(-3.0, 32)).open_session(volume)
    session.find_boxes()
    session.find_boxes()
    assert session.guidance is not None
    assert len(session.guidance.notes) == 1
    other = segmenter_with(calibration(-3.0, 32)).open_session(volume)
    other.restore_guidance(session.guidance)
    other.find_boxes()
    assert other.result().notes.count(session.guidance.notes[0]) == 1


def test_nothing_found_needs_no_verdict() -> None:
    air = turned_volume(np.full((3, 40, 40), -1000, np.int16), CANONICAL)
    result = segmenter_with(calibration(-3.0, 32)).segment_volume(air)
    assert result.warnings == []
    assert result.notes == ["No liver was found; the mask is empty."]


def test_the_sentences_name_the_target() -> None:
    assert "a spleen (odd)" in Judgement(Verdict.IMPLAUSIBLE, "odd").sentence("spleen")
    assert "is a spleen at all: odd" in Judgement(Verdict.DOUBTFUL, "odd").sentence("spleen")


# The shipped model


@pytest.fixture(scope="module")
def shipped() -> Segmenter:
    """Encodes a slice once, however often it is segmented with and without the check."""
    return remembering(Segmenter.load("liver", device="cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", DRAWN)
def test_the_shipped_model_finds_no_liver_where_there_is_none(shipped: Segmenter, kind: str) -> None:
    """On a drawing that the calibration has not seen."""
    drawn = DRAWN[kind](101)
    volume = replace(drawn, array=np.ascontiguousarray(drawn.array[::4]), spacing=(*drawn.spacing[:2], 15.0))
    result = shipped.segment_volume(volume)
    assert not result.mask.any()
    assert any("No liver was found" in note for note in result.notes)


@functools.cache
def slab(name: str, first: int, last: int, step: int = 1) -> Volume:
    volume = read_volume(real_data(name))
    array = np.ascontiguousarray(volume.array[first:last:step])
    spacing = (*volume.spacing[:2], volume.spacing[2] * step)
    return replace(volume, array=array, spacing=spacing, slice_positions_mm=None, grid_header=None)


def changed(volume: Volume, change: str) -> Volume:
    if change == "as small as a child of five":
        return replace(volume, spacing=tuple(0.55 * mm for mm in volume.spacing))
    if change == "fatty":
        share = np.clip(2 - np.abs(volume.array - 80.0) / 75, 0, 1)
        return replace(volume, array=(volume.array - 110 * share).astype(np.int16))
    return volume


@pytest.mark.slow
@pytest.mark.parametrize("change", ["as it is", "as small as a child of five", "fatty"])
@pytest.mark.parametrize(
    "of",
    [
        partial(slab, "kits00072_slab_ct.nii.gz", 0, 18, 6),  # the dome alone
        partial(slab, "amos0001_slab11_ct.nii.gz", 1, 10, 3),
        partial(slab, "tace1211_ct.nii.gz", 20, 60, 12),
    ],
    ids=["kits00072", "amos0001", "tace1211"],
)
def test_no_real_liver_is_lost(shipped: Segmenter, of: partial[Volume], change: str) -> None:
    volume = changed(of(), change)
    plain = Segmenter(replace(shipped.model, plausibility=None), shipped.refiner).segment_volume(volume)
    result = shipped.segment_volume(volume)
    assert plain.mask.any()
    np.testing.assert_array_equal(result.mask, plain.mask)


def test_a_box_drawn_in_a_head_is_answered(shipped: Segmenter) -> None:
    head = DRAWN["head"](7)
    volume = replace(head, array=np.ascontiguousarray(head.array[5:6]))
    rows, cols = volume.array.shape[1:]
    session = shipped.open_session(volume)
    box = Box(0, cols // 3, rows // 3, 2 * cols // 3, 2 * rows // 3, BoxSource.EDITED)
    assert session.segment_slice(0, box).any()
