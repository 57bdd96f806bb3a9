"""Carrying a correction to the neighbours of its slice: by the button, and by itself."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_ct import ras_grid, synthetic_ct

from sammix_core.boxes import Box, BoxSource

SHAPE = (6, 96, 112)
BOX = (10, 14, 56, 80)
HALF = (10, 14, 33, 80)


@pytest.fixture
def panel(panel):
    """The panel with masks from boxes on slices 1 to 4; those of slice 4 a person's."""
    import slicer

    panel.logic.workspace.update(keepCorrections=False)
    ct = slicer.util.addVolumeFromArray(
        np.repeat(synthetic_ct((1, *SHAPE[1:]), seed=0), SHAPE[0], axis=0), ijkToRAS=ras_grid(3.0, 3.0), name="ct"
    )
    panel.draw_boxes(ct, *(Box(index, *BOX, BoxSource.AUTO) for index in range(1, 5)))
    from SAMMixSlicerLib.worker.commands import SegmentSlices

    case = panel.logic.workspace.prepareCase()
    panel.logic.worker.submit(SegmentSlices(case.volumeId, (1, 2, 3, 4)))
    wait(panel)
    panel.logic.boxes.setBox(4, BOX)
    wait(panel)
    panel.go_to(2)
    return panel


def wait(panel):
    from slicer_host import mouse

    logic = panel.logic
    mouse.wait_until(lambda: not (logic.clicks.isBusy or logic.carry.isWaiting or logic.worker.busy), 900)


def correct(panel):
    """Takes half of the mask of slice 2 away, by a narrower box."""
    panel.logic.boxes.setBox(2, HALF)
    wait(panel)


def test_a_correction_is_carried_in_one_step_and_a_persons_slices_stay(panel):
    correct(panel)
    before, mask, last = states(panel), panel.mask(), panel.ui.undoButton.toolTip
    panel.click("carryButton")
    panel.wait()
    after = states(panel)
    changed = [index for index in range(SHAPE[0]) if after[index] != before[index]]
    assert changed, panel.status
    assert 2 not in changed
    assert 4 not in changed, "a person set its box"
    assert panel.status == f"Carried to {slices_text(changed)}."
    assert panel.ui.undoButton.toolTip == "Undo: Carry"
    panel.click("undoButton")
    assert states(panel) == before
    np.testing.assert_array_equal(panel.mask(), mask)
    assert panel.ui.undoButton.toolTip == last
    panel.click("redoButton")
    assert states(panel) == after


def states(panel):
    return [panel.case.state(index) for index in range(SHAPE[0])]


def slices_text(indices):
    from SAMMixSlicerLib.logic.carry_logic import slicesText

    return slicesText(indices)


def test_nothing_is_carried_by_itself_unless_the_user_says_so(panel):
    correct(panel)
    assert panel.ui.undoButton.toolTip != "Undo: Carry"
    panel.click("carryCheck")
    panel.click("undoButton")
    correct(panel)
    assert panel.ui.undoButton.toolTip == "Undo: Carry"
    assert panel.status.startswith("Carried to slice")


def test_a_slice_without_a_correction_is_not_carried(panel):
    panel.go_to(3)
    before = panel.mask()
    panel.click("carryButton")
    panel.wait()
    assert panel.ui.statusLabel.text.endswith("."), "one sentence"
    np.testing.assert_array_equal(panel.mask(), before)
