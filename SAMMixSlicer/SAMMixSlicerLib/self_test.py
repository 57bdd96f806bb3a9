"""What the module tests in any Slicer, with nothing installed, downloaded or computed: `SAMMixSlicerTest` runs it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import slicer
from slicer.util import arrayFromSegmentBinaryLabelmap

from sammix_core.boxes import Box, BoxSource
from sammix_core.masks.packed_mask import PackedMask
from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.planes import planeOf
from SAMMixSlicerLib.scene import case_node
from SAMMixSlicerLib.scene.box_roi import BoxRoi
from SAMMixSlicerLib.scene.geometry import volumeFromNode
from SAMMixSlicerLib.scene.segment_output import newSegmentation, openLabelmap, outputSegment

_SHAPE = (6, 20, 24)
_OBLIQUE = np.array([[-0.8, 0.1, 0.2, 10.0], [-0.1, -0.9, 0.3, 20.0], [0.1, 0.2, 2.9, -30.0], [0, 0, 0, 1]])


def runAll() -> None:
    """Runs every test on a scene of its own.

    Raises:
        AssertionError: Something is not as it should be.
    """
    for test in (testGeometry, testSegment, testBox, testCaseNode):
        slicer.mrmlScene.Clear(False)
        test()
    slicer.mrmlScene.Clear(False)


def testGeometry() -> None:
    """The core sees the grid of the node."""
    node = _volumeNode()
    np.testing.assert_allclose(volumeFromNode(node).ijk_to_ras, _straight(), atol=1e-6)


def testSegment() -> None:
    """Slices written in place are what Slicer reads, and other segments stay."""
    volumeNode = _volumeNode()
    segmentationNode = newSegmentation(volumeNode, "liver")
    segmentId = outputSegment(segmentationNode, volumeNode, "liver")
    theirs = segmentationNode.GetSegmentation().AddEmptySegment("theirs")
    everything = np.ones(_SHAPE, np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(everything, segmentationNode, theirs, volumeNode)
    expected = np.zeros(_SHAPE, np.uint8)
    planeOf(expected, "k", 2)[3:9, 4:12] = 1
    openLabelmap(segmentationNode, segmentId, volumeNode).writePlanes("k", {2: expected[2]})
    np.testing.assert_array_equal(arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode), expected)
    np.testing.assert_array_equal(arrayFromSegmentBinaryLabelmap(segmentationNode, theirs, volumeNode), everything)


def testBox() -> None:
    """A box comes back from its ROI to the voxel."""
    roi = BoxRoi()
    for box in (Box(0, 0, 0, 24, 20), Box(5, 7, 3, 8, 19)):
        roi.show(_volumeNode(), "k", box, [])
        assert roi.edges() == box.edges, f"{roi.edges()} is not {box.edges}"
    roi.remove()


def testCaseNode() -> None:
    """What a scene keeps comes back as it was."""
    node = case_node.newCaseNode(_volumeNode())
    state = SliceState(
        3,
        box=Box(3, 1, 2, 5, 6, BoxSource.EDITED),
        automatic_box=Box(3, 1, 2, 5, 7, score=0.5, probability=0.25),
        mask=PackedMask.pack(np.ones((20, 24))),
        mask_scores=(0.5, 0.75, 0.25),
        score=0.75,
        corrected=True,
    )
    case_node.writeStates(node, {3: state}, {3: 0.25}, "liver/1.0.0")
    states, probabilities, model = case_node.readStates(node)
    assert probabilities == {3: 0.25}
    assert model == "liver/1.0.0"
    # The mask is in the segment, not in the node.
    assert states == {3: replace(state, mask=None)}


def _volumeNode() -> Any:
    values = np.random.default_rng(0).integers(-1000, 400, _SHAPE).astype(np.int16)
    return slicer.util.addVolumeFromArray(values, ijkToRAS=_straight(), name="self test")


def _straight() -> np.ndarray:
    matrix = _OBLIQUE.copy()
    rotation, _rest = np.linalg.qr(matrix[:3, :3])
    matrix[:3, :3] = rotation * (0.8, 0.9, 2.9)
    return matrix
