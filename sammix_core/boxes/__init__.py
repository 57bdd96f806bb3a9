"""Boxes round the liver: one a part on each slice, each knowing who set it, and the file format `sammix-boxes/2`.

Coordinates are voxel indices of the user's own volume, along its own axes i, j, k, and half-open: a box covers the
voxels `i_min <= i < i_max`. Nothing here knows millimetres, patient directions or network pixels; see
`sammix_core.volume.axial_order.AxialOrder` for the way from and to canonical axial slices.

The format is documented for people in `docs/formats/boxes.md`.
"""

from sammix_core.boxes.box import Box, BoxSource
from sammix_core.boxes.click import Click
from sammix_core.boxes.file_format import SCHEMA, BoxFile
from sammix_core.boxes.network_box import NetworkBox, tight_box
from sammix_core.boxes.track import BoxTrack
from sammix_core.volume.axial_order import SliceAxis

__all__ = ["SCHEMA", "Box", "BoxFile", "BoxSource", "BoxTrack", "Click", "NetworkBox", "SliceAxis", "tight_box"]
