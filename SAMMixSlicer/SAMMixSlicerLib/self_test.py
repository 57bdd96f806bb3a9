"""Tests that run in any Slicer without installing, downloading or segmenting anything, for `SAMMixSlicerTest`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import slicer
from slicer.util import arrayFromSegmentBinaryLabelmap

from sammix_core.boxes import Box, BoxSource, Click
from sammix_core.masks.packed_mask import PackedMask
from sammix_core.segmentation.slice_state import SliceScores, SliceState
from SAMMixSlicerLib.array_slices import sliceOf
from SAMMixSlicerLib.scene import case_node
from SAMMixSlicerLib.scene.box_roi import BoxRoi
from SAMMixSlicerLib.scene.geometry import volumeFromNode
from SAMMixSlicerLib.scene.segment_output import newSegmentation, openLabelmap, outputSegment

_SHAPE = (6, 20, 24)
_OBLIQUE = np.array([[-0.8, 0.1, 0.2, 10.0], [-0.1, -0.9, 0.3, 20.0], [0.1, 0.2, 2.9, -30.0], [0, 0, 0, 1]])


def runAll() -> None:
    """Runs every test on an empty scene.

    Raises:
        AssertionError: A test has failed.
    """
    for test in (testGeometry, testSegment, testBox, testCaseNode):
        slicer.mrmlScene.Clear(False)
        test()
    slicer.mrmlScene.Clear(False)


def testGeometry() -> None:
    """The core gets the grid of the node."""
    node = _volumeNode()
    np.testing.assert_allclose(volumeFromNode(node).ijk_to_ras, _straight(), atol=1e-6)


def testSegment() -> None:
    """Slicer reads what was written in place, and other segments stay."""
    volumeNode = _volumeNode()
    segmentationNode = newSegmentation(volumeNode, "liver")
    segmentId = outputSegment(segmentationNode, volumeNode, "liver")
    otherId = segmentationNode.GetSegmentation().AddEmptySegment("other")
    full = np.ones(_SHAPE, np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(full, segmentationNode, otherId, volumeNode)
    expected = np.zeros(_SHAPE, np.uint8)
    sliceOf(expected, "k", 2)[3:9, 4:12] = 1
    openLabelmap(segmentationNode, segmentId, volumeNode).writeSlices("k", {2: expected[2]})
    np.testing.assert_array_equal(arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode), expected)
    np.testing.assert_array_equal(arrayFromSegmentBinaryLabelmap(segmentationNode, otherId, volumeNode), full)


def testBox() -> None:
    """A box survives its ROI, exact to the voxel."""
    roi = BoxRoi()
    for box in (Box(0, 0, 0, 24, 20), Box(5, 7, 3, 8, 19)):
        roi.show(_volumeNode(), "k", box, [])
        _check(roi.edges() == box.edges, f"the ROI has the edges {roi.edges()}, not {box.edges}")
    roi.remove()


def testCaseNode() -> None:
    """A saved case is restored unchanged."""
    node = case_node.newCaseNode(_volumeNode())
    state = SliceState(
        3,
        boxes=(Box(3, 1, 2, 5, 6, BoxSource.EDITED), Box(3, 9, 2, 12, 6, part=1)),
        automatic_boxes=(Box(3, 1, 2, 5, 7, score=0.5, probability=0.25),),
        deleted_boxes=(Box(3, 14, 3, 18, 9, part=2),),
        mask=PackedMask.pack(np.ones((20, 24))),
        scores=SliceScores((0.5, 0.75, 0.25), score=0.75),
        corrected=True,
        clicks=(Click(3, 4, 5), Click(3, 9, 5, positive=False)),
        unclicked=PackedMask.pack(np.eye(20, 24)),
    )
    case_node.writeStates(node, {3: state}, {3: 0.25}, "liver/1.0.0")
    states, probabilities, model = case_node.readStates(node)
    _check(probabilities == {3: 0.25}, f"the probabilities are {probabilities}")
    _check(model == "liver/1.0.0", f"the model is {model}")
    # The mask is in the segment, not in the node.
    _check(states == {3: replace(state, mask=None)}, f"the states are {states}")


def _check(condition: bool, message: str) -> None:
    """Raises `AssertionError` also where Python runs with -O."""
    if not condition:
        raise AssertionError(message)


def _volumeNode() -> Any:
    values = np.random.default_rng(0).integers(-1000, 400, _SHAPE).astype(np.int16)
    return slicer.util.addVolumeFromArray(values, ijkToRAS=_straight(), name="self test")


def _straight() -> np.ndarray:
    matrix = _OBLIQUE.copy()
    rotation, _rest = np.linalg.qr(matrix[:3, :3])
    matrix[:3, :3] = rotation * (0.8, 0.9, 2.9)
    return matrix
