"""The panel without computing: Install, About, sample data, review, and nodes of others."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from panel_driver import MODULE, a_drawn_ct


@pytest.fixture
def asked(app, monkeypatch):
    """What slicer.packaging is asked to install; forgotten after the test."""
    from slicer import packaging

    monkeypatch.setattr(packaging, "asked", [])
    return packaging.asked


@pytest.fixture
def present(app, monkeypatch):
    """The distributions that the panel finds installed; nothing at first."""
    from SAMMixSlicerLib.logic import install_logic

    names = set()
    monkeypatch.setattr(install_logic, "_installedVersion", lambda name: "9999" if name in names else None)
    return names


@pytest.fixture
def ui(load_module, present):
    """The widgets of a panel in a Slicer that has nothing of what it needs."""
    return load_module(MODULE).widget.ui


@pytest.fixture
def pytorch(monkeypatch, present):
    """The extension PyTorch, which installs torch when it is asked to; its calls."""
    calls = []

    class PyTorchUtilsLogic:
        def installTorch(self, **arguments):
            calls.append(arguments)
            present.update({"torch", "torchvision"})
            return "torch"

    monkeypatch.setitem(sys.modules, "PyTorchUtils", SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic))
    return calls


def test_without_the_extension_pytorch_install_asks_for_it_and_installs_nothing(ui, asked, monkeypatch):
    from slicer_host import mouse

    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    mouse.click(ui.installButton)
    assert "PyTorch extension" in ui.statusLabel.text
    assert asked == []
    assert ui.installButton.enabled


def test_install_brings_torch_through_its_extension_and_then_the_rest(ui, asked, pytorch, present, monkeypatch):
    from slicer import packaging
    from slicer_host import mouse

    torch_first = []
    real = packaging.pip_ensure

    def ensure(requirements, **arguments):
        torch_first.append("torch" in present)
        # The real one asks nothing and installs nothing in testing mode, unless it is told to.
        real(requirements, **{**arguments, "skip_in_testing": False})
        present.update(requirement.name for requirement in packaging._as_list(requirements))

    monkeypatch.setattr(packaging, "pip_ensure", ensure)
    monkeypatch.setattr(packaging, "pip_check", lambda requirement: False)
    mouse.click(ui.installButton)
    assert torch_first == [True]
    assert len(pytorch) == 1
    assert pytorch[0]["askConfirmation"] is False
    (requirements,) = asked
    assert not [line for line in requirements if line.startswith("torch")]
    assert [line for line in requirements if line.startswith("SimpleITK")]
    assert not ui.installFrame.visible


def test_about_shows_version_folder_and_that_it_is_no_medical_device(ui):
    import sammix_core

    ui.aboutSection.collapsed = False
    assert sammix_core.__version__ in ui.aboutLabel.text
    assert "sammix_core" in ui.aboutLabel.text
    assert "not a medical device" in ui.aboutLabel.text


def test_fine_tuning_says_that_packages_must_be_installed_first(ui):
    ui.fineTuneSection.collapsed = False
    assert not ui.fineTuneButton.enabled
    assert ui.fineTuneLabel.text == "Install the missing packages first (section Input)."


def test_fine_tuning_says_what_it_needs_before_it_can_start(panel):
    panel.ui.fineTuneSection.collapsed = False
    assert not panel.ui.fineTuneButton.enabled
    assert panel.ui.fineTuneLabel.text.startswith("Correct some slices")
    assert "Nothing leaves this computer" in panel.ui.fineTuneLabel.text


def test_sample_data_are_registered_when_slicer_has_started(app, load_module, present, monkeypatch):
    import SampleData

    registered = []
    monkeypatch.setattr(SampleData.SampleDataLogic, "registered", registered)
    load_module(MODULE)
    assert registered == []
    app.emit("startupCompleted()")
    (source,) = {source.arguments["sampleName"]: source for source in registered}.values()
    assert source.category == "SAMMix"
    assert source.arguments["uris"].startswith("https://")
    # The checksum is part of the address, too.
    assert source.arguments["checksums"].removeprefix("SHA256:") in source.arguments["uris"]


@pytest.fixture
def ct(app):
    return a_drawn_ct((4, 96, 112))


def test_the_next_slice_to_review_is_the_one_with_a_low_score_and_a_reason(panel, ct):
    from slicer_host import mouse

    from sammix_core.segmentation.slice_state import SliceScores

    for index in range(1, 4):
        panel.draw(ct, index)
    case = panel.case
    case.setStates([replace(case.state(2), scores=SliceScores(score=0.2))])
    panel.go_to(0)
    mouse.wait_until(lambda: panel.ui.nextReviewButton.enabled, 5)
    panel.click("nextReviewButton")
    assert panel.logic.workspace.views.current == 2
    reason = panel.ui.sliceTable.item(2, 4).text()
    assert reason
    assert panel.status == f"Slice 2: {reason}."
    assert panel.ui.sliceTable.item(1, 4).text() != reason


def test_an_roi_that_is_not_ours_is_never_touched(panel, ct, scene):
    import slicer

    mine = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "mine")
    mine.CreateDefaultDisplayNodes()
    mine.SetCenter(-50.0, -40.0, 10.0)
    mine.SetSize(30.0, 20.0, 10.0)
    before = (mine.GetMTime(), mine.GetDisplayNode().GetMTime())
    panel.draw(ct, 1)
    panel.draw(ct, 2)
    for index in (1, 2, 0):
        panel.go_to(index)
    panel.click("boxesCheck")
    panel.click("boxesCheck")
    panel.loaded.widget.cleanup()
    assert (mine.GetMTime(), mine.GetDisplayNode().GetMTime()) == before
    assert [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLMarkupsROINode")] == ["mine"]


def test_boxes_fill_and_outline_can_be_switched(panel, ct):
    panel.draw(ct, 1)
    panel.go_to(1)
    display, segment = panel.case.segmentationNode.GetDisplayNode(), panel.case.segmentId
    (box,) = (roi.node.GetDisplayNode() for roi in panel.logic.boxes.rois.shown)
    shown = {
        "boxesCheck": box.GetVisibility,
        "fillCheck": lambda: display.GetSegmentVisibility2DFill(segment),
        "outlineCheck": lambda: display.GetSegmentVisibility2DOutline(segment),
    }
    for name, is_shown in shown.items():
        assert is_shown(), name
        panel.click(name)
        assert not is_shown(), name
        panel.click(name)
        assert is_shown(), name


def test_add_delete_and_reset_change_only_the_slice_in_view(panel, ct):
    box = panel.draw(ct, 1)
    panel.go_to(2)
    assert panel.case.state(2).boxes == ()
    panel.click("addBoxButton")
    panel.wait()
    assert [box.source.value for box in panel.case.state(2).boxes] == ["edited"], panel.status
    panel.click("deleteBoxButton")
    panel.wait()
    assert panel.case.state(2).boxes == ()
    assert not panel.mask()[2].any()
    panel.go_to(1)
    panel.drag_edge("i_max", -8)
    panel.wait()
    assert panel.case.state(1).boxes[0].i_max < box.i_max
    panel.click("resetBoxButton")
    panel.wait()
    assert panel.case.state(1).boxes == (box,)
    assert sorted(panel.case.boxes()) == [1]
