"""Segmentations as DICOM SEG: binary, one frame for each source image and segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sammix_core.errors import InputError
from sammix_core.files import atomic_path
from sammix_core.version import __version__
from sammix_core.volume_io.dicom_source import DicomSource
from sammix_core.volume_io.quiet import quiet_libraries
from sammix_core.volume_io.segments import LIVER, Code, Segment

if TYPE_CHECKING:
    from pydicom import Dataset

DICOM_SUFFIX = ".dcm"
RESEARCH = "For research, not a medical device"
SOFTWARE = "SAMMix"
UNKNOWN_MODEL = "unknown"  # of a mask that was loaded or drawn
_SEG_SERIES = 1
_LARGEST_TEXT = 64  # characters of a long string (LO)


@dataclass(frozen=True)
class Algorithm:
    """What made a segmentation.

    Attributes:
        model: The model's specification, "liver/2.0.0".
        by_person: Whether a person changed boxes or masks, or clicked lesions.
    """

    model: str
    by_person: bool = False


def is_dicom_output(path: str | Path) -> bool:
    """Whether a result with this name is written as DICOM: it ends with `.dcm`."""
    return Path(path).name.lower().endswith(DICOM_SUFFIX)


def write_dicom_seg(
    path: str | Path, labels: np.ndarray, segments: Sequence[Segment], source: DicomSource, algorithm: Algorithm
) -> Dataset:
    """Writes a DICOM SEG, whole or not at all.

    Slices without a segment are left out, as the standard allows; each frame refers to the image that it was drawn on.

    Args:
        path: The file.
        labels: (k, j, i) integers on the source's own grid; 0 is background.
        segments: What the labels mean; segment numbers follow their order.
        source: The series that was segmented, by `DicomSource.of(volume)`.
        algorithm: What made the labels.

    Returns:
        The `highdicom.seg.Segmentation` that was written; a report refers to it.

    Raises:
        InputError: The file cannot be written, or highdicom is missing.
        ValueError: The labels do not fit the source, or one of them has no segment.
    """
    seg = make_dicom_seg(labels, segments, source, algorithm)
    save(seg, path)
    return seg


def make_dicom_seg(
    labels: np.ndarray, segments: Sequence[Segment], source: DicomSource, algorithm: Algorithm
) -> Dataset:
    """Makes a DICOM SEG in memory; see `write_dicom_seg`."""
    hd = import_highdicom()
    if labels.shape != (len(source.frames), source.frames[0].rows, source.frames[0].columns):
        raise ValueError(f"the labels have shape {labels.shape}, which is not that of the source series")
    with quiet_libraries():
        seg = hd.seg.Segmentation(
            source_images=source.images,
            pixel_array=_numbered(labels, segments),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _description(number, segment, algorithm) for number, segment in enumerate(segments, start=1)
            ],
            series_instance_uid=hd.UID(),
            series_number=source.series_number(_SEG_SERIES),
            sop_instance_uid=hd.UID(),
            instance_number=1,
            content_label="SEGMENTATION",
            content_description=f"{SOFTWARE} {algorithm.model}"[:_LARGEST_TEXT],
            series_description=f"{SOFTWARE} segmentation ({segments[0].name}), research"[:_LARGEST_TEXT],
            **equipment(),
        )
        source.refer(seg)
    return seg


def check_source(source: DicomSource) -> None:
    """Says early, before minutes of work, that no DICOM SEG can be made of a series: makes one with one voxel.

    Raises:
        InputError: highdicom refuses the headers of the series, or is missing.
    """
    first = source.frames[0]
    labels = np.zeros((len(source.frames), first.rows, first.columns), np.uint8)
    labels[0, 0, 0] = LIVER.label_value
    try:
        make_dicom_seg(labels, [LIVER], source, Algorithm(UNKNOWN_MODEL))
    except InputError:
        raise
    except Exception as error:  # highdicom raises many kinds; what it says may name the patient
        raise InputError(
            f"The headers of the CT break the DICOM standard in a way that a DICOM result cannot carry "
            f"({type(error).__name__}); write a .nii.gz or .seg.nrrd file."
        ) from error


def equipment() -> dict[str, Any]:
    """What all DICOM results say of the software that made them, as arguments of highdicom."""
    return {
        "manufacturer": SOFTWARE,
        "manufacturer_model_name": SOFTWARE,
        "software_versions": __version__,
        "device_serial_number": "0",
    }


def algorithm_identification(algorithm: Algorithm) -> Any:
    """Name, version, model and "research", as highdicom has it."""
    hd = import_highdicom()
    from pydicom.sr.codedict import codes

    return hd.AlgorithmIdentificationSequence(
        name=SOFTWARE,
        family=codes.cid7162.ArtificialIntelligence,
        version=__version__,
        source=f"{SOFTWARE}, research software",
        parameters={"model": algorithm.model, "use": "research"},
    )


def import_highdicom() -> Any:
    """highdicom, which takes a second to load.

    Raises:
        InputError: It is not installed.
    """
    try:
        import highdicom
    except ImportError as error:
        raise InputError("DICOM results need the Python package highdicom, which is not installed.") from error
    return highdicom


def save(dataset: Dataset, path: str | Path) -> None:
    """Writes a DICOM file, whole or not at all.

    Raises:
        InputError: The file cannot be written.
    """
    with atomic_path(path) as temporary, quiet_libraries():
        dataset.save_as(temporary, enforce_file_format=True)


def concept(code: Code) -> Any:
    """A code as highdicom has it."""
    return import_highdicom().sr.CodedConcept(code.value, code.scheme, code.meaning)


def _numbered(labels: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    """(k, j, i) uint8: labels as segment numbers, which must be 1, 2, 3, ..."""
    labels = labels.view(np.uint8) if labels.dtype == bool else labels
    values = [0, *(segment.label_value for segment in segments)]
    lookup = np.zeros(max(values) + 1, np.uint8)
    lookup[values] = range(len(values))
    if labels.max(initial=0) >= len(lookup) or not np.isin(np.unique(labels), values).all():
        raise ValueError("a label has no segment")
    return lookup[labels]


def _description(number: int, segment: Segment, algorithm: Algorithm) -> Any:
    hd = import_highdicom()
    kinds = hd.seg.SegmentAlgorithmTypeValues
    region = segment.region or segment.type
    red, green, blue = (round(255 * part) for part in segment.color)
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.name[:_LARGEST_TEXT],
        segmented_property_category=concept(segment.category),
        segmented_property_type=concept(segment.type),
        algorithm_type=kinds.SEMIAUTOMATIC if algorithm.by_person else kinds.AUTOMATIC,
        algorithm_identification=algorithm_identification(algorithm),
        tracking_uid=hd.UID(),
        tracking_id=f"{SOFTWARE} {segment.name}"[:_LARGEST_TEXT],
        anatomic_regions=[concept(region)],
        display_color=hd.color.CIELabColor.from_rgb(red, green, blue),
    )
    if segment.modifier is not None:
        modifier = concept(segment.modifier)
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
        if segment.region is None:
            description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [modifier]
    return description
