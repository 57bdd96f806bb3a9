"""One volume and its segmentation: the nodes in the scene, and the states of the slices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sammix_core.boxes import BoxTrack
from sammix_core.model_store.organs import DEFAULT_ORGAN
from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.logic.undo import UndoStack
from SAMMixSlicerLib.logic.volume_source import VolumeSource
from SAMMixSlicerLib.scene import case_node, segment_output
from SAMMixSlicerLib.scene.labelmap import SegmentLabelmap
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import MaskOnGrid, Worker


class Case:
    """A volume, the segment that receives its masks, and the states of its slices.

    While the volume is open in the worker, the worker holds the states; before that (after loading a scene) they are
    kept here. The segment shows masks as soon as they change.

    Args:
        node: The case's node in the scene.
        worker: The computing process.

    Attributes:
        changed: Emits (slice indices) when boxes, masks or scores of slices have changed.
        aboutToWrite: Emits (case) before computed masks are written, so that manual edits are noticed first.
        undo: The undo stack.
        isSetting: Whether slices are being set; they are shown together afterwards.
        model: The model that made the masks, "liver/1.0.0", or "".
        target: The structure that is segmented, "liver".
        source: The volume's voxels and geometry.

    Raises:
        InputError: The volume has no image, or a geometry that cannot be used.
    """

    def __init__(self, node: Any, worker: Worker) -> None:
        self.changed = Signal()
        self.aboutToWrite = Signal()
        self.node = node
        self.isSetting = False
        self.model = ""
        self.target = DEFAULT_ORGAN.name
        self._worker = worker
        self._volumeNode = node.GetNodeReference(case_node.VOLUME)
        self.volumeId: str = self._volumeNode.GetID()
        self._openedAs: tuple[Any, ...] | None = None
        self._labelmap: SegmentLabelmap | None = None
        self._localStates: dict[int, SliceState] = {}
        self._localProbabilities: dict[int, float] = {}
        self._localGuidance: bytes | None = None
        self._savedGuidance: bytes | None = None
        self.source = VolumeSource(self._volumeNode)
        self.shapeKji, self.sliceAxis = self.source.shapeKji, self.source.sliceAxis
        self.undo = UndoStack(self.state, lambda states: self.setStates(states.values()))
        # After every action, since Slicer sends no event before it saves a scene.
        self.undo.changed.connect(self.save)

    @property
    def volumeNode(self) -> Any:
        """The CT."""
        return self._volumeNode

    @property
    def segmentationNode(self) -> Any:
        """The output segmentation, or None."""
        return self.node.GetNodeReference(case_node.SEGMENTATION)

    @property
    def segmentId(self) -> str:
        """ID of the output segment, or ""."""
        return case_node.segmentIdOf(self.node)

    @property
    def labelmap(self) -> SegmentLabelmap | None:
        """The segment's labelmap; None while there is no segment, or after the user removed it."""
        labelmap = self._labelmap
        if labelmap is None:
            return None
        isSameNode = self.segmentationNode is labelmap.segmentationNode
        if not isSameNode or labelmap.segmentationNode.GetSegmentation().GetSegment(labelmap.segmentId) is None:
            self._labelmap = None
        return self._labelmap

    @property
    def sliceCount(self) -> int:
        """Number of slices along the volume's slice axis."""
        return self.shapeKji["kji".index(self.sliceAxis)]

    @property
    def isOpen(self) -> bool:
        """Whether the worker holds the volume."""
        return self._worker.volume(self.volumeId) is not None

    @property
    def states(self) -> Mapping[int, SliceState]:
        """The slices with a known state, by index."""
        volume = self._worker.volume(self.volumeId)
        return self._localStates if volume is None else volume.states

    @property
    def probabilities(self) -> Mapping[int, float]:
        """The probability that a slice shows the structure, by index; empty before a run."""
        volume = self._worker.volume(self.volumeId)
        return (volume.probabilities if volume is not None else None) or self._localProbabilities

    @property
    def _guidance(self) -> bytes | None:
        volume = self._worker.volume(self.volumeId)
        return (volume.guidance if volume is not None else None) or self._localGuidance

    def state(self, index: int) -> SliceState:
        """The state of a slice; an empty one if nothing is known."""
        return self.states.get(index) or SliceState(index)

    def boxes(self) -> BoxTrack:
        """The current boxes, as an independent track."""
        n_k, n_j, n_i = self.shapeKji
        track = BoxTrack((n_i, n_j, n_k), self.sliceAxis, grid=self.source.grid())
        for state in self.states.values():
            track.restore(state.slice_index, state.boxes, state.deleted, state.deleted_boxes, state.clicks)
        return track

    def maskOnGrid(self, ijkToRas: np.ndarray) -> MaskOnGrid:
        """The whole mask, packed, for the worker.

        Args:
            ijkToRas: (4, 4), voxel indices to RAS mm, the geometry of the result.
        """
        planes = {index: state.mask for index, state in self.states.items() if state.mask is not None}
        return MaskOnGrid(self.shapeKji, self.sliceAxis, planes, ijkToRas)

    def corrected(self) -> list[int]:
        """The slices that were corrected by hand, sorted."""
        return sorted(index for index, state in self.states.items() if state.corrected)

    def setStates(self, states: Iterable[SliceState]) -> None:
        """Sets slices and shows them; computes nothing."""
        states = tuple(states)
        if self.isOpen:
            self.isSetting = True
            try:
                self._worker.setStates(self.volumeId, states)
            finally:
                self.isSetting = False
        else:
            self._localStates.update((state.slice_index, state) for state in states)
        self.showChanged(state.slice_index for state in states)

    def showChanged(self, indices: Iterable[int]) -> None:
        """Writes the masks of slices into the segment and emits `changed`."""
        indices = list(indices)
        self.aboutToWrite.emit(self)  # this may mark slices as corrected by hand
        if self.labelmap is not None:
            self.labelmap.writeSlices(self.sliceAxis, {index: self._maskOf(self.state(index)) for index in indices})
        self.changed.emit(indices)

    def open(self) -> None:
        """Opens the volume in the worker, unless it is open and unchanged.

        Raises:
            InputError: The volume was reoriented after its boxes were made, or its geometry cannot be used.
        """
        fingerprint = (*self.source.fingerprint(), self.source.areValuesHu())
        if self.isOpen and fingerprint == self._openedAs:
            return
        self.source.check()
        states, probabilities = dict(self.states), dict(self.probabilities)
        # Guidance that was computed from other voxels is useless.
        guidance = self._guidance if self._openedAs in (None, fingerprint) else None
        self._worker.openVolume(
            self.volumeId,
            self.source.array(),
            self.source.matrix(),
            spacingKnown=self.source.isSpacingKnown(),
            valuesAreHu=self.source.areValuesHu(),
            states=tuple(states.values()),
            guidance=guidance,
        )
        self._openedAs = fingerprint
        self._localStates, self._localProbabilities, self._localGuidance = {}, probabilities, None

    def close(self) -> None:
        """Closes the volume in the worker; the states are kept here."""
        if self.isOpen:
            self._localStates, self._localProbabilities = dict(self.states), dict(self.probabilities)
            self._localGuidance = self._guidance
            self._worker.closeVolume(self.volumeId)
        self._openedAs = None

    def useSegmentation(self, segmentationNode: Any, isNew: bool = False) -> None:
        """Chooses the output segment, creates it if needed, and writes the current masks to it.

        Args:
            segmentationNode: The user's choice, or None for the case's own segmentation.
            isNew: Whether to create a new segmentation even if the case has one; the old one stays as it is.

        Raises:
            InputError: The segmentation cannot hold a labelmap.
        """
        if segmentationNode is None and not isNew:
            segmentationNode = self.segmentationNode
        if self.labelmap is not None and self.labelmap.segmentationNode is segmentationNode:
            return
        if segmentationNode is None:
            segmentationNode = segment_output.newSegmentation(self._volumeNode, self.target)
        existingId = self.segmentId if segmentationNode is self.segmentationNode else ""
        segmentId = segment_output.outputSegment(segmentationNode, self._volumeNode, self.target, existingId)
        self.node.SetNodeReferenceID(case_node.SEGMENTATION, segmentationNode.GetID())
        case_node.setSegmentId(self.node, segmentId)
        self._labelmap = segment_output.openLabelmap(segmentationNode, segmentId, self._volumeNode)
        if segmentId == existingId:
            self._labelmap.acceptCurrentMask()
        masks = [state for state in self.states.values() if state.mask is not None]
        self._labelmap.writeSlices(self.sliceAxis, {state.slice_index: self._maskOf(state) for state in masks})

    def save(self) -> None:
        """Writes the states into the case's node, so that they are saved with the scene."""
        case_node.writeStates(self.node, dict(self.states), dict(self.probabilities), self.model)
        if self._guidance is not self._savedGuidance:
            self._savedGuidance = self._guidance
            case_node.writeGuidance(self.node, self._guidance)

    def restore(self) -> None:
        """Restores the case from a loaded scene: states from its node, masks from its segment.

        Raises:
            InputError: The node's states cannot be read; the masks are restored all the same.
        """
        node, segmentId = self.segmentationNode, self.segmentId
        states: dict[int, SliceState] = {}
        try:
            states, self._localProbabilities, self.model = case_node.readStates(self.node)
            self._localGuidance = case_node.readGuidance(self.node)
        finally:
            if node is not None and segmentId and node.GetSegmentation().GetSegment(segmentId) is not None:
                self._labelmap = segment_output.openLabelmap(node, segmentId, self._volumeNode)
                states = case_node.withMasks(states, self._labelmap.acceptCurrentMask(), self.sliceAxis)
            self._localStates = states

    def _maskOf(self, state: SliceState) -> np.ndarray:
        if state.mask is not None:
            return state.mask.unpack()
        rows, cols = (size for axis, size in zip("kji", self.shapeKji, strict=True) if axis != self.sliceAxis)
        return np.zeros((rows, cols), dtype=np.uint8)
