"""What a worker tells, and to whom each event goes."""

from __future__ import annotations

from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import messages as m


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
        self.cancelTaken = Signal()
        self.finished = Signal()
        self.died = Signal()
        self._signalOf: dict[type, Signal] = {
            m.Description: self.described,
            m.ModelLoaded: self.modelLoaded,
            m.VolumeOpened: self.volumeOpened,
            m.Progressed: self.progressed,
            m.SliceSeen: self.sliceSeen,
            m.GuidanceFound: self.guidanceFound,
            m.SliceChanged: self.sliceChanged,
            m.CamSlice: self.camReady,
            m.CancelTaken: self.cancelTaken,
            m.Finished: self.finished,
        }

    def _tell(self, event: object) -> None:
        signal = self._signalOf.get(type(event))
        if signal is not None:
            signal.emit(event)
