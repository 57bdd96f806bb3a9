"""Reading CT volumes and writing labelmaps.

>>> from sammix_core.volume_io import check_output
>>> check_output("liver.png")
Traceback (most recent call last):
    ...
sammix_core.errors.InputError: liver.png has a format that cannot be written; use .nii.gz, .nii, .nrrd, .mha, .seg.nrrd.
"""

from sammix_core.volume_io.labelmap_writing import LABELMAP_SUFFIXES, check_output, write_labelmap
from sammix_core.volume_io.maps import MAP_SUFFIXES, check_map_output, write_percent_map
from sammix_core.volume_io.reading import read_volume
from sammix_core.volume_io.segments import LIVER, Segment, segment_of

__all__ = [
    "LABELMAP_SUFFIXES",
    "LIVER",
    "MAP_SUFFIXES",
    "Segment",
    "check_map_output",
    "check_output",
    "read_volume",
    "segment_of",
    "write_labelmap",
    "write_percent_map",
]
