"""What a worker tells, and to whom each event goes."""

from __future__ import annotations

from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import descriptions as d
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker import lesion_events as le


class WorkerSignals:
    """The signals of a worker; slots get the event.

    Attributes:
        stateChanged: (WorkerState, sentence).
        described: (Description).
        modelLoaded: (ModelLoaded), also after the process was started anew.
        volumeOpened: (VolumeOpened), likewise.
        progressed: (Progressed).
        sliceSeen: (SliceSeen).
        guidanceFound: (GuidanceFound).
        sliceChanged: (SliceChanged); the held volume has the change by then.
        camReady: (CamSlice).
        measured: (Measured).
        surfaceMade: (SurfaceMade).
        correctionsKept: (CorrectionsKept).
        lesionsFound: (LesionsFound).
        lesionGrown: (LesionGrown).
        lesionsMeasured: (LesionsMeasured).
        cancelTaken: (CancelTaken).
        finished: (Finished).
        died: (sentence, detail): the process ended without being told to; told before what was lost with it.
    """

    def __init__(self) -> None:
        self.stateChanged = Signal()
        self.described = Signal()
        self.modelLoaded = Signal()
        self.volumeOpened = Signal()
        self.progressed = Signal()
        self.sliceSeen = Signal()
        self.guidanceFound = Signal()
        self.sliceChanged = Signal()
        self.camReady = Signal()
        self.measured = Signal()
        self.surfaceMade = Signal()
        self.correctionsKept = Signal()
        self.lesionsFound = Signal()
        self.lesionGrown = Signal()
        self.lesionsMeasured = Signal()
        self.cancelTaken = Signal()
        self.finished = Signal()
        self.died = Signal()
        self._signalOf: dict[type, Signal] = {
            d.Description: self.described,
            d.ModelLoaded: self.modelLoaded,
            e.VolumeOpened: self.volumeOpened,
            e.Progressed: self.progressed,
            e.SliceSeen: self.sliceSeen,
            e.GuidanceFound: self.guidanceFound,
            e.SliceChanged: self.sliceChanged,
            e.CamSlice: self.camReady,
            e.Measured: self.measured,
            e.SurfaceMade: self.surfaceMade,
            e.CorrectionsKept: self.correctionsKept,
            le.LesionsFound: self.lesionsFound,
            le.LesionGrown: self.lesionGrown,
            le.LesionsMeasured: self.lesionsMeasured,
            e.CancelTaken: self.cancelTaken,
            e.Finished: self.finished,
        }

    def _tell(self, event: object) -> None:
        signal = self._signalOf.get(type(event))
        if signal is not None:
            signal.emit(event)
