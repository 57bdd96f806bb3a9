"""The scene and its logics, as Slicer makes them when it starts."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

# slicer-core imports a part of VTK's modules by itself; all of vtk first, so that classes know their bases.
import vtk  # isort: skip
import slicer
import slicer.util

from slicer_host.scene.application import CoreApplication
from slicer_host.scene.logics import start_logics
from slicer_host.scene.subject_hierarchy import SubjectHierarchyItems


def _make_namespaces() -> None:
    for name in ("modules", "moduleNames"):
        module = types.ModuleType(f"slicer.{name}")
        sys.modules[module.__name__] = module
        setattr(slicer, name, module)


def _make_scene() -> Any:
    scene = slicer.vtkMRMLScene()
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    return scene


def _make_application_logic(scene: Any) -> Any:
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    logic.GetColorLogic().SetMRMLScene(scene)
    logic.GetColorLogic().AddDefaultColorNodes()
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance().SetMRMLApplicationLogic(logic)
    slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance().SetMRMLApplicationLogic(logic)
    return logic


def _support_bundles(application: Any) -> tuple[Any, Any]:
    """What MRML needs to read and write .mrb: a cache and the manager of data transfers. To be kept alive."""
    scene, main = application.mrmlScene(), application.applicationLogic()
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLScene(scene)
    remote.SetMRMLApplicationLogic(main)
    remote.GetCacheManager().SetRemoteCacheDirectory(application.temporaryPath)
    transfers = slicer.vtkDataIOManagerLogic()
    transfers.SetMRMLScene(scene)
    transfers.SetMRMLApplicationLogic(main)
    transfers.SetAndObserveDataIOManager(remote.GetDataIOManager())
    remote.AddDataIOToScene()
    return remote, transfers


def boot(application_class: Callable[[Any, Any], CoreApplication] = CoreApplication) -> Any:
    """Make ``slicer.mrmlScene``, ``slicer.app`` and ``slicer.modules``, once in a process.

    Args:
        application_class: called with the scene and the application logic; the Qt host gives its own.

    Returns:
        ``slicer.app``.
    """
    if getattr(slicer, "app", None) is not None:
        return slicer.app
    _make_namespaces()
    # VTK's own window for messages would need a display on Windows.
    output = vtk.vtkOutputWindow()
    output.SetDisplayModeToAlwaysStdErr()
    vtk.vtkOutputWindow.SetInstance(output)

    scene = _make_scene()
    application = application_class(scene, _make_application_logic(scene))
    slicer.app, slicer.mrmlScene = application, scene
    application.bundle_support = _support_bundles(application)
    start_logics(application)
    application.hierarchy_items = SubjectHierarchyItems(scene)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    return application
