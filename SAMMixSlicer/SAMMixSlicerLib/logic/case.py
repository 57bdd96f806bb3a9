"""One volume that is worked on: its nodes in the scene, and what is known of its slices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sammix_core.boxes import BoxTrack
from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.logic.undo import UndoStack
from SAMMixSlicerLib.logic.volume_source import VolumeSource
from SAMMixSlicerLib.scene import case_node, segment_output
from SAMMixSlicerLib.scene.labelmap import SegmentLabelmap
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import MaskOnGrid, Worker


class Case:
    """A volume, the segment that its masks go to, and the states of its slices.

    While the volume is open in the worker, the worker holds the states; before that (a scene was just loaded) they
    are kept here. Masks are shown in the segment as soon as they change.

    Args:
        node: The case's node in the scene.
        worker: Computes.

    Attributes:
        changed: Emits (slice indices) when boxes, masks or what is known of slices has changed.
        aboutToWrite: Emits (case) before computed masks are written, so that a change by hand is seen before.
        undo: What can be undone.
        isSetting: Whether slices are just being set, which are shown together.
        model: The model that the masks are from, "liver/1.0.0", or "".
        target: What is segmented, "liver".

    Raises:
        InputError: The volume has no image, or a geometry that cannot be used.
    """

    def __init__(self, node: Any, worker: Worker) -> None:
        self.changed = Signal()
        self.aboutToWrite = Signal()
        self.node = node
        self.isSetting = False
        self.model = ""
        self.target = "liver"
        self._worker = worker
        self._volumeNode = node.GetNodeReference(case_node.VOLUME)
        self.volumeId: str = self._volumeNode.GetID()
        self._openedAs: tuple[Any, ...] | None = None
        self._labelmap: SegmentLabelmap | None = None
        self._kept: dict[int, SliceState] = {}
        self._keptProbabilities: dict[int, float] = {}
        self._keptGuidance: bytes | None = None
        self._savedGuidance: bytes | None = None
        self._source = VolumeSource(self._volumeNode)
        self.shapeKji, self.sliceAxis = self._source.shapeKji, self._source.sliceAxis
        self.undo = UndoStack(self.state, lambda states: self.setStates(states.values()))
        # After every action, since Slicer does not tell before it writes a scene.
        self.undo.changed.connect(self.save)

    @property
    def volumeNode(self) -> Any:
        """The CT."""
        return self._volumeNode

    @property
    def segmentationNode(self) -> Any:
        """The segmentation that is written to, or None."""
        return self.node.GetNodeReference(case_node.SEGMENTATION)

    @property
    def segmentId(self) -> str:
        """The segment that is written to, or ""."""
        return case_node.segmentIdOf(self.node)

    @property
    def labelmap(self) -> SegmentLabelmap | None:
        """The segment's labelmap; None while there is no segment, or where the user removed it."""
        found = self._labelmap
        if found is None:
            return None
        there = self.segmentationNode is found.segmentationNode
        if not there or found.segmentationNode.GetSegmentation().GetSegment(found.segmentId) is None:
            self._labelmap = None
        return self._labelmap

    @property
    def sliceCount(self) -> int:
        """How many slices the volume has along its slice axis."""
        return self.shapeKji["kji".index(self.sliceAxis)]

    @property
    def isOpen(self) -> bool:
        """Whether the worker holds the volume."""
        return self._worker.volume(self.volumeId) is not None

    @property
    def states(self) -> Mapping[int, SliceState]:
        """The slices of which something is known, by index."""
        held = self._worker.volume(self.volumeId)
        return self._kept if held is None else held.states

    @property
    def probabilities(self) -> Mapping[int, float]:
        """The probability of each slice that was looked at, by index."""
        held = self._worker.volume(self.volumeId)
        return (held.probabilities if held is not None else None) or self._keptProbabilities

    @property
    def _guidance(self) -> bytes | None:
        held = self._worker.volume(self.volumeId)
        return (held.guidance if held is not None else None) or self._keptGuidance

    def state(self, index: int) -> SliceState:
        """What is known of a slice."""
        return self.states.get(index) or SliceState(index)

    def boxes(self) -> BoxTrack:
        """The boxes, as a track of their own."""
        n_k, n_j, n_i = self.shapeKji
        found = [state.box for state in self.states.values() if state.box is not None]
        track = BoxTrack((n_i, n_j, n_k), self.sliceAxis, found)
        for state in self.states.values():
            if state.deleted:
                track.delete(state.slice_index)
        return track

    def maskOnGrid(self, ijkToRas: np.ndarray) -> MaskOnGrid:
        """The whole mask, packed, for the worker.

        Args:
            ijkToRas: (4, 4), voxel indices to the RAS mm in which it is wanted.
        """
        planes = {index: state.mask for index, state in self.states.items() if state.mask is not None}
        return MaskOnGrid(self.shapeKji, self.sliceAxis, planes, ijkToRas)

    def corrected(self) -> list[int]:
        """The slices that were corrected by hand, sorted."""
        return sorted(index for index, state in self.states.items() if state.corrected)

    def setStates(self, states: Iterable[SliceState]) -> None:
        """Puts slices back as they are given; nothing is computed."""
        states = tuple(states)
        if self.isOpen:
            self.isSetting = True
            try:
                self._worker.setStates(self.volumeId, states)
            finally:
                self.isSetting = False
        else:
            self._kept.update((state.slice_index, state) for state in states)
        self.showChanged(state.slice_index for state in states)

    def showChanged(self, indices: Iterable[int]) -> None:
        """Shows slices as they are now: writes their masks into the segment, and tells who listens."""
        indices = list(indices)
        self.aboutToWrite.emit(self)  # a slice may turn out to have been corrected by hand
        if self.labelmap is not None:
            self.labelmap.writePlanes(self.sliceAxis, {index: self._plane(self.state(index)) for index in indices})
        self.changed.emit(indices)

    def open(self) -> None:
        """Gives the volume to the worker, unless it has it as it is now.

        Raises:
            InputError: The volume was turned since its boxes were made, or its geometry cannot be used.
        """
        now = self._source.fingerprint()
        if self.isOpen and now == self._openedAs:
            return
        self._source.check()
        states, probabilities = dict(self.states), dict(self.probabilities)
        # What was found in other voxels is of no use.
        guidance = self._guidance if self._openedAs in (None, now) else None
        self._worker.openVolume(
            self.volumeId,
            self._source.array(),
            self._source.matrix(),
            spacingKnown=self._source.isSpacingKnown(),
            states=tuple(states.values()),
            guidance=guidance,
        )
        self._openedAs, self._kept, self._keptProbabilities, self._keptGuidance = now, {}, probabilities, None

    def close(self) -> None:
        """Takes the volume from the worker; what was known stays here."""
        if self.isOpen:
            self._kept, self._keptProbabilities = dict(self.states), dict(self.probabilities)
            self._keptGuidance = self._guidance
            self._worker.closeVolume(self.volumeId)
        self._openedAs = None

    def useSegmentation(self, segmentationNode: Any, isNew: bool = False) -> None:
        """Makes sure that there is a segment to write to, with the masks that there are.

        Args:
            segmentationNode: The one the user chose, or None for the case's own, which is made if needed.
            isNew: Whether the user wants a new one although there is one; that one stays as it is.

        Raises:
            InputError: The segmentation cannot take a labelmap.
        """
        if segmentationNode is None and not isNew:
            segmentationNode = self.segmentationNode
        if self.labelmap is not None and self.labelmap.segmentationNode is segmentationNode:
            return
        if segmentationNode is None:
            segmentationNode = segment_output.newSegmentation(self._volumeNode, self.target)
        known = self.segmentId if segmentationNode is self.segmentationNode else ""
        segmentId = segment_output.outputSegment(segmentationNode, self._volumeNode, self.target, known)
        self.node.SetNodeReferenceID(case_node.SEGMENTATION, segmentationNode.GetID())
        case_node.setSegmentId(self.node, segmentId)
        self._labelmap = segment_output.openLabelmap(segmentationNode, segmentId, self._volumeNode)
        if segmentId == known:
            self._labelmap.acceptWhatIsThere()
        masks = [state for state in self.states.values() if state.mask is not None]
        self._labelmap.writePlanes(self.sliceAxis, {state.slice_index: self._plane(state) for state in masks})

    def save(self) -> None:
        """Writes what is known into the case's node, so that the scene keeps it."""
        case_node.writeStates(self.node, dict(self.states), dict(self.probabilities), self.model)
        if self._guidance is not self._savedGuidance:
            self._savedGuidance = self._guidance
            case_node.writeGuidance(self.node, self._guidance)

    def restore(self) -> None:
        """Takes what a loaded scene kept: the states of its node with the masks of its segment.

        Raises:
            InputError: What the node keeps cannot be read; masks are taken all the same.
        """
        node, segmentId = self.segmentationNode, self.segmentId
        states: dict[int, SliceState] = {}
        try:
            states, self._keptProbabilities, self.model = case_node.readStates(self.node)
            self._keptGuidance = case_node.readGuidance(self.node)
        finally:
            if node is not None and segmentId and node.GetSegmentation().GetSegment(segmentId) is not None:
                self._labelmap = segment_output.openLabelmap(node, segmentId, self._volumeNode)
                states = case_node.withMasks(states, self._labelmap.acceptWhatIsThere(), self.sliceAxis)
            self._kept = states

    def _plane(self, state: SliceState) -> np.ndarray:
        if state.mask is not None:
            return state.mask.unpack()
        rows, cols = (size for axis, size in zip("kji", self.shapeKji, strict=True) if axis != self.sliceAxis)
        return np.zeros((rows, cols), dtype=np.uint8)
