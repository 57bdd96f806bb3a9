"""Lesions in the computing process: found, clicked, measured and written without a model, and stopped when asked."""

from __future__ import annotations

import numpy as np
import pytest
from lesion_panel import LESIONS, ct_values
from liver_with_lesions import MIDDLE, OTHER, SHAPE, a_liver, ball, dice, ijk
from SAMMixSlicerLib.worker import (
    Finished,
    LesionsFound,
    LesionsMeasured,
    LesionUpdated,
    MaskOnGrid,
    Outcome,
    Progressed,
)
from SAMMixSlicerLib.worker.commands import Describe, LoadModel
from SAMMixSlicerLib.worker.lesion_commands import (
    ClickLesion,
    FindLesions,
    MeasureLesions,
    RefineLesion,
    WriteLesions,
)
from shared_worker import shared_worker
from worker_driver import Recorder

from sammix_core.lesions.state import LesionState, LesionStatus
from sammix_core.masks.packed_mask import BoxedMask, PackedMask
from sammix_core.segmentation.slice_state import SliceState

VOLUME = "ct"
GRID = np.diag([-1.0, -1.0, 1.0, 1.0])
GRID[:3, 3] = 20, 30, -40
COARSE = np.diag([-5.0, -5.0, 5.0, 1.0])  # five times as large: lesions that the network sees enough of
COARSE[:3, 3] = GRID[:3, 3]


@pytest.fixture
def told():
    """The process with a CT and its liver, and what it tells."""
    worker = shared_worker()
    recorder = Recorder(worker)
    states = [SliceState(k, mask=PackedMask.pack(plane)) for k, plane in enumerate(a_liver()) if plane.any()]
    worker.openVolume(VOLUME, ct_values(), GRID, states=states)
    yield recorder
    worker.close()


def lesions_of(told):
    """Both lesions, as the first search finds them."""
    request = told.worker.submit(FindLesions(VOLUME, ()))
    assert told.finished(request).outcome is Outcome.DONE
    (event,) = told.of(LesionsFound)
    return event.candidates


def state_of(number, mask, **changes):
    return LesionState(number, LesionStatus.ACCEPTED, mask, **changes)


def test_candidates_are_found_measured_and_told_step_by_step(told):
    found = lesions_of(told)
    assert [figures.number for _mask, figures in found] == [1, 2]
    for (mask, figures), truth in zip(found, LESIONS, strict=True):
        assert dice(mask.on(SHAPE), truth) > 0.85
        assert figures.volume_ml == pytest.approx(mask.unpack().sum() / 1000)
    steps = told.of(Progressed)
    assert {step.unit for step in steps} == {"steps"}
    assert list(dict.fromkeys(step.stage for step in steps)) == [
        "Smoothing the liver",
        "Looking for lesions",
        "Measuring lesions",
    ]


def test_what_is_known_is_not_found_again_and_the_smoothed_liver_is_kept(told):
    (first, _), _second = lesions_of(told)
    told.events.clear()
    request = told.worker.submit(FindLesions(VOLUME, (first,)))
    told.finished(request)
    (event,) = told.of(LesionsFound)
    assert [dice(mask.on(SHAPE), LESIONS[1]) > 0.85 for mask, _figures in event.candidates] == [True]
    assert "Smoothing the liver" not in [step.stage for step in told.of(Progressed)]


def test_another_mask_of_the_liver_is_looked_at_anew(told):
    lesions_of(told)
    smaller = a_liver() & ~ball(OTHER, 12)
    states = [SliceState(k, mask=PackedMask.pack(plane)) for k, plane in enumerate(smaller) if plane.any()]
    told.worker.setStates(VOLUME, states)
    told.events.clear()
    told.run(FindLesions(VOLUME, ()))
    assert len(told.of(LesionsFound)[0].candidates) == 1
    assert "Smoothing the liver" in [step.stage for step in told.of(Progressed)]


def test_a_search_can_be_stopped_and_tells_no_lesion(told):
    told.run(Describe())
    request = told.worker.submit(FindLesions(VOLUME, ()))
    told.worker.cancel(request)
    assert told.finished(request).outcome is Outcome.CANCELLED
    assert told.of(LesionsFound) == []


