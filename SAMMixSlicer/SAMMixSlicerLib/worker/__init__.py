"""Segmentation in a process of its own, for a module whose main thread must never wait.

`Worker` is what the module uses; the other modules of this package are its parts, and `child` is what runs on the other
side. Nothing here imports slicer, vtk, qt or torch, and nothing here starts a Python thread: Slicer's main thread holds
the interpreter's lock while Qt idles, so that a thread stands still there.
"""

from SAMMixSlicerLib.worker.descriptions import Description, DeviceInfo, Hello, ModelInfo, ModelLoaded
from SAMMixSlicerLib.worker.events import (
    CamSlice,
    CancelTaken,
    CorrectionsKept,
    Finished,
    GuidanceFound,
    Measured,
    Outcome,
    Progressed,
    SliceChanged,
    SliceSeen,
    SurfaceMade,
    VolumeOpened,
)
from SAMMixSlicerLib.worker.held_volume import HeldVolume
from SAMMixSlicerLib.worker.lesion_events import LesionGrown, LesionsFound, LesionsMeasured
from SAMMixSlicerLib.worker.mask_on_grid import MaskOnGrid
from SAMMixSlicerLib.worker.worker import Worker
from SAMMixSlicerLib.worker.worker_state import WorkerState

__all__ = [
    "CamSlice",
    "CancelTaken",
    "CorrectionsKept",
    "Description",
    "DeviceInfo",
    "Finished",
    "GuidanceFound",
    "HeldVolume",
    "Hello",
    "LesionGrown",
    "LesionsFound",
    "LesionsMeasured",
    "MaskOnGrid",
    "Measured",
    "ModelInfo",
    "ModelLoaded",
    "Outcome",
    "Progressed",
    "SliceChanged",
    "SliceSeen",
    "SurfaceMade",
    "VolumeOpened",
    "Worker",
    "WorkerState",
]
