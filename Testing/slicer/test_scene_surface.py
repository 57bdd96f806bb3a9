"""The surface that the computing process makes is the one that Slicer's own conversion makes of the same mask."""

from __future__ import annotations

import numpy as np
import pytest

SHAPE = (9, 30, 40)
TURNED = np.array([[0.0, 0.2, 2.9, -20], [-0.8, 0, 0, 30], [0, -0.9, 0.6, -40], [0, 0, 0, 1]])
STRAIGHT = TURNED.copy()
STRAIGHT[:3, :3] = np.linalg.qr(TURNED[:3, :3])[0] * (0.8, 0.9, 3.0)
GRIDS = {"turned": STRAIGHT, "mirrored": STRAIGHT * np.array([-1.0, 1, 1, 1])[:, None]}


def a_mask():
    k, j, i = np.indices(SHAPE)
    mask = (((k - 4) / 4) ** 2 + ((j - 14) / 12) ** 2 + ((i - 20) / 15) ** 2 < 1).astype(np.uint8)
    mask[:3, 20:, :9] = 1  # reaches the border of the volume
    return mask


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
@pytest.mark.parametrize("grid", GRIDS)
def test_the_surface_is_the_same_as_slicers(app, grid, smoothing):
    import slicer
    from SAMMixSlicerLib.scene.segment_output import newSegmentation, openLabelmap, outputSegment
    from SAMMixSlicerLib.scene.surface import isSurfaceShown, setSurface, showSurface, smoothingOf
    from SAMMixSlicerLib.worker import MaskOnGrid
    from SAMMixSlicerLib.worker.child import exports
    from SAMMixSlicerLib.worker.mask_commands import MakeSurface
    from vtk.util.numpy_support import vtk_to_numpy

    from sammix_core.masks.packed_mask import PackedMask

    volume = slicer.util.addVolumeFromArray(np.zeros(SHAPE, np.int16), ijkToRAS=GRIDS[grid], name="ct")
    node = newSegmentation(volume, "liver")
    node.GetSegmentation().SetConversionParameter("Smoothing factor", str(smoothing))
    assert smoothingOf(node) == smoothing
    segment_id = outputSegment(node, volume, "liver")
    mask = a_mask()
    openLabelmap(node, segment_id, volume).writeSlices("k", dict(enumerate(mask)))
    showSurface(node, segment_id)
    segment = node.GetSegmentation().GetSegment(segment_id)
    by_slicer = segment.GetRepresentation("Closed surface")
    places = vtk_to_numpy(by_slicer.GetPoints().GetData())
    lines = vtk_to_numpy(by_slicer.GetPointData().GetNormals())

    packed = MaskOnGrid(SHAPE, "k", {k: PackedMask.pack(plane) for k, plane in enumerate(mask)}, GRIDS[grid])
    made = exports.make_surface(MakeSurface("ct", packed, smoothing))
    assert len(made.triangles) == by_slicer.GetNumberOfPolys()
    order, theirs = (np.lexsort(np.round(one, 3).T) for one in (made.points, places))
    np.testing.assert_allclose(made.points[order], places[theirs], atol=2e-3)
    # Along the same lines but for a few on ridges, and outwards on every grid: Slicer's point inwards on mirrored ones.
    assert np.mean(np.abs((made.normals[order] * lines[theirs]).sum(axis=1)) > 0.99) > 0.99
    first, second, third = (made.points[made.triangles[:, corner]].astype(float) for corner in range(3))
    enclosed = np.einsum("ij,ij->i", first, np.cross(second, third)).sum() / 6
    assert enclosed == pytest.approx(mask.sum() * 0.8 * 0.9 * 3.0, rel=0.1)
    facing = np.cross(second - first, third - first)
    assert np.mean((facing * made.normals[made.triangles[:, 0]]).sum(axis=1) > 0) > 0.99

    segment.RemoveRepresentation("Closed surface")
    assert not isSurfaceShown(node, segment_id)
    setSurface(node, segment_id, made.points, made.normals, made.triangles)
    assert isSurfaceShown(node, segment_id)
    np.testing.assert_allclose(
        segment.GetRepresentation("Closed surface").GetBounds(), by_slicer.GetBounds(), atol=2e-3
    )


def test_an_empty_mask_is_refused_in_a_sentence():
    from SAMMixSlicerLib.worker import MaskOnGrid
    from SAMMixSlicerLib.worker.child import exports
    from SAMMixSlicerLib.worker.mask_commands import MakeSurface

    from sammix_core.errors import InputError

    with pytest.raises(InputError, match="empty"):
        exports.make_surface(MakeSurface("ct", MaskOnGrid(SHAPE, "k", {}, np.eye(4)), 0.5))