def test_clicks_begin_grow_and_take_and_the_voxels_of_others_stay_theirs(told):
    told.run(ClickLesion(VOLUME, ijk(MIDDLE), True, ()))
    new = told.of(LesionUpdated)[-1].state
    assert (new.number, new.status) == (0, LesionStatus.ACCEPTED)
    assert dice(new.mask.on(SHAPE), LESIONS[0]) > 0.85

    first = state_of(1, new.mask, clicks=new.clicks)
    told.run(ClickLesion(VOLUME, ijk(OTHER), True, (first,), target=1))
    both = told.of(LesionUpdated)[-1].state
    assert both.number == 1
    assert len(both.clicks) == 2
    assert dice(both.mask.on(SHAPE), LESIONS[0] | LESIONS[1]) > 0.85

    theirs = state_of(2, BoxedMask.pack(ball(OTHER, 2)))
    told.run(ClickLesion(VOLUME, ijk(OTHER), True, (first, theirs), target=1))
    assert not told.of(LesionUpdated)[-1].state.mask.meets(theirs.mask)

    edge = (MIDDLE[2] - 5, MIDDLE[1], MIDDLE[0])
    told.run(ClickLesion(VOLUME, edge, False, (first,), target=1))
    taken = told.of(LesionUpdated)[-1].state
    assert taken.mask.meets(first.mask) == taken.figures.voxels < first.mask.unpack().sum()
    assert told.run(ClickLesion(VOLUME, (9, 9, 9), True, (first,))).sentence.startswith("The click 9,9,9")


def test_msam_a_stage_refines_one_lesion_and_leaves_small_ones_and_the_voxels_of_others(told):
    worker = told.worker
    worker.submit(LoadModel("liver", device="cpu"))
    states = [SliceState(k, mask=PackedMask.pack(plane)) for k, plane in enumerate(a_liver()) if plane.any()]
    worker.openVolume(VOLUME, ct_values(), COARSE, states=states)
    wrong = LESIONS[0] & (np.indices(SHAPE)[2] <= MIDDLE[2] + 2)  # a side of it is missing
    first = LesionState(1, LesionStatus.CANDIDATE, BoxedMask.pack(wrong))
    theirs = state_of(2, BoxedMask.pack(ball((MIDDLE[0], MIDDLE[1] - 4, MIDDLE[2]), 1)))
    request = worker.submit(RefineLesion(VOLUME, 1, (first, theirs)))
    assert told.finished(request).outcome is Outcome.DONE
    refined = told.of(LesionUpdated)[-1].state
    assert (refined.number, refined.status, refined.clicks) == (1, LesionStatus.CANDIDATE, ())
    assert refined.start == refined.mask != first.mask
    assert not refined.mask.meets(theirs.mask)
    assert refined.figures.volume_ml == pytest.approx(0.125 * refined.mask.unpack().sum())
    assert dice(refined.mask.on(SHAPE), LESIONS[0]) > 0.6
    assert not (refined.mask.on(SHAPE) & ~a_liver()).any()
    assert any(step.stage.startswith("Refining") and step.done for step in told.of(Progressed))

    small = state_of(3, BoxedMask.pack(ball(OTHER, 2)))
    answer = told.run(RefineLesion(VOLUME, 3, (small,)))
    assert answer.outcome is Outcome.FAILED
    assert answer.sentence.startswith("The lesion is too small to be refined")


def test_lesions_changed_by_hand_are_measured_as_they_are_given(told):
    mask = BoxedMask.pack(ball(OTHER, 6))
    told.run(MeasureLesions(VOLUME, {4: mask}))
    (event,) = told.of(LesionsMeasured)
    assert event.figures[4].voxels == mask.unpack().sum()
    assert event.figures[4].number == 4
    assert event.masks == {4: mask}


def test_a_labelmap_that_cannot_be_written_is_one_sentence(told, tmp_path):
    liver = MaskOnGrid(SHAPE, "k", {}, GRID)
    request = told.worker.submit(WriteLesions(VOLUME, liver, {}, True, str(tmp_path / "missing" / "lesions.nii.gz")))
    ended = told.finished(request)
    assert isinstance(ended, Finished)
    assert ended.outcome is Outcome.FAILED
    assert "does not exist" in ended.sentence
    assert ended.detail == ""
