"""Converts a box on a slice to a pose and size in millimetres and back, exact to the voxel; numpy only.

The first two axes of the box object are the volume's in-plane axes, the third is perpendicular to the slice. Voxel
indices lie at voxel centres here, so that a half-open box from 10 to 20 spans 9.5 to 19.5.
"""

from __future__ import annotations

import numpy as np

Edges = tuple[int, int, int, int]


def inPlaneAxes(sliceAxis: str) -> tuple[int, int, int]:
    """The axes (first in-plane, second in-plane, through-plane), as 0, 1, 2 for i, j, k."""
    across = "ijk".index(sliceAxis)
    first, second = (axis for axis in range(3) if axis != across)
    return first, second, across


def boxPose(
    ijkToRas: np.ndarray, sliceAxis: str, sliceIndex: int, edges: Edges
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Pose and size of a box that is one voxel thick.

    Args:
        ijkToRas: (4, 4), voxel indices to RAS mm.
        sliceAxis: "i", "j" or "k".
        sliceIndex: Along that axis.
        edges: Half-open (i_min, j_min, i_max, j_max) in the two in-plane axes.

    Returns:
        (4, 4) object to RAS, a rotation and the box's centre, right-handed; and its size in mm along its axes.
    """
    first, second, across = inPlaneAxes(sliceAxis)
    spacing = np.linalg.norm(ijkToRas[:3, :3], axis=0)
    centre = np.zeros(4)
    centre[first] = (edges[0] + edges[2] - 1) / 2
    centre[second] = (edges[1] + edges[3] - 1) / 2
    centre[across], centre[3] = sliceIndex, 1
    pose = np.eye(4)
    pose[:3, 0] = ijkToRas[:3, first] / spacing[first]
    pose[:3, 1] = ijkToRas[:3, second] / spacing[second]
    pose[:3, 2] = np.cross(pose[:3, 0], pose[:3, 1])
    pose[:3, 3] = (ijkToRas @ centre)[:3]
    thickness = abs(float(pose[:3, 2] @ ijkToRas[:3, across]))
    size = ((edges[2] - edges[0]) * spacing[first], (edges[3] - edges[1]) * spacing[second], thickness)
    return pose, (float(size[0]), float(size[1]), float(size[2]))


def boxEdges(
    ijkToRas: np.ndarray,
    sliceAxis: str,
    objectToRas: np.ndarray,
    size: tuple[float, float, float],
    shapeKji: tuple[int, int, int],
) -> Edges:
    """The voxels that a box object covers in its slice plane; the inverse of `boxPose`.

    Args:
        ijkToRas: (4, 4), voxel indices to RAS mm.
        sliceAxis: "i", "j" or "k".
        objectToRas: (4, 4), as `boxPose` returns it, possibly moved.
        size: In mm along the object's axes.
        shapeKji: The volume's shape; the box is clipped to it.

    Returns:
        Half-open edges at the nearest voxel borders, at least one voxel wide.
    """
    signs = np.array([[x, y, 0, 1] for x in (-0.5, 0.5) for y in (-0.5, 0.5)]).T
    corners = np.linalg.inv(ijkToRas) @ objectToRas @ (signs * np.array([*size, 1.0])[:, None])
    edges = []
    for axis in inPlaneAxes(sliceAxis)[:2]:
        length = shapeKji[2 - axis]
        # Borders lie at halves; the middle of a voxel is rounded up, on every machine.
        low, high = (int(np.floor(value + 1.0 + 1e-6)) for value in (corners[axis].min(), corners[axis].max()))
        low = min(max(low, 0), length - 1)
        edges.append((low, min(max(high, low + 1), length)))
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]
