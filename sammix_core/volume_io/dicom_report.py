"""Measurements of segments as a DICOM structured report by template TID 1500."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sammix_core.version import __version__
from sammix_core.volume_io.dicom_seg import SOFTWARE, Algorithm, concept, equipment, import_highdicom, save
from sammix_core.volume_io.dicom_source import DicomSource
from sammix_core.volume_io.quiet import quiet_libraries
from sammix_core.volume_io.segments import Code, Segment

if TYPE_CHECKING:
    from pydicom import Dataset

Ijk = tuple[int, int, int]

_REPORT_SERIES = 3
# Of the software itself, the same in every report.
_DEVICE_UID = "2.25.139217485024719582174046837151230915621"
_MILLILITRE = Code("UCUM", "ml", "milliliter")
_CT = Code("LN", "25045-6", "CT Unspecified body region")
_HALF_PIXEL = 0.5


@dataclass(frozen=True)
class Figures:
    """What was measured of a structure.

    Attributes:
        segment: The structure.
        volume_ml: Its volume; None where it is unknown.
        mean_hu: The mean of its voxels; None where it has none.
        longest_axial_mm: Its longest diameter within one axial slice, by RECIST 1.1; None where it was not measured.
        diameter_ends_ijk: The two voxels at whose outline the diameter ends.
    """

    segment: Segment
    volume_ml: float | None
    mean_hu: float | None
    longest_axial_mm: float | None = None
    diameter_ends_ijk: tuple[Ijk, Ijk] | None = None


def write_dicom_report(
    path: str | Path,
    figures: Sequence[Figures],
    seg: Dataset,
    source: DicomSource,
    algorithm: Algorithm,
    whole: Figures | None = None,
) -> None:
    """Writes a report on the segments of a DICOM SEG, whole or not at all.

    Args:
        path: The file.
        figures: One for each segment of `seg`, in its order.
        seg: The segmentation, as `write_dicom_seg` returns it.
        source: The series that was segmented.
        algorithm: What made the segments.
        whole: Figures of the organ with its lesions, which no segment shows.

    Raises:
        InputError: The file cannot be written, or highdicom is missing.
    """
    hd = import_highdicom()
    from pydicom.sr.codedict import codes

    with quiet_libraries():
        groups: list[Any] = []
        for number, measured in enumerate(figures, start=1):
            groups.append(_segment_group(measured, seg, number, source, algorithm))
            line = _line(measured, source)
            if line is not None:
                groups.append(_diameter_group(measured, seg.SegmentSequence[number - 1], line))
        if whole is not None:
            groups.append(_whole_group(whole, algorithm))
        device = hd.sr.DeviceObserverIdentifyingAttributes(
            uid=_DEVICE_UID, name=SOFTWARE, manufacturer_name=SOFTWARE, model_name=f"{SOFTWARE} {__version__}"
        )
        observer = hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
        content = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(observer_device_context=observer),
            procedure_reported=concept(_CT),
            imaging_measurements=groups,
            title=codes.DCM.ImagingMeasurementReport,
        )
        report = hd.sr.ComprehensiveSR(
            evidence=[*source.evidence(), seg],
            content=content,
            series_number=source.series_number(_REPORT_SERIES),
            series_instance_uid=hd.UID(),
            sop_instance_uid=hd.UID(),
            instance_number=1,
            is_complete=True,
            is_final=False,
            is_verified=False,
            series_description=f"{SOFTWARE} measurements, research",
            **equipment(),
        )
    save(report, path)


def _segment_group(figures: Figures, seg: Dataset, number: int, source: DicomSource, algorithm: Algorithm) -> Any:
    """All figures of one segment."""
    hd = import_highdicom()
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(seg.SegmentSequence[number - 1]),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=seg.SOPClassUID,
            sop_instance_uid=seg.SOPInstanceUID,
            segment_number=number,
            source_series=hd.sr.SourceSeriesForSegmentation(source.series_uid),
        ),
        algorithm_id=_algorithm(algorithm),
        measurements=[*_volume_and_density(figures), *_diameter(figures)],
        **_finding(figures.segment),
    )


def _diameter_group(figures: Figures, described: Dataset, line: Any) -> Any:
    """The diameter once more with its line on the image, which the group of a segment cannot hold."""
    return import_highdicom().sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(described),
        measurements=_diameter(figures, line),
        **_finding(figures.segment),
    )


def _whole_group(whole: Figures, algorithm: Algorithm) -> Any:
    hd = import_highdicom()
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=hd.UID(), identifier=f"{SOFTWARE} {whole.segment.name} with lesions"
        ),
        algorithm_id=_algorithm(algorithm),
        measurements=_volume_and_density(whole),
        **_finding(whole.segment),
    )


def _tracking(described: Dataset) -> Any:
    return import_highdicom().sr.TrackingIdentifier(uid=described.TrackingUID, identifier=described.TrackingID)


def _finding(segment: Segment) -> dict[str, Any]:
    site = import_highdicom().sr.FindingSite(concept(segment.region or segment.type))
    return {"finding_type": concept(segment.type), "finding_sites": [site]}


def _algorithm(algorithm: Algorithm) -> Any:
    return import_highdicom().sr.AlgorithmIdentification(
        name=SOFTWARE, version=__version__, parameters=[f"model={algorithm.model}", "use=research"]
    )


def _volume_and_density(figures: Figures) -> list[Any]:
    """Volume and mean, where they are known."""
    hd = import_highdicom()
    from pydicom.sr.codedict import codes

    measurements = []
    if figures.volume_ml is not None:
        measurements.append(
            hd.sr.Measurement(name=codes.SCT.Volume, value=round(figures.volume_ml, 3), unit=concept(_MILLILITRE))
        )
    if figures.mean_hu is not None:
        measurements.append(
            hd.sr.Measurement(
                name=codes.DCM.AttenuationCoefficient,
                value=round(figures.mean_hu, 2),
                unit=codes.UCUM.HounsfieldUnit,
                derivation=codes.SCT.Mean,
            )
        )
    return measurements


def _diameter(figures: Figures, line: Any = None) -> list[Any]:
    """The longest axial diameter, where it was measured."""
    hd = import_highdicom()
    from pydicom.sr.codedict import codes

    if figures.longest_axial_mm is None:
        return []
    return [
        hd.sr.Measurement(
            name=codes.SCT.LongAxis,
            value=round(figures.longest_axial_mm, 2),
            unit=codes.UCUM.Millimeter,
            method=codes.DCM.RECIST1Point1,
            referenced_coordinates=None if line is None else [line],
        )
    ]


def _line(figures: Figures, source: DicomSource) -> Any:
    """The diameter on its image, from edge to edge; None where it does not lie within one image."""
    hd = import_highdicom()
    if figures.diameter_ends_ijk is None or figures.longest_axial_mm is None:
        return None
    (i, j, k), (other_i, other_j, other_k) = figures.diameter_ends_ijk
    if k != other_k:
        return None
    frame = source.frames[k]
    assert frame.pixel_spacing is not None  # `DicomSource` refuses series without
    between_rows, between_columns = frame.pixel_spacing
    halves = ((-_HALF_PIXEL, 0.0), (_HALF_PIXEL, 0.0), (0.0, -_HALF_PIXEL), (0.0, _HALF_PIXEL))
    # The outline of a voxel has four points that a diameter may end on; the longest line is the measured one.
    ends = max(
        (((i + a[0], j + a[1]), (other_i + b[0], other_j + b[1])) for a, b in itertools.product(halves, halves)),
        key=lambda line: math.hypot(
            (line[0][0] - line[1][0]) * between_columns, (line[0][1] - line[1][1]) * between_rows
        ),
    )
    line = hd.sr.CoordinatesForMeasurement(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        # In DICOM the centre of the first pixel is at (0.5, 0.5).
        graphic_data=np.array(ends, dtype=np.float32) + _HALF_PIXEL,
        source_image=hd.sr.SourceImageForMeasurement(
            referenced_sop_class_uid=frame.class_uid,
            referenced_sop_instance_uid=frame.instance_uid,
            referenced_frame_numbers=[frame.index + 1] if frame.enhanced or frame.n_frames > 1 else None,
        ),
    )
    # The standard's relation of coordinates to their image; highdicom 0.28 writes another one.
    line.ContentSequence[0].RelationshipType = "SELECTED FROM"
    return line
