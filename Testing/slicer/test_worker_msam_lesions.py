"""Lesions in the computing process: found, clicked, measured and written without a model, and cancelled."""

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

pytestmark = pytest.mark.slow

VOLUME = "ct"
GRID = np.diag([-1.0, -1.0, 1.0, 1.0])
GRID[:3, 3] = 20, 30, -40
COARSE = np.diag([-5.0, -5.0, 5.0, 1.0])  # five times as large: lesions that the network sees enough of
COARSE[:3, 3] = GRID[:3, 3]


@pytest.fixture
def recorder():
    """The process with a CT and its liver, and its events."""
    worker = shared_worker()
    recorder = Recorder(worker)
    states = [SliceState(k, mask=PackedMask.pack(plane)) for k, plane in enumerate(a_liver()) if plane.any()]
    worker.openVolume(VOLUME, ct_values(), GRID, states=states)
    yield recorder
    worker.close()


def lesions_of(recorder):
    """Both lesions, as the first search finds them."""
    request = recorder.worker.submit(FindLesions(VOLUME, ()))
    assert recorder.finished(request).outcome is Outcome.DONE
    (event,) = recorder.of(LesionsFound)
    return event.candidates


def state_of(number, mask, **changes):
    return LesionState(number, LesionStatus.ACCEPTED, mask, **changes)


def test_candidates_are_found_and_measured_with_progress(recorder):
    found = lesions_of(recorder)
    assert [figures.number for _mask, figures in found] == [1, 2]
    for (mask, figures), truth in zip(found, LESIONS, strict=True):
        assert dice(mask.on(SHAPE), truth) > 0.85
        assert figures.volume_ml == pytest.approx(mask.unpack().sum() / 1000)
    steps = recorder.of(Progressed)
    assert {step.unit for step in steps} == {"steps"}
    assert list(dict.fromkeys(step.stage for step in steps)) == [
        "Smoothing the liver",
        "Looking for lesions",
        "Measuring lesions",
    ]


def test_known_lesions_are_not_found_again_and_the_smoothed_liver_is_reused(recorder):
    (first, _), _second = lesions_of(recorder)
    recorder.events.clear()
    request = recorder.worker.submit(FindLesions(VOLUME, (first,)))
    recorder.finished(request)
    (event,) = recorder.of(LesionsFound)
    assert [dice(mask.on(SHAPE), LESIONS[1]) > 0.85 for mask, _figures in event.candidates] == [True]
    assert "Smoothing the liver" not in [step.stage for step in recorder.of(Progressed)]


def test_a_changed_liver_mask_is_smoothed_again(recorder):
    lesions_of(recorder)
    smaller = a_liver() & ~ball(OTHER, 12)
    states = [SliceState(k, mask=PackedMask.pack(plane)) for k, plane in enumerate(smaller) if plane.any()]
    recorder.worker.setStates(VOLUME, states)
    recorder.events.clear()
    recorder.run(FindLesions(VOLUME, ()))
    assert len(recorder.of(LesionsFound)[0].candidates) == 1
    assert "Smoothing the liver" in [step.stage for step in recorder.of(Progressed)]


def test_a_cancelled_search_reports_no_lesion(recorder):
    recorder.run(Describe())
    request = recorder.worker.submit(FindLesions(VOLUME, ()))
    recorder.worker.cancel(request)
    assert recorder.finished(request).outcome is Outcome.CANCELLED
    assert recorder.of(LesionsFound) == []


