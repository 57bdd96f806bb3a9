"""The whole host: scene, views, Qt, and the Python modules that Slicer brings."""

from __future__ import annotations

import locale
import sys
import types
from pathlib import Path
from typing import Any

from slicer_host import environment

environment.prepare()

from slicer_host.scene.boot import boot  # noqa: E402  isort: skip - after the variables, as all of these

import slicer  # noqa: E402
from PySide6.QtCore import QCoreApplication  # noqa: E402
from PySide6.QtWidgets import QApplication  # noqa: E402

from slicer_host.qt_application import Application  # noqa: E402


def _offer_widgets() -> None:
    """Put the stand-ins where Slicer has the real ones: ctk's in the module ``ctk``, the others in ``slicer``."""
    from slicer_host.module_widget import qSlicerScriptedLoadableModuleWidget
    from slicer_host.scene.modules import Module
    from slicer_host.widgets.registry import WIDGETS

    ctk = types.ModuleType("ctk")
    for name, widget in WIDGETS.items():
        setattr(ctk if name.startswith("ctk") else slicer, name, widget)
    sys.modules["ctk"] = ctk
    slicer.qSlicerScriptedLoadableModuleWidget = qSlicerScriptedLoadableModuleWidget
    slicer.qSlicerScriptedLoadableModule = Module


def start() -> Any:
    """Start the host, once in a process.

    Returns:
        ``slicer.app``. ``slicer``, ``qt`` and ``ctk`` can be imported as in Slicer from then on.
    """
    if getattr(slicer, "app", None) is not None:
        return slicer.app
    if QApplication.instance() is None:
        QApplication(["slicer_host"])
        # Qt has taken the user's locale; files are read and written with decimal points, in Slicer as well.
        locale.setlocale(locale.LC_NUMERIC, "C")
    QCoreApplication.setOrganizationName("slicer_host")
    application = boot(Application)
    # These load every widget class, and the next line changes how the classes of PySide6 answer.
    from slicer_host.layout_manager import qSlicerLayoutManager
    from slicer_host.main_window import MainWindow
    from slicer_host.pythonqt.qt_module import make_qt_module
    from slicer_host.segment_editor_module import add_segment_editor
    from slicer_host.widgets import load_all

    load_all()
    make_qt_module()
    _offer_widgets()
    # slicer.i18n and the like, and modules of Slicer that are imported by their own name
    slicer.__path__.append(str(Path(__file__).parent / "slicer_python"))
    sys.path.append(str(Path(__file__).parent / "slicer_modules"))
    application.setLayoutManager(qSlicerLayoutManager())
    add_segment_editor(application)
    # Kept by the application, as nothing else holds it
    application.main_window = MainWindow(application.layoutManager())
    return application
