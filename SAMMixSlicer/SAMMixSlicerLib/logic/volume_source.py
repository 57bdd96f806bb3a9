"""A case's volume as the worker takes it, and whether it is still the one that was taken."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from slicer.i18n import tr as _
from slicer.util import arrayFromVolume

from sammix_core.errors import InputError
from sammix_core.volume.axial_order import AxialOrder
from SAMMixSlicerLib.scene.geometry import checkIsCt, ijkToWorld, isSpacingKnown, straightGrid, straightIjkToWorld

_ROWS = 4


class VolumeSource:
    """The voxels and the geometry of a volume node.

    Args:
        volumeNode: The CT.

    Attributes:
        shapeKji: Its shape when the case began.
        sliceAxis: The axis along which its axial slices were stacked then: "i", "j" or "k".

    Raises:
        InputError: The volume has no image, or a geometry that cannot be used.
    """

    def __init__(self, volumeNode: Any) -> None:
        self._node = volumeNode
        self._seen: tuple[int, int] | None = None
        if volumeNode.GetImageData() is None:
            raise InputError(_("{name} holds no image.").format(name=volumeNode.GetName()))
        n_i, n_j, n_k = volumeNode.GetImageData().GetDimensions()
        self.shapeKji = (n_k, n_j, n_i)
        self.sliceAxis = self._sliceAxisNow()

    def fingerprint(self) -> tuple[int, bytes]:
        """Tells one content of the volume from another: a checksum of its voxels, and its place in the world.

        Raises:
            InputError: The volume was turned or has another size since the case began, or cannot be used.
        """
        name = self._node.GetName()
        if self._sliceAxisNow() != self.sliceAxis:
            raise InputError(
                _("{name} was turned, so that its axial slices are others; turn it back, or work on a copy.").format(
                    name=name
                )
            )
        array = self.array()
        if array.shape != self.shapeKji:
            raise InputError(_("{name} has another size than before.").format(name=name))
        modified = self._node.GetImageData().GetMTime()
        if self._seen is None or self._seen[0] != modified:
            # Looked at only when VTK says that something was touched, which need not be the voxels. Every fourth row:
            # whatever changes a CT changes more than three, and all rows would take 70 ms of the main thread.
            checksum = 0
            for plane in array:  # one at a time: a copy of the whole would take new memory
                checksum = zlib.crc32(np.ascontiguousarray(plane[::_ROWS]).data, checksum)
            self._seen = (modified, checksum)
        return self._seen[1], self.matrix().tobytes()

    def array(self) -> np.ndarray:
        """(k, j, i), the node's own memory."""
        return arrayFromVolume(self._node)

    def matrix(self) -> np.ndarray:
        """(4, 4): voxel indices to world RAS mm of a straight grid."""
        return straightIjkToWorld(self._node)

    def isSpacingKnown(self) -> bool:
        """Whether its millimetres are real ones."""
        return isSpacingKnown(self._node)

    def check(self) -> None:
        """Refuses what is no CT.

        Raises:
            InputError: It is none.
        """
        checkIsCt(self._node)

    def _sliceAxisNow(self) -> str:
        _spacing, _origin, direction = straightGrid(ijkToWorld(self._node), self._node.GetName())
        return AxialOrder.from_direction(direction).slice_axis
