"""Segmentation in a process of its own, for a module whose main thread must never wait.

`Worker` is what the module uses; the other modules of this package are its parts, and `child` is what runs on the other
side. Nothing here imports slicer, vtk, qt or torch, and nothing here starts a Python thread: Slicer's main thread holds
the interpreter's lock while Qt idles, so that a thread stands still there.
"""

from SAMMixSlicerLib.worker.held_volume import HeldVolume
from SAMMixSlicerLib.worker.messages import (
    CamSlice,
    CancelTaken,
    Description,
    DeviceInfo,
    Finished,
    GuidanceFound,
    Hello,
    ModelInfo,
    ModelLoaded,
    Outcome,
    Progressed,
    SliceChanged,
    SliceSeen,
    VolumeOpened,
)
from SAMMixSlicerLib.worker.worker import Worker, WorkerState

__all__ = [
    "CamSlice",
    "CancelTaken",
    "Description",
    "DeviceInfo",
    "Finished",
    "GuidanceFound",
    "HeldVolume",
    "Hello",
    "ModelInfo",
    "ModelLoaded",
    "Outcome",
    "Progressed",
    "SliceChanged",
    "SliceSeen",
    "VolumeOpened",
    "Worker",
    "WorkerState",
]
