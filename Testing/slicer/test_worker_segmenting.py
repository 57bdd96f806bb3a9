"""The whole worker with the default model: run, edit, cancel, undo, death and restart.

One process and one model serve all tests here, since both take seconds; each test opens volumes of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from made_models import a_liver_model_without_plausibility
from SAMMixSlicerLib.worker import (
    CamReady,
    CancelAcknowledged,
    Event,
    Finished,
    GuidanceFound,
    ModelLoaded,
    Outcome,
    Progressed,
    SliceChanged,
    SliceScored,
    VolumeOpened,
    Worker,
    WorkerState,
)
from SAMMixSlicerLib.worker.commands import (
    DeleteBox,
    EncodeSlices,
    FetchCam,
    InterpolateBoxes,
    LoadModel,
    ResetSlices,
    Run,
    SegmentSlice,
    SegmentSlices,
)
from synthetic_ct import synthetic_ct
from worker_driver import IJK_TO_RAS, Recorder

from sammix_core.boxes import Box, BoxSource
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.volume.volume import Volume, grid_from_ras

pytestmark = pytest.mark.slow

CT = synthetic_ct((3, 96, 128))
EDITED = BoxSource.EDITED


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(a_liver_model_without_plausibility(tmp_path_factory.mktemp("models"), parts=False))


@pytest.fixture(scope="module")
def worker(model: str) -> Iterator[Worker]:
    worker = Worker(sys.executable)
    worker.submit(LoadModel(model, device="cpu"))
    yield worker
    worker.close()


@pytest.fixture
def recorder(worker: Worker) -> Iterator[Recorder]:
    recorder = Recorder(worker)
    recorder.until(lambda: worker.state is WorkerState.READY)
    yield recorder
    worker.on(Event).disconnect()
    worker.stateChanged.disconnect()


@pytest.fixture(scope="module")
def core(model: str) -> SegmentationSession:
    """The same volume in the core, without a process between."""
    session = Segmenter.load(model, "cpu").open_session(Volume(CT, *grid_from_ras(IJK_TO_RAS)))
    session.find_boxes()
    session.segment_boxes()
    return session


@pytest.fixture(scope="module")
def opened(worker: Worker) -> str:
    """A volume that was run once."""
    recorder = Recorder(worker)
    worker.openVolume("opened", CT, IJK_TO_RAS)
    assert recorder.run(Run("opened")).outcome is Outcome.DONE
    return "opened"


def clear_slice(worker: Worker, volume_id: str, index: int) -> int:
    """Deletes box and mask of a slice, as the panel does."""
    volume = worker.volume(volume_id)
    assert volume is not None
    return worker.setStates(volume_id, [volume.state(index).cleared()])


def others_than(worker: Worker, volume_id: str, index: int) -> list[object]:
    volume = worker.volume(volume_id)
    assert volume is not None
    return [volume.state(k) for k in range(volume.sliceCount) if k != index]


@pytest.mark.alone
def test_a_run_reports_everything_and_makes_the_same_masks_as_the_core(
    worker: Worker, recorder: Recorder, core: SegmentationSession
) -> None:
    worker.openVolume("run", CT, IJK_TO_RAS)
    request = worker.submit(Run("run"))
    answer = recorder.finished(request)
    assert (answer.outcome, answer.sentence, answer.detail) == (Outcome.DONE, "", "")
    volume = worker.volume("run")
    assert volume is not None
    boxes = core.boxes
    assert len(boxes) >= 2
    assert answer.changed == tuple(boxes)
    assert sorted(event.slice_index for event in recorder.of(SliceScored)) == [0, 1, 2]  # far ones may come first
    (found,) = recorder.of(GuidanceFound)
    assert found.automatic_boxes == core.slices.automatic_boxes
    assert volume.probabilities == pytest.approx({one.slice_index: one.probability for one in core.result().slices})
    for index in range(3):
        assert volume.state(index) == core.slices.state(index)
    assert volume.boxes() == boxes
    assert any(state.area_px for state in volume.states.values())
    stages = [(event.stage, event.done, event.total) for event in recorder.of(Progressed)]
    assert stages[0] == ("Looking for the liver", 0, 3)
    assert stages[-1] == ("Segmenting", len(boxes), len(boxes))
    assert recorder.of(Progressed)[1].seconds_left > 0
    # Boxes come before masks, and masks one by one.
    changed = recorder.of(SliceChanged)
    assert [event.state.slice_index for event in changed] == [*boxes, *boxes]
    assert all(event.request == request for event in changed)
    assert recorder.freezes() <= 1
    worker.closeVolume("run")


def test_an_edit_changes_only_its_slice_and_as_the_core_does(
    worker: Worker, recorder: Recorder, opened: str, core: SegmentationSession
) -> None:
    volume = worker.volume(opened)
    assert volume is not None
    index = sorted(core.boxes)[0]
    before, old = others_than(worker, opened, index), volume.state(index)
    box = Box(index, 20, 30, 70, 80, EDITED)
    answer = recorder.run(SegmentSlice(opened, box))
    assert (answer.outcome, answer.changed) == (Outcome.DONE, (index,))
    (changed,) = recorder.of(SliceChanged)
    assert changed.state == volume.state(index)
    assert changed.state.boxes == (box,)
    assert set(changed.milliseconds) == {"wait", "segment", "pack"}
    assert others_than(worker, opened, index) == before
    assert changed.state.mask is not None
    np.testing.assert_array_equal(changed.state.mask.unpack(), core.segment_slice(index, box))
    core.slices.put(old)

    # Undo, then reset: both bring the first mask back, at once and by computing.
    events = len(recorder.events)
    worker.setStates(opened, [old])
    assert volume.state(index) == old
    assert recorder.events[events].state == old, "an undo is shown before the process has heard of it"
    recorder.run(SegmentSlice(opened, box))
    assert recorder.run(ResetSlices(opened, (index,))).changed == (index,)
    assert volume.state(index) == old


def test_one_of_a_slices_boxes_is_set_and_deleted(
    worker: Worker, recorder: Recorder, opened: str, core: SegmentationSession
) -> None:
    volume = worker.volume(opened)
    assert volume is not None
    old = volume.state(1)
    first = old.boxes[0]
    second = Box(1, 20, 30, 60, 70, EDITED, part=3)
    recorder.run(SegmentSlice(opened, second))
    assert volume.state(1).boxes == (first, second)
    both = volume.state(1).mask
    assert both is not None
    np.testing.assert_array_equal(both.unpack(), core.segment_slice(1, [first, second]))
    core.slices.put(old)
    answer = recorder.run(DeleteBox(opened, 1, 3))
    assert (answer.outcome, answer.changed) == (Outcome.DONE, (1,))
    assert (volume.state(1).boxes, volume.state(1).deleted_boxes) == ((first,), (second,))
    assert volume.state(1).mask == old.mask
    assert volume.boxes().deleted_boxes == (second,)
    recorder.run(DeleteBox(opened, 1, first.part))
    assert (volume.state(1).boxes, volume.state(1).deleted, volume.state(1).mask) == ((), True, None)
    recorder.run(ResetSlices(opened, (1,)))
    assert volume.state(1) == old


def test_states_set_by_the_module_win_over_older_events(worker: Worker, recorder: Recorder, opened: str) -> None:
    volume = worker.volume(opened)
    assert volume is not None
    old = volume.state(0)
    edit = worker.submit(SegmentSlice(opened, Box(0, 20, 30, 60, 70, EDITED)))
    cleared = clear_slice(worker, opened, 0)
    worker.setStates(opened, [old])
    undone = clear_slice(worker, opened, 0)
    recorder.finished(undone)
    assert {recorder.finished(request).outcome for request in (edit, cleared)} == {Outcome.DONE}
    assert (volume.state(0).boxes, volume.state(0).deleted, volume.state(0).area_px) == ((), True, 0)
    told = [event.state.boxes for event in recorder.of(SliceChanged)]
    assert told == [(), old.boxes, ()], "something old was shown after it was undone"
    # The process knows the same: a run puts no automatic box there.
    recorder.run(Run(opened))
    assert volume.state(0).deleted
    recorder.run(ResetSlices(opened, (0,)))
    assert volume.state(0) == old


def test_a_slice_corrected_by_hand_is_protected(worker: Worker, recorder: Recorder, opened: str) -> None:
    volume = worker.volume(opened)
    assert volume is not None
    old = volume.state(1)
    painted = np.zeros(volume.planeShape, np.uint8)
    painted[10:20, 30:45] = 1
    worker.setStates(opened, [volume.state(1).corrected_to(painted)])
    state = volume.state(1)
    assert (state.corrected, state.area_px, state.scores.score) == (True, 150, None)
    answer = recorder.run(SegmentSlice(opened, Box(1, 20, 30, 60, 70, EDITED)))
    assert answer.outcome is Outcome.FAILED
    assert answer.sentence == "Slice 1 was corrected by hand, so its mask stays as it is."
    answer = recorder.run(Run(opened))
    assert (answer.outcome, answer.protected) == (Outcome.DONE, (1,))
    assert answer.sentence == "Slice 1 was corrected by hand and stays as it is."
    assert volume.state(1) == state
    answer = recorder.run(ResetSlices(opened, (1,), force=True))
    assert (answer.protected, volume.state(1)) == ((), old)


def test_slices_between_two_edited_boxes_are_filled(worker: Worker, recorder: Recorder, opened: str) -> None:
    volume = worker.volume(opened)
    assert volume is not None
    before = [volume.state(index) for index in range(3)]
    answer = recorder.run(InterpolateBoxes(opened))
    assert answer.outcome is Outcome.FAILED
    assert "Edit the boxes of two slices" in answer.sentence
    for index, edges in ((0, (20, 20, 60, 60)), (2, (30, 40, 70, 80))):
        recorder.run(SegmentSlice(opened, Box(index, *edges, EDITED)))
    ends = [volume.state(0), volume.state(2)]
    answer = recorder.run(InterpolateBoxes(opened))
    assert answer.changed == (1,)
    assert volume.state(1).boxes == (Box(1, 25, 30, 65, 70, BoxSource.INTERPOLATED),)
    assert volume.state(1).area_px > 0
    assert [volume.state(0), volume.state(2)] == ends
    recorder.run(ResetSlices(opened, (0, 1, 2)))
    assert [volume.state(index) for index in range(3)] == before


def test_the_map_of_a_slice(worker: Worker, recorder: Recorder, opened: str, core: SegmentationSession) -> None:
    recorder.run(FetchCam(opened, (2, 0)))
    first, second = recorder.of(CamReady)
    assert [first.slice_index, second.slice_index] == [2, 0]
    assert first.cam.dtype == np.uint8
    np.testing.assert_allclose(first.cam / 255, core.cam_slice(2), atol=1 / 255)
    assert first.cam.max() > 128


@pytest.mark.alone
def test_slices_are_encoded_while_the_process_is_idle(worker: Worker, recorder: Recorder) -> None:
    worker.openVolume("prepared", np.concatenate([CT] * 2), IJK_TO_RAS)
    recorder.run(EncodeSlices("prepared", (4,)))
    (changed,) = _edited(worker, recorder, "prepared", 4)
    at_first = changed.milliseconds["segment"]
    (changed,) = _edited(worker, recorder, "prepared", 5)
    assert changed.milliseconds["segment"] > 1.5 * at_first, "nothing was prepared"
    # It steps back for whatever is wanted.
    started = time.monotonic()
    prepare = worker.submit(EncodeSlices("prepared", (0, 1, 2, 3)))
    recorder.run(FetchCam("prepared", (0,)))
    one_slice = time.monotonic() - started
    assert recorder.finished(prepare).outcome is Outcome.DONE
    assert one_slice < 3 * changed.milliseconds["segment"] / 1000
    worker.closeVolume("prepared")


def _edited(worker: Worker, recorder: Recorder, volume_id: str, index: int) -> list[SliceChanged]:
    request = worker.submit(SegmentSlice(volume_id, Box(index, 20, 30, 60, 70, EDITED)))
    recorder.finished(request)
    return [event for event in recorder.of(SliceChanged) if event.request == request]


# Several at once, and stopping


def test_an_edit_of_another_volume_does_not_wait_for_a_run(worker: Worker, recorder: Recorder, opened: str) -> None:
    volume = worker.volume(opened)
    assert volume is not None
    old = volume.state(0)
    worker.openVolume("long", np.concatenate([CT] * 2), IJK_TO_RAS)
    run = worker.submit(Run("long"))
    recorder.until(lambda: recorder.of(SliceScored))
    edit = worker.submit(SegmentSlice(opened, Box(0, 20, 30, 60, 70, EDITED)))
    recorder.finished(run)
    order = [event.request for event in recorder.of(Finished)]
    assert order.index(edit) < order.index(run)
    assert {event.volume_id for event in recorder.of(SliceChanged)} == {opened, "long"}
    assert all(event.volume_id == "long" for event in recorder.of(SliceChanged) if event.request == run)
    worker.setStates(opened, [old])
    worker.closeVolume("long")


@pytest.mark.alone
def test_a_cancel_is_acknowledged_in_the_middle_of_a_slice_and_keeps_finished_slices(
    worker: Worker, recorder: Recorder
) -> None:
    assert worker.hello is not None
    pid = worker.hello.pid
    worker.openVolume("cancelled", np.concatenate([CT] * 2), IJK_TO_RAS)
    request = worker.submit(Run("cancelled"))
    recorder.until(lambda: len(recorder.of(SliceScored)) == 2)
    time.sleep(0.05)  # the encoder is at the third one now
    asked = time.monotonic()
    worker.cancel()
    recorder.until(lambda: recorder.of(CancelAcknowledged))
    assert time.monotonic() - asked < 1.1
    answer = recorder.finished(request)
    assert (answer.outcome, answer.changed) == (Outcome.CANCELLED, ())
    volume = worker.volume("cancelled")
    assert volume is not None
    seen = dict(volume.probabilities)
    assert 2 <= len(seen) < 6
    assert recorder.deaths() == []
    # It goes on where it stopped.
    request = worker.submit(Run("cancelled"))
    recorder.until(lambda: len(recorder.of(SliceScored)) >= 6)
    recorder.until(lambda: any(event.stage == "Segmenting" and event.done >= 1 for event in recorder.of(Progressed)))
    worker.cancel(request)
    answer = recorder.finished(request)
    assert answer.outcome is Outcome.CANCELLED
    done = [index for index, state in volume.states.items() if state.area_px]
    assert set(done) <= set(answer.changed)
    assert 1 <= len(done) < 6
    assert worker.hello.pid == pid
    worker.closeVolume("cancelled")


def test_a_volume_closed_in_the_middle_of_a_run_sends_no_more_events(worker: Worker, recorder: Recorder) -> None:
    worker.openVolume("closed", CT, IJK_TO_RAS)
    run = worker.submit(Run("closed"))
    recorder.until(lambda: recorder.of(SliceScored))
    close = worker.closeVolume("closed")
    events = len(recorder.events)
    assert worker.volume("closed") is None
    recorder.finished(close)
    assert recorder.finished(run).outcome is Outcome.CANCELLED
    after = [
        event for event in recorder.events[events:] if not isinstance(event, tuple | Finished | CancelAcknowledged)
    ]
    assert after == []


def test_a_volume_can_be_opened_again_with_its_states(worker: Worker, recorder: Recorder) -> None:
    """As when voxels have changed, or a scene was loaded."""
    worker.openVolume("anew", CT, IJK_TO_RAS)
    worker.submit(SegmentSlice("anew", Box(1, 20, 30, 60, 70, EDITED)))
    recorder.finished(clear_slice(worker, "anew", 2))
    volume = worker.volume("anew")
    assert volume is not None
    states = list(volume.states.values())
    late = worker.submit(SegmentSlice("anew", Box(0, 20, 30, 60, 70, EDITED)))
    recorder.finished(worker.openVolume("anew", CT, IJK_TO_RAS, states=states))
    recorder.finished(late)
    again = worker.volume("anew")
    assert again is not None
    assert again is not volume
    assert list(again.states.values()) == states, "what was on its way for the old volume came to the new one"
    run = recorder.run(SegmentSlices("anew", (0, 1, 2)))
    assert run.changed == (1,)
    assert again.state(1).boxes == volume.state(1).boxes
    worker.closeVolume("anew")


# Dying, last: it costs another model


def test_a_restarted_process_continues_where_the_old_one_died(worker: Worker, recorder: Recorder, opened: str) -> None:
    volume = worker.volume(opened)
    assert volume is not None
    box = Box(0, 20, 30, 70, 80, EDITED)
    recorder.run(SegmentSlice(opened, box))
    edited, before = volume.state(0), dict(volume.states)
    recorder.finished(clear_slice(worker, opened, 2))
    cleared = volume.state(2)
    recorder.finished(worker.openVolume("lost", np.concatenate([CT] * 2), IJK_TO_RAS))
    run = worker.submit(Run("lost"))
    recorder.until(lambda: recorder.of(SliceScored))
    assert worker.hello is not None
    loaded, reopened = len(recorder.of(ModelLoaded)), len(recorder.of(VolumeOpened))

    os.kill(worker.hello.pid, signal.SIGKILL)
    answer = recorder.finished(run)
    assert answer.outcome is Outcome.LOST
    assert answer.sentence.startswith("The computing process ended unexpectedly")
    assert len(recorder.deaths()) == 1
    assert (volume.state(0), volume.state(2), volume.state(1)) == (edited, cleared, before[1])

    recorder.until(lambda: worker.state is WorkerState.READY)
    recorder.until(lambda: len(recorder.of(VolumeOpened)) == reopened + 2)
    assert len(recorder.of(ModelLoaded)) == loaded + 1
    # The new process has the old one's maps: the same box gives the same mask, and a deleted one stays so.
    worker.submit(ResetSlices(opened, (0,)))
    recorder.run(SegmentSlice(opened, box))
    assert volume.state(0) == edited
    recorder.run(SegmentSlices(opened, (2,)))
    assert volume.state(2) == cleared
