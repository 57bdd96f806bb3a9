"""The voxels and geometry of a case's volume for the worker, and a check for changes."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from slicer.i18n import tr as _
from slicer.util import arrayFromVolume

from sammix_core.boxes import SliceAxis
from sammix_core.errors import InputError
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.grid import VolumeGrid
from SAMMixSlicerLib.scene.geometry import (
    areValuesHu,
    checkIsCt,
    ijkToWorld,
    isSpacingKnown,
    straightGrid,
    straightIjkToRas,
    straightIjkToWorld,
)

_ROW_STEP = 4


class VolumeChangedError(InputError):
    """The volume has other slices than when its case was created, so that boxes and masks no longer fit it."""


class VolumeSource:
    """The voxels and the geometry of a volume node.

    Args:
        volumeNode: The CT.

    Attributes:
        shapeKji: Shape of the array when the case was created.
        sliceAxis: The axis along which its axial slices were stacked then: "i", "j" or "k".

    Raises:
        InputError: The volume has no image, or its geometry cannot be used.
    """

    def __init__(self, volumeNode: Any) -> None:
        self._node = volumeNode
        self._checksum: tuple[int, int] | None = None
        if volumeNode.GetImageData() is None:
            raise InputError(_("{name} contains no image.").format(name=volumeNode.GetName()))
        n_i, n_j, n_k = volumeNode.GetImageData().GetDimensions()
        self.shapeKji = (n_k, n_j, n_i)
        self.sliceAxis = self._currentSliceAxis()

    def fingerprint(self) -> tuple[int, bytes]:
        """Identifies the current content of the volume: a checksum of its voxels, and its position in the world.

        Raises:
            VolumeChangedError: The volume was reoriented or resized since the case was created.
            InputError: The volume cannot be used.
        """
        name = self._node.GetName()
        if self._currentSliceAxis() != self.sliceAxis:
            raise VolumeChangedError(
                _("{name} was rotated, and its axial slices have changed. Rotate it back, or use a copy.").format(
                    name=name
                )
            )
        array = self.array()
        if array.shape != self.shapeKji:
            raise VolumeChangedError(_("The size of {name} has changed. Use a copy.").format(name=name))
        modified = self._node.GetImageData().GetMTime()
        if self._checksum is None or self._checksum[0] != modified:
            # Computed only when VTK reports a change, which need not be one of the voxels. Every fourth row is enough:
            # any change of a CT affects more than three rows, and all rows would block the main thread for 70 ms.
            checksum = 0
            for plane in array:  # one at a time: a copy of the whole would need memory
                checksum = zlib.crc32(np.ascontiguousarray(plane[::_ROW_STEP]).data, checksum)
            self._checksum = (modified, checksum)
        return self._checksum[1], self.matrix().tobytes()

    def array(self) -> np.ndarray:
        """(k, j, i), a view of the node's memory."""
        return arrayFromVolume(self._node)

    def matrix(self) -> np.ndarray:
        """(4, 4): voxel indices to world RAS mm, of the straightened grid."""
        return straightIjkToWorld(self._node)

    def grid(self) -> VolumeGrid | None:
        """Where its voxels lie by its own file, transforms aside; None where its millimetres are no real ones."""
        if not self.isSpacingKnown():
            return None
        return VolumeGrid.from_ras(self.shapeKji, straightIjkToRas(self._node))

    def isSpacingKnown(self) -> bool:
        """Whether its spacing is in real millimetres."""
        return isSpacingKnown(self._node)

    def areValuesHu(self) -> bool:
        """Whether the user has said that its values are Hounsfield units."""
        return areValuesHu(self._node)

    def check(self) -> None:
        """Checks that the volume is a CT.

        Raises:
            InputError: It is not.
        """
        checkIsCt(self._node)

    def _currentSliceAxis(self) -> SliceAxis:
        _spacing, _origin, direction = straightGrid(ijkToWorld(self._node), self._node.GetName())
        return AxialOrder.from_direction(direction).slice_axis
