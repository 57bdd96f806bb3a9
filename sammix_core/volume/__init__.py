"""A CT in Hounsfield units with its geometry, and the order of its axial slices; needs numpy alone.

Reading and writing live in `sammix_core.volume_io`.
"""

from sammix_core.volume.axial_order import AxialOrder, SliceAxis
from sammix_core.volume.grid import VolumeGrid
from sammix_core.volume.volume import DicomFrame, Volume, grid_from_ras

__all__ = ["AxialOrder", "DicomFrame", "SliceAxis", "Volume", "VolumeGrid", "grid_from_ras"]
