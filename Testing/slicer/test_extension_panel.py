"""The panel before anything is computed: what is missing, what Install does, About, sample data. Starts no process."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from panel_driver import MODULE


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
    monkeypatch.setattr(install_logic, "_isInstalled", lambda name: name in names)
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


def test_the_panel_draws_and_explains_itself_with_nothing_installed(ui, scene):
    import numpy as np
    import slicer

    slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.int16), name="ct")
    ui.volumeSelector.setCurrentNode(slicer.util.getNode("ct"))
    assert ui.installFrame.visible
    assert "torch, torchvision" in ui.installLabel.text
    assert "GB" in ui.installLabel.text
    assert not ui.segmentButton.enabled


def test_without_the_extension_pytorch_install_asks_for_it_and_installs_nothing(ui, asked, monkeypatch):
    from slicer_host import mouse

    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    mouse.click(ui.installButton)
    assert "extension PyTorch" in ui.statusLabel.text
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


def test_a_slicer_before_5_11_installs_with_pip_install(ui, pytorch, monkeypatch):
    import slicer
    from slicer_host import mouse

    calls = []
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", calls.append)
    mouse.click(ui.installButton)
    assert calls == [["-r", str(MODULE.parent / "Resources" / "requirements.txt")]]


def test_a_failure_of_pip_is_one_sentence(ui, pytorch, monkeypatch):
    from slicer import packaging
    from slicer_host import mouse

    def fail(*_, **__):
        raise RuntimeError("no route to host\nand much more")

    monkeypatch.setattr(packaging, "pip_ensure", fail)
    mouse.click(ui.installButton)
    assert "no route to host" in ui.statusLabel.text
    assert "\n" not in ui.statusLabel.text
    assert ui.installFrame.visible


def test_about_says_version_place_and_what_it_is_not(ui):
    import sammix_core

    ui.aboutSection.collapsed = False
    assert sammix_core.__version__ in ui.aboutLabel.text
    assert "sammix_core" in ui.aboutLabel.text
    assert "not a medical device" in ui.aboutLabel.text


def test_fine_tuning_can_be_started_or_says_why_not(ui):
    ui.fineTuneSection.collapsed = False
    assert ui.fineTuneButton.enabled or ui.fineTuneLabel.text.endswith(".")


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
