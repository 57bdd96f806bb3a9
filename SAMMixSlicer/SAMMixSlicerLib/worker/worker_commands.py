"""The commands of a worker that need nothing but to be sent."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sammix_core.boxes import Box
from sammix_core.lesions.state import Ijk, LesionState
from sammix_core.masks.boxed_mask import BoxedMask
from sammix_core.segmentation.slice_state import SliceState
from sammix_core.volume_io.segments import Segment
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker import lesion_commands as lc
from SAMMixSlicerLib.worker import mask_commands as mc
from SAMMixSlicerLib.worker.held_volume import HeldVolume
from SAMMixSlicerLib.worker.mask_on_grid import MaskOnGrid


class WorkerCommands:
    """Each returns the command's number at once, and ends with exactly one `finished`."""

    sliceChanged: Signal
    _volumes: dict[str, HeldVolume]

    def _next(self) -> int:
        raise NotImplementedError

    def _submit(self, command: c.Command) -> int:
        raise NotImplementedError

    def describe(self) -> int:
        """Asks what is installed: `described`."""
        return self._submit(c.Describe(self._next()))

    def run(self, volumeId: str) -> int:
        """Finds boxes and segments: `progressed`, `sliceSeen`, `guidanceFound`, `sliceChanged`."""
        return self._submit(c.Run(self._next(), volumeId))

    def segmentSlice(self, volumeId: str, box: Box, force: bool = False) -> int:
        """Segments one slice from a box: one `sliceChanged`. One corrected by hand needs `force`."""
        return self._submit(c.SegmentSlice(self._next(), volumeId, box, force))

    def segmentSlices(self, volumeId: str, slices: Iterable[int], force: bool = False) -> int:
        """Segments slices from the boxes that they have; those corrected by hand need `force`."""
        return self._submit(c.SegmentSlices(self._next(), volumeId, tuple(slices), force))

    def interpolate(self, volumeId: str, first: int | None = None, last: int | None = None, force: bool = False) -> int:
        """Fills the slices between edited boxes (from `first` to `last`, else all) and segments them."""
        return self._submit(c.Interpolate(self._next(), volumeId, first, last, force))

    def resetSlices(self, volumeId: str, slices: Iterable[int], force: bool = False) -> int:
        """Takes slices back to their automatic boxes, and segments them."""
        return self._submit(c.ResetSlices(self._next(), volumeId, tuple(slices), force))

    def setStates(self, volumeId: str, states: Iterable[SliceState]) -> int:
        """Puts slices back as they are given; computes nothing, and tells `sliceChanged` before it returns.

        Raises:
            ValueError: A state is not of this volume.
        """
        held, states = self._volumes[volumeId], tuple(states)
        held.check(states)
        request = self._next()
        held.setHere(states, request)
        self._submit(c.SetStates(request, volumeId, states))
        for state in states:
            self.sliceChanged.emit(e.SliceChanged(volumeId, request, state, {}))
        return request

    def clearSlice(self, volumeId: str, sliceIndex: int) -> int:
        """Says that nothing is on a slice: takes box and mask away as `setStates` does, and no automatic one comes."""
        return self.setStates(volumeId, [self._volumes[volumeId].state(sliceIndex).cleared()])

    def correctSlice(self, volumeId: str, sliceIndex: int, mask: np.ndarray) -> int:
        """Takes a mask made by hand, (rows, cols), as `setStates` does; it is protected from being made anew."""
        return self.setStates(volumeId, [self._volumes[volumeId].state(sliceIndex).corrected_to(mask)])

    def prepareSlices(self, volumeId: str, slices: Iterable[int]) -> int:
        """Lets slices that may be edited next (those in view) be encoded while there is nothing else to do."""
        return self._submit(c.PrepareSlices(self._next(), volumeId, tuple(slices)))

    def showCam(self, volumeId: str, slices: Iterable[int]) -> int:
        """Asks for class activation maps: a `camReady` each."""
        return self._submit(c.ShowCam(self._next(), volumeId, tuple(slices)))

    def writeLabelmap(self, volumeId: str, mask: MaskOnGrid, spacingKnown: bool, path: str, segment: Segment) -> int:
        """Writes a mask as a labelmap file; the volume need not be open."""
        return self._submit(mc.WriteLabelmap(self._next(), volumeId, mask, spacingKnown, path, segment))

    def measure(self, volumeId: str, mask: MaskOnGrid) -> int:
        """Measures a mask of an open volume: `measured`."""
        return self._submit(mc.Measure(self._next(), volumeId, mask))

    def makeSurface(self, volumeId: str, mask: MaskOnGrid, smoothing: float) -> int:
        """Makes the surface of a mask: `surfaceMade`; the volume need not be open."""
        return self._submit(mc.MakeSurface(self._next(), volumeId, mask, smoothing))

    def keepCorrections(
        self, volumeId: str, slices: Iterable[int], folder: str, target: str, accepted: bool = False
    ) -> int:
        """Keeps corrected slices for fine-tuning, and forgets those that are not corrected any more: `correctionsKept`.

        Args:
            volumeId: An open volume.
            slices: Which.
            folder: Of the correction set.
            target: What the masks show.
            accepted: Whether a person has found masks of the model right.
        """
        return self._submit(mc.KeepCorrections(self._next(), volumeId, tuple(slices), folder, target, accepted))

    def findLesions(self, volumeId: str, kept: Iterable[BoxedMask]) -> int:
        """Looks for lesions in the liver as it is segmented: `progressed`, `lesionsFound`."""
        return self._submit(lc.FindLesions(self._next(), volumeId, tuple(kept)))

    def clickLesion(
        self, volumeId: str, ijk: Ijk, inside: bool, lesions: Iterable[LesionState], target: int = 0
    ) -> int:
        """Takes a click inside or outside a lesion, as `ClickLesion` says: `progressed`, `lesionGrown`."""
        return self._submit(lc.ClickLesion(self._next(), volumeId, ijk, inside, tuple(lesions), target))

    def refineLesion(self, volumeId: str, number: int, lesions: Iterable[LesionState]) -> int:
        """Refines a lesion by one stage, as `RefineLesion` says: `progressed`, `lesionGrown`."""
        return self._submit(lc.RefineLesion(self._next(), volumeId, number, tuple(lesions)))

    def measureLesions(self, volumeId: str, lesions: dict[int, BoxedMask]) -> int:
        """Measures lesions, by number: `lesionsMeasured`."""
        return self._submit(lc.MeasureLesions(self._next(), volumeId, lesions))

    def writeLesions(
        self, volumeId: str, liver: MaskOnGrid, lesions: dict[int, BoxedMask], spacingKnown: bool, path: str
    ) -> int:
        """Writes liver and lesions as one labelmap file; the volume need not be open."""
        return self._submit(lc.WriteLesions(self._next(), volumeId, liver, lesions, spacingKnown, path))
