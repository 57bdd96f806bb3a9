"""What must be set before VTK and Qt are loaded, and whether they can draw here at all."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import cache

_VARIABLES = {"QT_QPA_PLATFORM": "offscreen"}
if sys.platform == "linux":
    # A window of its own choice would be X11's, which needs a display.
    _VARIABLES["VTK_DEFAULT_OPENGL_WINDOW"] = "vtkEGLRenderWindow"

_NEEDED = {"slicer_core": "slicer-core", "PySide6": "PySide6-Essentials"}

# Loaded and drawn once in a process of its own: a driver that is missing or broken may end the process that tries.
_PROBE = """
import vtk
import slicer
from PySide6 import QtWidgets
QtWidgets.QApplication([])
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(16, 16)
renderer = vtk.vtkRenderer()
renderer.SetBackground(1, 0, 0)
window.AddRenderer(renderer)
window.Render()
image = vtk.vtkWindowToImageFilter()
image.SetInput(window)
image.Update()
red = image.GetOutput().GetScalarComponentAsDouble(8, 8, 0, 0)
assert red == 255, f"the window drew {red} where it should draw 255"
"""


def prepare() -> None:
    """Choose windows that need no display. Variables that the user has set stay."""
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)


@cache
def why_unavailable() -> str | None:
    """One sentence saying why the host cannot run here, or None where it can. Takes about 2 s the first time."""
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        return f"{' and '.join(missing)} not installed: pip install --editable '.[dev]'"
    prepare()
    try:
        probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "drawing one offscreen picture with VTK took more than 2 minutes"
    if probe.returncode == 0:
        return None
    # A crash leaves no message of its own, only the number of the signal.
    said = probe.stderr.strip().splitlines()[-1:] or [f"the process ended with {probe.returncode}"]
    return (
        f"VTK and Qt cannot draw offscreen here ({said[0]}); on Debian and Ubuntu: apt install libegl1 libgl1-mesa-dri"
    )
