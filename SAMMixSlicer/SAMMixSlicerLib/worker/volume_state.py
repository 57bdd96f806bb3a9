"""The module's own copy of an open volume: enough to show it, to undo, and to start a new process if one dies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from sammix_core.boxes import BoxTrack, SliceAxis
from sammix_core.segmentation.slice_state import SliceState
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import grid_from_ras
from SAMMixSlicerLib.worker.events import GuidanceFound, SliceChanged, SliceScored, VolumeEvent


class VolumeState:
    """One volume's slices as the module knows them, by index along the slice axis.

    Args:
        volumeId: The module's own name of the volume.
        array: (k, j, i) voxels; kept by reference for a new process.
        ijkToRas: (4, 4), voxel indices to RAS mm.
        spacingKnown: Whether the matrix holds real millimetres.
        states: The slices as they were.
        guidance: The result of an earlier run, from `GuidanceFound.guidance`.
        valuesAreHu: Whether the user says that the values are Hounsfield units.

    Attributes:
        openRequest: Number of the command that opened the volume.
        guidance: What a new process needs to continue as the previous one would; opaque, None before a run.
        sliceAxis: The axis along which the volume's axial slices are stacked.
        sliceCount: Number of slices.
        planeShape: (rows, cols) of a slice, in the volume's two in-plane axes.

    Raises:
        ValueError: A slice is out of range, or its mask has the wrong shape.
    """

    def __init__(
        self,
        volumeId: str,
        array: np.ndarray,
        ijkToRas: np.ndarray,
        spacingKnown: bool,
        states: Iterable[SliceState] = (),
        guidance: bytes | None = None,
        valuesAreHu: bool = False,
    ) -> None:
        self.volumeId = volumeId
        self.array = array
        self.ijkToRas = np.array(ijkToRas, dtype=np.float64)
        self.spacingKnown = spacingKnown
        self.valuesAreHu = valuesAreHu
        self.openRequest = 0
        self.guidance = guidance
        self.sliceAxis: SliceAxis = AxialOrder.from_direction(grid_from_ras(self.ijkToRas)[2]).slice_axis
        sizes = dict(zip("kji", array.shape, strict=True))
        self.sliceCount = sizes.pop(self.sliceAxis)
        rows, cols = sizes.values()
        self.planeShape = (rows, cols)
        self._states: dict[int, SliceState] = {}
        self._probabilities: dict[int, float] = {}
        self._localRequests: dict[int, int] = {}
        self.check(states := tuple(states))
        self._states.update((state.slice_index, state) for state in states)

    @property
    def states(self) -> Mapping[int, SliceState]:
        """The slices with a known state, as a live view."""
        return MappingProxyType(self._states)

    @property
    def probabilities(self) -> Mapping[int, float]:
        """The probability that each slice shows the structure, as far as the guidance network has run."""
        return MappingProxyType(self._probabilities)

    def state(self, sliceIndex: int) -> SliceState:
        """The state of a slice; an empty one where nothing is known."""
        return self._states.get(sliceIndex) or SliceState(sliceIndex)

    def boxes(self) -> BoxTrack:
        """The current boxes, as an independent track."""
        n_k, n_j, n_i = self.array.shape
        track = BoxTrack((n_i, n_j, n_k), self.sliceAxis)
        for state in self._states.values():
            track.restore(state.slice_index, state.boxes, state.deleted, state.deleted_boxes, state.clicks)
        return track

    def check(self, states: Iterable[SliceState]) -> None:
        """Checks that states belong to this volume.

        Raises:
            ValueError: A slice is out of range, or its mask has the wrong shape.
        """
        for state in states:
            if not 0 <= state.slice_index < self.sliceCount:
                raise ValueError(f"slice {state.slice_index} is outside 0 to {self.sliceCount - 1}")
            if state.mask is not None and state.mask.shape != self.planeShape:
                raise ValueError(f"the mask of slice {state.slice_index} is {state.mask.shape}, not {self.planeShape}")

    # The methods below are for the worker.

    def setLocally(self, states: Iterable[SliceState], request: int) -> None:
        """Sets slices from the module's side; events that the process sent before it received them are outdated."""
        for state in states:
            self._states[state.slice_index] = state
            self._localRequests[state.slice_index] = request

    def apply(self, event: VolumeEvent) -> bool:
        """Applies an event from the process.

        Returns:
            Whether it is news; False for an outdated state, or one that was set locally.
        """
        if isinstance(event, SliceScored):
            self._probabilities[event.slice_index] = event.probability
        elif isinstance(event, GuidanceFound):
            self.guidance = event.guidance
            self._probabilities.update(event.probabilities)
        elif isinstance(event, SliceChanged):
            index = event.state.slice_index
            request = self._localRequests.get(index)
            if request is not None:
                if event.request == request:
                    del self._localRequests[index]
                return False
            self._states[index] = event.state
        return True

    def forgetPending(self, request: int | None = None) -> None:
        """Stops waiting for the process to confirm locally set slices, of one command or of all."""
        self._localRequests = {
            index: pending for index, pending in self._localRequests.items() if request not in (None, pending)
        }
