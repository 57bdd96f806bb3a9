"""Maps of percentages as DICOM Parametric Maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sammix_core.volume_io.dicom_seg import RESEARCH, SOFTWARE, Algorithm, concept, equipment, import_highdicom, save
from sammix_core.volume_io.dicom_source import DicomSource
from sammix_core.volume_io.quiet import quiet_libraries
from sammix_core.volume_io.segments import Code

_MAP_SERIES = 2
# The standard has no code for it; schemes that begin with 99 are private.
_DISAGREEMENT = Code("99SAMMIX", "disagreement", "Disagreement of candidate masks")
_PERCENT = Code("UCUM", "%", "Percent")


def write_dicom_map(path: str | Path, percent: np.ndarray, source: DicomSource, algorithm: Algorithm) -> None:
    """Writes the uncertainty as a DICOM Parametric Map, whole or not at all.

    There is a frame for each source image from the first to the last one with a value above 0. Frames are float32,
    since dcmqi, by which 3D Slicer reads such maps, takes no integers.

    Args:
        path: The file.
        percent: (k, j, i) uint8, 0 to 100, on the source's own grid.
        source: The series that was segmented.
        algorithm: What made the map.

    Raises:
        InputError: The file cannot be written, or highdicom is missing.
        ValueError: The map does not fit the source, or holds no percentages.
    """
    hd = import_highdicom()
    if percent.shape != (len(source.frames), source.frames[0].rows, source.frames[0].columns):
        raise ValueError(f"the map has shape {percent.shape}, which is not that of the source series")
    if percent.dtype != np.uint8 or percent.max(initial=0) > 100:
        raise ValueError("a map is made of whole percentages, uint8 from 0 to 100")
    shown = np.flatnonzero(percent.any((1, 2)))
    planes = slice(shown[0], shown[-1] + 1) if len(shown) else slice(None)
    with quiet_libraries():
        mapping = hd.pm.RealWorldValueMapping(
            lut_label="PERCENT",
            lut_explanation="How far the candidate masks are apart",
            unit=concept(_PERCENT),
            value_range=(0.0, 100.0),
            slope=1.0,
            intercept=0.0,
            quantity_definition=concept(_DISAGREEMENT),
        )
        result = hd.pm.ParametricMap(
            source_images=source.images[planes],
            pixel_array=percent[planes].astype(np.float32),
            series_instance_uid=hd.UID(),
            series_number=source.series_number(_MAP_SERIES),
            sop_instance_uid=hd.UID(),
            instance_number=1,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            window_center=50,
            window_width=100,
            content_label="UNCERTAINTY",
            content_description=f"{SOFTWARE} {algorithm.model}. {RESEARCH}"[:64],
            series_description=f"{SOFTWARE} uncertainty in percent, research",
            **equipment(),
        )
        source.refer(result)
        result.Laterality = None  # of paired organs alone, but never missing
    save(result, path)
