"""Writing a segment slice by slice: exact, fast, and without touching other segments."""

from __future__ import annotations

import time

import numpy as np
import pytest

SHAPE = (6, 8, 10)
MATRIX = np.array([[0.0, 0.2, 2.9, -20], [-0.8, 0, 0, 30], [0, -0.9, 0.6, -40], [0, 0, 0, 1]])  # oblique sagittal
PICTURE = (np.indices(SHAPE[1:]).sum(0) % 3 == 0).astype(np.uint8)


@pytest.fixture
def a_volume_node(app):
    import slicer

    # Columns of equal directions but one slice axis that leans: made straight, so that Slicer's own tools take it too.
    straight = MATRIX.copy()
    straight[:3, :3] = np.linalg.qr(MATRIX[:3, :3])[0] * (0.8, 0.9, 3.0)
    return slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16), ijkToRAS=straight, name="ct")


@pytest.fixture
def a_users_segmentation(a_volume_node):
    """Two segments that share one layer, one of them with a name and colour of its own."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "theirs")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume_node)
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 1:4, 1:5] = 1
    labels[1:4, 5:7, 1:9] = 2
    label_node = slicer.modules.volumes.logic().CreateAndAddLabelVolume(a_volume_node, "labels")
    slicer.util.updateVolumeFromArray(label_node, labels)
    assert slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(label_node, node)
    slicer.mrmlScene.RemoveNode(label_node)
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    return node


def our_segment(segmentation_node, volume_node, target="liver"):
    from SAMMixSlicerLib.scene.segment_output import openLabelmap, outputSegment

    segment_id = outputSegment(segmentation_node, volume_node, target)
    return openLabelmap(segmentation_node, segment_id, volume_node)


def mask_by_slicer(labelmap, volume_node):
    import slicer

    return slicer.util.arrayFromSegmentBinaryLabelmap(labelmap.segmentationNode, labelmap.segmentId, volume_node)


@pytest.mark.parametrize("slice_axis", "ijk")
def test_slicer_reads_back_the_slices_that_were_written(a_volume_node, slice_axis):
    from SAMMixSlicerLib.array_slices import sliceOf
    from SAMMixSlicerLib.scene.segment_output import newSegmentation

    labelmap = our_segment(newSegmentation(a_volume_node, "liver"), a_volume_node)
    expected = np.zeros(SHAPE, np.uint8)
    plane_shape = sliceOf(expected, slice_axis, 0).shape
    first = np.random.default_rng(0).integers(0, 2, plane_shape).astype(np.uint8)
    sliceOf(expected, slice_axis, 2)[...] = first
    sliceOf(expected, slice_axis, 5)[...] = 1

    labelmap.writeSlices(slice_axis, {2: first, 5: np.full(plane_shape, 7, np.uint8)})

    np.testing.assert_array_equal(mask_by_slicer(labelmap, a_volume_node), expected)
    np.testing.assert_array_equal(labelmap.readMask(), expected)
    assert labelmap.externalChanges(slice_axis) == {}


def test_the_segment_has_name_colour_and_terminology(a_volume_node):
    import slicer
    from SAMMixSlicerLib.scene.segment_output import newSegmentation

    node = newSegmentation(a_volume_node, "liver")
    labelmap = our_segment(node, a_volume_node)
    segment = node.GetSegmentation().GetSegment(labelmap.segmentId)
    entry = slicer.vtkSlicerTerminologyEntry()

    assert slicer.modules.terminologies.logic().DeserializeTerminologyEntry(segment.GetTerminology(), entry)
    assert entry.GetTypeObject().GetCodeValue() == "10200004"
    assert entry.GetTypeObject().GetCodingSchemeDesignator() == "SCT"
    assert segment.GetColor() == pytest.approx((221 / 255, 130 / 255, 101 / 255))
    assert segment.GetName() == "liver"
    # What DICOM export needs later.
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    assert node.GetSegmentation().GetConversionParameter(name)
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is a_volume_node


def test_the_segmentation_lies_beside_its_volume_in_the_subject_hierarchy(a_volume_node):
    import slicer
    from SAMMixSlicerLib.scene.segment_output import newSegmentation

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    if not hierarchy.GetItemByDataNode(a_volume_node):
        hierarchy.CreateItem(study, a_volume_node)
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(a_volume_node), study)

    node = newSegmentation(a_volume_node, "liver")

    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


def test_other_segments_keep_their_voxels_layers_and_surfaces(a_volume_node, a_users_segmentation):
    import slicer

    segmentation = a_users_segmentation.GetSegmentation()
    others = list(segmentation.GetSegmentIDs())
    a_users_segmentation.CreateClosedSurfaceRepresentation()
    before = {
        one: slicer.util.arrayFromSegmentBinaryLabelmap(a_users_segmentation, one, a_volume_node) for one in others
    }
    surfaces = {one: segmentation.GetSegment(one).GetRepresentation("Closed surface") for one in others}

    labelmap = our_segment(a_users_segmentation, a_volume_node)
    labelmap.writeSlices("k", {2: np.ones(SHAPE[1:], np.uint8)})  # over both of theirs

    assert list(segmentation.GetSegmentIDs()) == [*others, labelmap.segmentId]
    assert mask_by_slicer(labelmap, a_volume_node)[2].all()
    for one in others:
        after = slicer.util.arrayFromSegmentBinaryLabelmap(a_users_segmentation, one, a_volume_node)
        np.testing.assert_array_equal(after, before[one])
        assert segmentation.GetSegment(one).GetRepresentation("Closed surface") is surfaces[one]
    assert segmentation.GetSegment(labelmap.segmentId).GetRepresentation("Closed surface").GetNumberOfPoints() == 0


def test_a_shared_layer_is_separated_before_writing(a_volume_node, a_users_segmentation):
    import slicer

    labelmap = our_segment(a_users_segmentation, a_volume_node)
    small = np.zeros(SHAPE[1:], np.uint8)
    small[0, 0] = 1
    labelmap.writeSlices("k", {0: small})
    segmentation = a_users_segmentation.GetSegmentation()
    segmentation.CollapseBinaryLabelmaps(True)
    assert segmentation.GetNumberOfLayers() == 1
    others = [one for one in segmentation.GetSegmentIDs() if one != labelmap.segmentId]
    before = {
        one: slicer.util.arrayFromSegmentBinaryLabelmap(a_users_segmentation, one, a_volume_node) for one in others
    }

    labelmap.writeSlices("k", {2: np.ones(SHAPE[1:], np.uint8)})

    assert segmentation.GetNumberOfLayers() == 2
    expected = np.zeros(SHAPE, np.uint8)
    expected[0, 0, 0], expected[2] = 1, 1
    np.testing.assert_array_equal(mask_by_slicer(labelmap, a_volume_node), expected)
    for one in others:
        after = slicer.util.arrayFromSegmentBinaryLabelmap(a_users_segmentation, one, a_volume_node)
        np.testing.assert_array_equal(after, before[one])


def test_a_labelmap_that_the_editor_cropped_can_be_written_outside_the_crop(a_volume_node):
    import slicer
    from SAMMixSlicerLib.scene.segment_output import newSegmentation

    labelmap = our_segment(newSegmentation(a_volume_node, "liver"), a_volume_node)
    spot = np.zeros(SHAPE, np.uint8)
    spot[3, 4:6, 5:7] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(spot, labelmap.segmentationNode, labelmap.segmentId, a_volume_node)
    image = (
        labelmap.segmentationNode.GetSegmentation().GetSegment(labelmap.segmentId).GetRepresentation("Binary labelmap")
    )
    cut = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.CopyImage(image, cut, (5, 6, 4, 5, 3, 3))
    image.DeepCopy(cut)
    assert image.GetExtent() == (5, 6, 4, 5, 3, 3)

    assert list(labelmap.externalChanges("k")) == [3]
    labelmap.writeSlices("k", {0: np.ones(SHAPE[1:], np.uint8)})

    spot[0] = 1
    np.testing.assert_array_equal(mask_by_slicer(labelmap, a_volume_node), spot)


def test_a_segmentation_under_another_transform_gets_the_right_voxels(a_volume_node, a_users_segmentation):
    import slicer

    shift = np.eye(4)
    shift[:3, 3] = (5, -7, 11)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    a_volume_node.SetAndObserveTransformNodeID(transform.GetID())  # the segmentation stays where it was

    labelmap = our_segment(a_users_segmentation, a_volume_node)
    labelmap.writeSlices("k", {4: PICTURE})

    expected = np.zeros(SHAPE, np.uint8)
    expected[4] = PICTURE
    np.testing.assert_array_equal(mask_by_slicer(labelmap, a_volume_node), expected)


def test_a_new_segmentation_follows_the_volume_under_its_transform(a_volume_node):
    import slicer
    from SAMMixSlicerLib.scene.segment_output import newSegmentation

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    a_volume_node.SetAndObserveTransformNodeID(transform.GetID())
    node = newSegmentation(a_volume_node, "liver")
    assert node.GetParentTransformNode() is transform


def test_a_segmentation_of_surfaces_is_refused(a_volume_node):
    import slicer
    import vtk

    from sammix_core.errors import InputError

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    sphere = vtk.vtkSphereSource()
    sphere.Update()
    node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "ball")
    with pytest.raises(InputError, match="surfaces"):
        our_segment(node, a_volume_node)
    assert node.GetSegmentation().GetNumberOfSegments() == 1


def test_a_loaded_scene_restores_the_segment_and_it_can_be_written(a_volume_node, a_users_segmentation, tmp_path):
    import slicer
    from SAMMixSlicerLib.scene.segment_output import openLabelmap

    labelmap = our_segment(a_users_segmentation, a_volume_node)
    labelmap.writeSlices("k", {1: PICTURE, 4: PICTURE[::-1]})
    segment_id = labelmap.segmentId
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(path)

    volume_node, node = slicer.util.getNode("ct"), slicer.util.getNode("theirs")
    again = openLabelmap(node, segment_id, volume_node)
    expected = np.zeros(SHAPE, np.uint8)
    expected[1], expected[4] = PICTURE, PICTURE[::-1]
    np.testing.assert_array_equal(again.acceptCurrentMask(), expected)
    again.writeSlices("k", {5: np.ones(SHAPE[1:], np.uint8)})
    expected[5] = 1
    np.testing.assert_array_equal(mask_by_slicer(again, volume_node), expected)


def test_an_edit_removes_the_surface_until_it_is_requested_again(a_volume_node):
    from SAMMixSlicerLib.scene.segment_output import newSegmentation
    from SAMMixSlicerLib.scene.surface import hasSurface, hideSurface, showSurface

    node = newSegmentation(a_volume_node, "liver")
    labelmap = our_segment(node, a_volume_node)
    labelmap.writeSlices("k", {2: np.ones(SHAPE[1:], np.uint8), 3: PICTURE})
    assert not hasSurface(node, labelmap.segmentId)
    showSurface(node, labelmap.segmentId)
    assert hasSurface(node, labelmap.segmentId)
    before = node.GetSegmentation().GetSegment(labelmap.segmentId).GetRepresentation("Closed surface").GetBounds()

    labelmap.writeSlices("k", {2: np.zeros(SHAPE[1:], np.uint8), 3: PICTURE})
    assert not hasSurface(node, labelmap.segmentId)
    showSurface(node, labelmap.segmentId)
    after = node.GetSegmentation().GetSegment(labelmap.segmentId).GetRepresentation("Closed surface").GetBounds()
    assert before != after
    hideSurface(node, labelmap.segmentId)
    assert not node.GetDisplayNode().GetSegmentVisibility3D(labelmap.segmentId)


@pytest.mark.alone
def test_one_slice_of_a_large_ct_is_written_within_5_ms(app):
    import slicer
    from SAMMixSlicerLib.scene.segment_output import newSegmentation

    volume_node = slicer.util.addVolumeFromArray(np.zeros((100, 512, 512), np.int16), name="large")
    labelmap = our_segment(newSegmentation(volume_node, "liver"), volume_node)
    plane = np.zeros((512, 512), np.uint8)
    plane[100:400, 80:300] = 1
    labelmap.writeSlices("k", {0: plane})
    milliseconds = []
    for index in range(20, 60):
        start = time.perf_counter()
        labelmap.writeSlices("k", {index: plane})
        milliseconds.append(1000 * (time.perf_counter() - start))
    assert np.median(milliseconds) < 5


def test_an_exported_labelmap_has_our_segments_name_and_colour_whatever_stands_before_it(
    a_volume_node, a_users_segmentation
):
    from SAMMixSlicerLib.scene.export import labelmapNode
    from SAMMixSlicerLib.worker import MaskOnGrid

    from sammix_core.masks.packed_mask import PackedMask

    labelmap = our_segment(a_users_segmentation, a_volume_node)
    mask = MaskOnGrid(SHAPE, "k", {3: PackedMask.pack(PICTURE)}, np.eye(4))
    node = labelmapNode(a_volume_node, a_users_segmentation, labelmap.segmentId, mask)

    segment = a_users_segmentation.GetSegmentation().GetSegment(labelmap.segmentId)
    colors = node.GetDisplayNode().GetColorNode()
    shown = [0.0] * 4
    colors.GetColor(1, shown)
    assert colors.GetNumberOfColors() == 2
    assert colors.GetColorName(1) == segment.GetName()
    assert shown[:3] == pytest.approx(segment.GetColor(), abs=1 / 255)
