"""Volumes to the core and boxes to ROIs and back, on every kind of grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

SHAPE = (7, 9, 11)  # k, j, i
ANGLE = np.deg2rad(17)


def rotation():
    cos, sin = np.cos(ANGLE), np.sin(ANGLE)
    about_z = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return about_z @ about_x


def matrix_of(axes, spacing=(0.7, 0.8, 2.5)):
    matrix = np.eye(4)
    matrix[:3, :3] = axes * np.asarray(spacing)
    matrix[:3, 3] = (-33.0, 44.0, -155.0)
    return matrix


AXIAL = np.diag([-1.0, -1.0, 1.0])
SAGITTAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # i to posterior, j to inferior, k to right
GRIDS = {
    "axial": matrix_of(AXIAL),
    "upside down": matrix_of(AXIAL @ np.diag([1, 1, -1])),
    "mirrored": matrix_of(AXIAL @ np.diag([-1, 1, 1])),
    "oblique": matrix_of(rotation() @ AXIAL),
    "sagittal": matrix_of(SAGITTAL),
    "coronal": matrix_of(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])),
    "oblique sagittal": matrix_of(rotation() @ SAGITTAL),
}


@pytest.fixture
def a_volume_node(app):
    import slicer

    def make(matrix, shape=SHAPE, name="ct"):
        values = np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)
        return slicer.util.addVolumeFromArray(values, ijkToRAS=matrix, name=name)

    return make


def under_a_transform(node, matrix):
    import slicer

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


@pytest.mark.parametrize("grid", GRIDS)
def test_the_core_sees_the_grid_of_the_node(a_volume_node, grid):
    from SAMMixSlicerLib.scene.geometry import volumeFromNode

    volume = volumeFromNode(a_volume_node(GRIDS[grid]))

    np.testing.assert_allclose(volume.ijk_to_ras, GRIDS[grid], atol=1e-9)
    assert volume.spacing == pytest.approx((0.7, 0.8, 2.5))
    assert volume.spacing_known


def test_integer_voxels_are_not_copied(a_volume_node):
    import slicer
    from SAMMixSlicerLib.scene.geometry import volumeFromNode

    node = a_volume_node(GRIDS["axial"])
    assert np.shares_memory(volumeFromNode(node).array, slicer.util.arrayFromVolume(node))


def test_a_linear_transform_is_in_the_world_and_not_in_the_file(a_volume_node):
    from SAMMixSlicerLib.scene.geometry import volumeFromNode

    node = a_volume_node(GRIDS["axial"])
    above = matrix_of(rotation(), (1, 1, 1))
    under_a_transform(node, above)

    np.testing.assert_allclose(volumeFromNode(node).ijk_to_ras, above @ GRIDS["axial"], atol=1e-9)
    np.testing.assert_allclose(volumeFromNode(node, inWorld=False).ijk_to_ras, GRIDS["axial"], atol=1e-9)


def test_a_non_linear_transform_is_refused_with_a_sentence(a_volume_node):
    import slicer
    import vtk
    from SAMMixSlicerLib.scene.geometry import volumeFromNode

    from sammix_core.errors import InputError

    node = a_volume_node(GRIDS["axial"])
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    bent.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(bent.GetID())

    with pytest.raises(InputError, match="non-linear"):
        volumeFromNode(node)


def test_obliquely_stacked_slices_keep_their_distance_along_the_normal(a_volume_node):
    from SAMMixSlicerLib.scene.geometry import volumeFromNode

    tilted = GRIDS["axial"].copy()
    tilted[:3, 2] = (0.0, 0.9, 2.4)  # gantry tilt: the next slice lies 2.4 mm higher and 0.9 mm further forward
    volume = volumeFromNode(a_volume_node(tilted))

    assert volume.spacing == pytest.approx((0.7, 0.8, 2.4))
    np.testing.assert_allclose(volume.direction, np.diag([1.0, 1.0, 1.0]), atol=1e-9)
    assert np.prod(volume.spacing) == pytest.approx(abs(np.linalg.det(tilted[:3, :3])))


def test_a_volume_that_is_not_a_ct_is_refused(a_volume_node):
    import slicer
    from SAMMixSlicerLib.scene.geometry import volumeFromNode

    from sammix_core.errors import InputError

    node = a_volume_node(GRIDS["axial"])
    slicer.util.updateVolumeFromArray(node, np.random.default_rng(1).random(SHAPE).astype(np.float32))
    with pytest.raises(InputError, match="does not look like a CT"):
        volumeFromNode(node)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("slice_axis", "ijk")
def test_every_box_comes_back_from_its_roi_to_the_voxel(app, grid, slice_axis):
    from SAMMixSlicerLib.scene.box_geometry import boxEdges, boxPose

    lengths = {"i": SHAPE[2], "j": SHAPE[1], "k": SHAPE[0]}
    across = lengths.pop(slice_axis)
    first, second = lengths.values()
    boxes = [
        (low_a, low_b, high_a, high_b)
        for low_a, high_a in itertools.combinations((0, 1, first // 2, first - 1, first), 2)
        for low_b, high_b in itertools.combinations((0, 2, second - 1, second), 2)
    ]
    for edges in boxes:
        pose, size = boxPose(GRIDS[grid], slice_axis, across - 1, edges)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
        assert size[2] == pytest.approx((0.7, 0.8, 2.5)["ijk".index(slice_axis)])
        assert boxEdges(GRIDS[grid], slice_axis, pose, size, SHAPE) == edges


def test_a_dragged_edge_goes_to_the_nearest_border_of_voxels_and_stays_in_the_volume(app):
    from SAMMixSlicerLib.scene.box_geometry import boxEdges, boxPose

    grid = GRIDS["oblique"]
    pose, (width, height, depth) = boxPose(grid, "k", 3, (2, 2, 8, 6))

    def moved(by_voxels_i, wider_by_voxels):
        there = pose.copy()
        there[:3, 3] += pose[:3, 0] * 0.7 * by_voxels_i
        return boxEdges(grid, "k", there, (width + 0.7 * wider_by_voxels, height, depth), SHAPE)

    assert moved(0.4, 0) == (2, 2, 8, 6)
    assert moved(0.6, 0) == (3, 2, 9, 6)
    assert moved(0, 2) == (1, 2, 9, 6)
    assert moved(50, 0) == (10, 2, 11, 6)
    assert moved(-50, 0) == (0, 2, 1, 6)


@pytest.mark.parametrize("grid", ["axial", "mirrored", "oblique sagittal"])
def test_the_roi_node_gives_its_box_back_under_a_transform(app, a_volume_node, grid):
    import slicer
    from SAMMixSlicerLib.scene.box_roi import BoxRoi

    from sammix_core.boxes import Box

    volume_node = a_volume_node(GRIDS[grid])
    under_a_transform(volume_node, matrix_of(rotation(), (1.3, 1.3, 1.3)))
    theirs = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "theirs")
    theirs.SetSize(1, 2, 3)
    roi = BoxRoi()
    axis = "j" if "sagittal" in grid else "k"

    for box in (Box(2, 1, 2, 5, 6), Box(5, 0, 0, 7, 7)):
        roi.show(volume_node, axis, box, [])
        assert roi.edges() == box.edges
    node = roi.node
    assert not node.GetSaveWithScene()
    assert node.GetDisplayNode().GetVisibility()

    roi.remove()
    assert not slicer.mrmlScene.IsNodePresent(node)
    assert slicer.mrmlScene.IsNodePresent(theirs)
    assert theirs.GetSize() == (1, 2, 3)


def test_boxes_have_the_colours_of_the_preview(app):
    from SAMMixSlicerLib.scene.box_roi import COLORS

    from sammix_core.evaluation.preview.palette import BOX

    assert {source: tuple(round(255 * part) for part in color) for source, color in COLORS.items()} == BOX