def test_clicks_start_grow_and_shrink_lesions_and_others_keep_their_voxels(recorder):
    recorder.run(ClickLesion(VOLUME, ijk(MIDDLE), True, ()))
    new = recorder.of(LesionUpdated)[-1].state
    assert (new.number, new.status) == (0, LesionStatus.ACCEPTED)
    assert dice(new.mask.on(SHAPE), LESIONS[0]) > 0.85

    first = state_of(1, new.mask, clicks=new.clicks)
    recorder.run(ClickLesion(VOLUME, ijk(OTHER), True, (first,), target=1))
    both = recorder.of(LesionUpdated)[-1].state
    assert both.number == 1
    assert len(both.clicks) == 2
    assert dice(both.mask.on(SHAPE), LESIONS[0] | LESIONS[1]) > 0.85

    theirs = state_of(2, BoxedMask.pack(ball(OTHER, 2)))
    recorder.run(ClickLesion(VOLUME, ijk(OTHER), True, (first, theirs), target=1))
    assert not recorder.of(LesionUpdated)[-1].state.mask.meets(theirs.mask)

    edge = (MIDDLE[2] - 5, MIDDLE[1], MIDDLE[0])
    recorder.run(ClickLesion(VOLUME, edge, False, (first,), target=1))
    taken = recorder.of(LesionUpdated)[-1].state
    assert taken.mask.meets(first.mask) == taken.figures.voxels < first.mask.unpack().sum()
    assert recorder.run(ClickLesion(VOLUME, (9, 9, 9), True, (first,))).sentence.startswith("The click 9,9,9")


def test_msam_a_stage_refines_one_lesion_but_no_small_ones_and_others_keep_their_voxels(recorder):
    worker = recorder.worker
    worker.submit(LoadModel("liver", device="cpu"))
    states = [SliceState(k, mask=PackedMask.pack(plane)) for k, plane in enumerate(a_liver()) if plane.any()]
    worker.openVolume(VOLUME, ct_values(), COARSE, states=states)
    wrong = LESIONS[0] & (np.indices(SHAPE)[2] <= MIDDLE[2] + 2)  # a side of it is missing
    first = LesionState(1, LesionStatus.CANDIDATE, BoxedMask.pack(wrong))
    theirs = state_of(2, BoxedMask.pack(ball((MIDDLE[0], MIDDLE[1] - 4, MIDDLE[2]), 1)))
    request = worker.submit(RefineLesion(VOLUME, 1, (first, theirs)))
    assert recorder.finished(request).outcome is Outcome.DONE
    refined = recorder.of(LesionUpdated)[-1].state
    assert (refined.number, refined.status, refined.clicks) == (1, LesionStatus.CANDIDATE, ())
    assert refined.start == refined.mask != first.mask
    assert not refined.mask.meets(theirs.mask)
    assert refined.figures.volume_ml == pytest.approx(0.125 * refined.mask.unpack().sum())
    assert dice(refined.mask.on(SHAPE), LESIONS[0]) > 0.6
    assert not (refined.mask.on(SHAPE) & ~a_liver()).any()
    assert any(step.stage.startswith("Refining") and step.done for step in recorder.of(Progressed))

    small = state_of(3, BoxedMask.pack(ball(OTHER, 2)))
    answer = recorder.run(RefineLesion(VOLUME, 3, (small,)))
    assert answer.outcome is Outcome.FAILED
    assert answer.sentence.startswith("The lesion is too small to refine")


def test_edited_lesions_are_measured(recorder):
    mask = BoxedMask.pack(ball(OTHER, 6))
    recorder.run(MeasureLesions(VOLUME, {4: mask}))
    (event,) = recorder.of(LesionsMeasured)
    assert event.figures[4].voxels == mask.unpack().sum()
    assert event.figures[4].number == 4
    assert event.masks == {4: mask}


def test_a_labelmap_that_cannot_be_written_is_reported_in_one_sentence(recorder, tmp_path):
    liver = MaskOnGrid(SHAPE, "k", {}, GRID)
    request = recorder.worker.submit(
        WriteLesions(VOLUME, liver, {}, True, str(tmp_path / "missing" / "lesions.nii.gz"))
    )
    ended = recorder.finished(request)
    assert isinstance(ended, Finished)
    assert ended.outcome is Outcome.FAILED
    assert "does not exist" in ended.sentence
    assert ended.detail == ""
