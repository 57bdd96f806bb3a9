"""The module logics of slicer-core, and the order in which they are started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from slicer_host.scene.modules import Module
from slicer_host.scene.terminology import write_terminologies

# name in slicer.modules: class of the logic. The colours are the application logic's own.
_LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Data": "vtkSlicerDataModuleLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "SceneViews": "vtkSlicerSceneViewsModuleLogic",
    "Units": "vtkSlicerUnitsLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
}


def start_logics(application: Any) -> None:
    """Make every module logic of slicer-core and register it as ``slicer.modules.<name>``."""
    main = application.applicationLogic()
    main.SetModuleLogic("Colors", main.GetColorLogic())
    application.moduleManager().add(Module("Colors", main.GetColorLogic()))
    for name, class_name in _LOGICS.items():
        logic = getattr(slicer, class_name)()
        if name == "Terminologies":
            terminologies = Path(application.temporaryPath) / "terminologies"
            write_terminologies(terminologies)
            logic.SetModuleShareDirectory(str(terminologies))
        # Before the scene: some logics look the application logic up while they are given the scene.
        logic.SetMRMLApplicationLogic(main)
        logic.SetMRMLScene(application.mrmlScene())
        main.SetModuleLogic(name, logic)
        application.moduleManager().add(Module(name, logic))
