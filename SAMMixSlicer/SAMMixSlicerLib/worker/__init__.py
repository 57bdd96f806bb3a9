"""Segmentation in a process of its own, for a module whose main thread must never wait.

The module uses `Worker`, its commands and its events; the other modules of this package are internal, and `child` runs
in the computing process. Nothing here imports slicer, vtk, qt or torch, and nothing here starts a Python thread:
Slicer's main thread holds the GIL while Qt idles, so a thread would make no progress.
"""

from SAMMixSlicerLib.worker.descriptions import Description, DeviceInfo, Hello, ModelInfo, ModelLoaded
from SAMMixSlicerLib.worker.events import (
    CamReady,
    CancelAcknowledged,
    CorrectionsSaved,
    Event,
    Finished,
    GuidanceFound,
    MaskMeasured,
    Outcome,
    Progressed,
    SliceChanged,
    SliceScored,
    SurfaceMade,
    VolumeOpened,
)
from SAMMixSlicerLib.worker.lesion_events import LesionsFound, LesionsMeasured, LesionUpdated
from SAMMixSlicerLib.worker.mask_on_grid import MaskOnGrid
from SAMMixSlicerLib.worker.supervisor import ProcessDied
from SAMMixSlicerLib.worker.volume_state import VolumeState
from SAMMixSlicerLib.worker.worker import Worker, WorkerState

__all__ = [
    "CamReady",
    "CancelAcknowledged",
    "CorrectionsSaved",
    "Description",
    "DeviceInfo",
    "Event",
    "Finished",
    "GuidanceFound",
    "Hello",
    "LesionUpdated",
    "LesionsFound",
    "LesionsMeasured",
    "MaskMeasured",
    "MaskOnGrid",
    "ModelInfo",
    "ModelLoaded",
    "Outcome",
    "ProcessDied",
    "Progressed",
    "SliceChanged",
    "SliceScored",
    "SurfaceMade",
    "VolumeOpened",
    "VolumeState",
    "Worker",
    "WorkerState",
]
