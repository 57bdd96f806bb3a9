"""The panel's small logics: parameter, undo, review, planes, where the core comes from, sample data."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from panel_driver import MODULE, a_drawn_ct

SHAPE = (6, 60, 70)


@pytest.fixture
def a_ct(app):
    return a_drawn_ct(SHAPE, pixel_mm=4.0)


class TestParameter:
    def test_it_says_what_is_wrong(self, app, tmp_path):
        from SAMMixSlicerLib.parameter import Parameter

        assert Parameter().isValid() == (True, "")
        assert Parameter(device="abacus").isValid()[1] == "There is no device abacus. Choose auto, cpu or cuda."
        assert "does not exist" in Parameter(baseWeights=str(tmp_path / "no.pth")).isValid()[1]
        assert not Parameter(model="").isValid()[0]
        assert not Parameter(mapOpacity=1.5).isValid()[0]

    def test_a_node_saves_the_settings_and_ignores_unknown_ones(self, app):
        import slicer
        from SAMMixSlicerLib.parameter import Parameter, ParameterNode

        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        kept = ParameterNode(node)
        assert kept.read() == Parameter()
        changed = kept.update(device="cpu", mapOpacity=0.25)
        assert ParameterNode(node).read() == changed == Parameter(device="cpu", mapOpacity=0.25)
        node.SetAttribute("SAMMix.Parameter", '{"device": 7, "showMap": true, "later": 1}')
        assert kept.read() == Parameter(showMap=True)
        node.SetAttribute("SAMMix.Parameter", "{")
        assert kept.read() == Parameter()

    def test_a_refusal_is_shown_in_the_status_line_and_nothing_starts(self, panel, a_ct):
        panel.choose(a_ct)
        panel.logic.workspace.update(baseWeights="/no/such/file.pth")
        panel.click("segmentButton")
        assert panel.status == "The weights file /no/such/file.pth does not exist."
        assert panel.case is None
        assert not panel.logic.actions.isBusy

    def test_a_volume_that_is_not_a_ct_is_refused_in_a_sentence(self, panel, app):
        import slicer

        node = slicer.util.addVolumeFromArray(np.random.default_rng(0).random(SHAPE).astype(np.float32), name="noise")
        panel.choose(node)
        questions = []
        panel.loaded.widget.dialogs.confirm = lambda question: questions.append(question)
        panel.click("segmentButton")
        assert "Are the values Hounsfield units all the same?" in questions[0]
        assert "noise does not look like a CT" in panel.status
        assert not panel.logic.actions.isBusy
        assert panel.case is None

    def test_values_that_a_user_vouches_for_are_taken(self, panel, app):
        import slicer

        node = slicer.util.addVolumeFromArray(np.random.default_rng(0).random(SHAPE).astype(np.float32), name="noise")
        panel.choose(node)
        panel.loaded.widget.dialogs.confirm = lambda _question: True
        panel.click("segmentButton")
        assert panel.case is not None
        assert panel.logic.actions.isBusy
        assert panel.logic.workspace.worker.volume(node.GetID()).valuesAreHu
        panel.click("cancelButton")
        panel.wait()

    def test_a_volume_of_another_size_begins_a_new_case_after_a_question(self, panel, a_ct):
        import slicer

        panel.segment(a_ct)
        before, questions = panel.case, []
        slicer.util.updateVolumeFromArray(a_ct, np.ascontiguousarray(slicer.util.arrayFromVolume(a_ct)[:, 2:]))
        panel.loaded.widget.dialogs.confirm = lambda question: questions.append(question)
        panel.click("segmentButton")
        assert "has changed" in panel.status
        assert panel.case is before
        panel.loaded.widget.dialogs.confirm = lambda _question: True
        panel.click("segmentButton")
        panel.wait()
        assert len(questions) == 1
        assert panel.case is not before
        assert panel.case.shapeKji == slicer.util.arrayFromVolume(a_ct).shape


class TestUndo:
    @pytest.fixture
    def stack(self, app):
        from SAMMixSlicerLib.logic.undo import UndoStack

        from sammix_core.segmentation.slice_state import SliceState

        states = {}
        stack = UndoStack(lambda index: states.get(index) or SliceState(index), states.update)
        stack.states = states
        return stack

    def score(self, stack, **changes):
        """Sets scores as one action: slice "s3" to a number."""
        from sammix_core.segmentation.slice_state import SliceScores, SliceState

        indices = {int(name[1:]): value for name, value in changes.items()}
        before = {index: stack.states.get(index) or SliceState(index) for index in indices}
        stack.states.update(
            {index: SliceState(index, scores=SliceScores(score=value)) for index, value in indices.items()}
        )
        stack.push(str(changes), before)

    def scores(self, stack):
        return {index: state.scores.score for index, state in stack.states.items()}

    def test_each_action_is_one_step_of_undo_and_redo(self, stack):
        self.score(stack, s1=0.1, s2=0.2)
        self.score(stack, s2=0.5)
        assert stack.undo() == (2,)
        assert self.scores(stack) == {1: 0.1, 2: 0.2}
        assert stack.undo() == (1, 2)
        assert self.scores(stack) == {1: None, 2: None}
        assert stack.undo() == ()
        assert stack.redo() == (1, 2)
        assert stack.redo() == (2,)
        assert self.scores(stack) == {1: 0.1, 2: 0.5}
        assert stack.redo() == ()

    def test_a_new_action_clears_the_redo_steps(self, stack):
        self.score(stack, s1=0.1)
        stack.undo()
        self.score(stack, s1=0.2)
        assert stack.redoName == ""
        assert stack.undoName

    def test_changes_after_the_start_of_an_action_belong_to_it(self, stack):
        from sammix_core.segmentation.slice_state import SliceScores, SliceState

        self.score(stack, s1=0.1)
        stack.states[1] = SliceState(1, scores=SliceScores(score=0.9))  # the mask that was computed for it came later
        stack.undo()
        stack.redo()
        assert self.scores(stack) == {1: 0.9}

    def test_an_action_that_changed_nothing_adds_no_step(self, stack):
        from sammix_core.segmentation.slice_state import SliceState

        stack.push("nothing", {3: SliceState(3)})
        assert stack.undoName == ""

    def test_a_hundred_steps_are_kept(self, stack):
        for number in range(130):
            self.score(stack, s1=number / 200)
        count = 0
        while stack.undo():
            count += 1
        assert count == 100
        assert self.scores(stack) == {1: 29 / 200}


@pytest.mark.parametrize("slice_axis", "ijk")
def test_differing_slices_are_found_along_every_axis(app, slice_axis):
    from SAMMixSlicerLib.array_slices import differingSlices, sliceOf

    first = np.zeros((4, 5, 6), np.uint8)
    second = first.copy()
    assert differingSlices(first, second, slice_axis) == []
    sliceOf(second, slice_axis, 1)[0, 1] = 1
    sliceOf(second, slice_axis, 3)[-1, -1] = 1
    assert differingSlices(first, second, slice_axis) == [1, 3]


def test_the_slice_with_most_to_be_wrong_comes_first_and_then_the_next(panel, a_ct):
    from dataclasses import replace

    from sammix_core.masks.packed_mask import PackedMask

    for index in range(5):
        panel.draw(a_ct, index)
    case = panel.case
    state = case.state(2)
    half = state.mask.unpack()
    half[:, : np.flatnonzero(half.any(axis=0)).mean().astype(int)] = 0
    case.setStates([replace(state, mask=PackedMask.pack(half))])
    from slicer_host import mouse

    mouse.wait_until(lambda: "may be missing" in panel.ui.sliceTable.item(2, 4).text(), 5)
    reason = panel.ui.sliceTable.item(2, 4).text()
    panel.click("nextReviewButton")
    assert panel.logic.workspace.views.current == 2
    assert panel.status == f"Slice 2: {reason}."
    panel.click("nextReviewButton")
    assert panel.logic.workspace.views.current in (0, 1, 3, 4)


def test_row_and_slice_in_view_follow_each_other(panel, a_ct):
    box = panel.draw(a_ct, 2)
    panel.logic.workspace.views.jumpTo(4)
    assert panel.ui.sliceTable.currentRow() == 4
    assert "Slice 4: no box" in panel.ui.boxLabel.text
    panel.go_to(2)
    assert "Slice 2: auto box, 30 × 30 voxels" in panel.ui.boxLabel.text
    assert panel.visible_boxes() == [box]
    panel.go_to(3)
    assert panel.visible_boxes() == []


def test_fill_outline_and_boxes_follow_their_check_boxes_and_other_segments_stay(panel, a_ct):
    panel.draw(a_ct, 2)
    panel.go_to(2)
    case = panel.case
    theirs = case.segmentationNode.GetSegmentation().AddEmptySegment("theirs")
    display = case.segmentationNode.GetDisplayNode()
    panel.ui.fillCheck.checked = False
    assert not display.GetSegmentVisibility2DFill(case.segmentId)
    assert display.GetSegmentVisibility2DOutline(case.segmentId)
    assert display.GetSegmentVisibility2DFill(theirs)
    panel.ui.boxesCheck.checked = False
    assert panel.visible_boxes() == []
    panel.ui.boxesCheck.checked = True
    assert len(panel.visible_boxes()) == 1


def test_a_deleted_box_stays_deleted_until_undo(panel, a_ct):
    panel.draw(a_ct, 2)
    before = panel.mask()
    panel.go_to(2)
    panel.click("deleteBoxButton")
    assert not panel.mask().any()
    assert panel.case.boxes().deleted == {2}
    panel.click("undoButton")
    np.testing.assert_array_equal(panel.mask(), before)
    assert panel.case.boxes().deleted == frozenset()


class TestCoreLocation:
    def test_the_core_of_the_source_tree_is_the_bundled_one(self, app):
        from SAMMixSlicerLib.core_location import coreInfo

        info = coreInfo(MODULE.parent)
        assert info.bundledFolder == MODULE.parents[1] / "sammix_core"
        assert info.bundledVersion == info.version
        assert not info.isShadowed

    def test_a_bundled_core_that_is_shadowed_is_reported(self, app, tmp_path):
        from SAMMixSlicerLib.core_location import coreInfo

        (tmp_path / "sammix_core").mkdir()
        (tmp_path / "sammix_core" / "__init__.py").touch()
        (tmp_path / "sammix_core" / "version.py").write_text('__version__ = "9.9.9"\n')
        info = coreInfo(tmp_path)
        assert info.isShadowed
        assert info.bundledVersion == "9.9.9"

    def test_the_source_tree_is_appended_to_the_path_once(self, app, monkeypatch):
        from SAMMixSlicerLib.core_location import addBundledCore

        root = str(MODULE.parents[1])
        monkeypatch.setattr(sys, "path", ["first"])
        addBundledCore(MODULE.parent)
        addBundledCore(MODULE.parent)
        assert sys.path == ["first", root]


def test_sample_data_is_registered_with_a_checksum_and_not_downloaded(app, monkeypatch):
    import SampleData
    from SAMMixSlicerLib.sample_data import registerSampleData

    monkeypatch.setattr(SampleData.SampleDataLogic, "registered", [])
    registerSampleData("picture.png")
    (source,) = SampleData.SampleDataLogic.registered
    assert source.category == "SAMMix"
    assert "CC BY-SA 4.0" in source.arguments["sampleName"]
    assert source.arguments["checksums"].removeprefix("SHA256:") == source.arguments["uris"].split("/")[-1]


def test_local_weights_are_selected_in_a_dialog_and_can_be_reset(panel, tmp_path):
    path = tmp_path / "lite_medsam.pth"
    path.touch()
    panel.loaded.widget.dialogs.fileToOpen = lambda _title, _formats: str(path)
    panel.click("weightsButton")
    assert panel.logic.workspace.parameter.baseWeights == str(path)
    assert str(Path(path)) in panel.ui.aboutLabel.text
    panel.click("weightsButton")
    assert panel.logic.workspace.parameter.baseWeights == ""
