"""What the module holds of a volume in work: enough to show it, to undo, and to start a new process where one died."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from sammix_core.boxes import BoxTrack, SliceAxis
from sammix_core.segmentation.slice_state import SliceState
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import grid_from_ras
from SAMMixSlicerLib.worker.events import GuidanceFound, SliceChanged, SliceSeen, VolumeEvent


class HeldVolume:
    """One volume's slices as the module knows them, by index along the slice axis.

    Args:
        volumeId: The module's own name of the volume.
        array: (k, j, i) voxels; kept by reference for a new process.
        ijkToRas: (4, 4), voxel indices to RAS mm.
        spacingKnown: Whether the matrix says real millimetres.
        states: Slices as they were left.
        guidance: What an earlier run found, as `GuidanceFound.guidance` says it.

    Attributes:
        openedBy: The command that opened it.
        guidance: What a new process needs to go on as the one before would; opaque, None before a run.
        sliceAxis: The axis along which the volume's axial slices are stacked.
        sliceCount: How many there are.
        planeShape: (rows, cols) of such a slice, in the volume's two in-plane axes.
    """

    def __init__(
        self,
        volumeId: str,
        array: np.ndarray,
        ijkToRas: np.ndarray,
        spacingKnown: bool,
        states: Iterable[SliceState] = (),
        guidance: bytes | None = None,
    ) -> None:
        self.volumeId = volumeId
        self.array = array
        self.ijkToRas = np.array(ijkToRas, dtype=np.float64)
        self.spacingKnown = spacingKnown
        self.openedBy = 0
        self.guidance = guidance
        self.sliceAxis: SliceAxis = AxialOrder.from_direction(grid_from_ras(self.ijkToRas)[2]).slice_axis
        sizes = dict(zip("kji", array.shape, strict=True))
        self.sliceCount = sizes.pop(self.sliceAxis)
        rows, cols = sizes.values()
        self.planeShape = (rows, cols)
        self._states: dict[int, SliceState] = {}
        self._probabilities: dict[int, float] = {}
        self._setHere: dict[int, int] = {}
        self.check(states := tuple(states))
        self._states.update((state.slice_index, state) for state in states)

    @property
    def states(self) -> Mapping[int, SliceState]:
        """Slices that anything is known of, as a view that follows what happens."""
        return MappingProxyType(self._states)

    @property
    def probabilities(self) -> Mapping[int, float]:
        """Each slice's probability of showing the structure, as far as they were looked at."""
        return MappingProxyType(self._probabilities)

    def state(self, sliceIndex: int) -> SliceState:
        """What is known of a slice."""
        return self._states.get(sliceIndex) or SliceState(sliceIndex)

    def boxes(self) -> BoxTrack:
        """The boxes in use, as a track of its own; for the file `sammix-boxes/1`."""
        n_k, n_j, n_i = self.array.shape
        track = BoxTrack((n_i, n_j, n_k), self.sliceAxis)
        for state in self._states.values():
            if state.deleted:
                track.delete(state.slice_index)
            elif state.box is not None:
                track.set(state.box)
        return track

    def check(self, states: Iterable[SliceState]) -> None:
        """Makes sure that states are of this volume.

        Raises:
            ValueError: A slice is not one of it, or its mask has another shape.
        """
        for state in states:
            if not 0 <= state.slice_index < self.sliceCount:
                raise ValueError(f"slice {state.slice_index} is outside 0 to {self.sliceCount - 1}")
            if state.mask is not None and state.mask.shape != self.planeShape:
                raise ValueError(f"the mask of slice {state.slice_index} is {state.mask.shape}, not {self.planeShape}")

    # What follows is for the worker.

    def setHere(self, states: Iterable[SliceState], request: int) -> None:
        """Takes slices that the module itself has set; what the process says of them before it knows is old."""
        for state in states:
            self._states[state.slice_index] = state
            self._setHere[state.slice_index] = request

    def take(self, event: VolumeEvent) -> bool:
        """Takes what the process says; whether it is news."""
        if isinstance(event, SliceSeen):
            self._probabilities[event.slice_index] = event.probability
        elif isinstance(event, GuidanceFound):
            self.guidance = event.guidance
            self._probabilities.update(event.probabilities)
        elif isinstance(event, SliceChanged):
            index = event.state.slice_index
            request = self._setHere.get(index)
            if request is not None:
                if event.request == request:
                    del self._setHere[index]
                return False
            self._states[index] = event.state
        return True

    def forgetWaiting(self, request: int | None = None) -> None:
        """Waits no longer for the process to know what was set here, by one command or at all."""
        self._setHere = {index: by for index, by in self._setHere.items() if request not in (None, by)}
