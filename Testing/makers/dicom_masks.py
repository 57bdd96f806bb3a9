"""Segmentations in DICOM as other software writes them: RTSTRUCT, and masks to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from dicom_files import PATIENT
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def write_rtstruct(
    path: Path,
    structures: Mapping[str, Sequence[np.ndarray]],
    series_uid: str = "1.2.3.4001",
    frame_of_reference: str = "1.2.3.8",
) -> Path:
    """Writes an RTSTRUCT.

    Args:
        path: The file.
        structures: Closed contours by the structure's name, (n, 3) LPS in mm each.
        series_uid: The series that they were drawn on.
        frame_of_reference: Where they lie.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = RTSTRUCT, "1.2.3.6.1"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = RTSTRUCT, "1.2.3.6.1"
    file.StudyInstanceUID, file.SeriesInstanceUID = "1.2.3", "1.2.3.6"
    file.Modality, file.PatientName, file.PatientID = "RTSTRUCT", PATIENT, "4711"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = series_uid
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = frame_of_reference, [study]
    file.ReferencedFrameOfReferenceSequence = [frame]
    file.StructureSetROISequence, file.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(structures.items(), start=1):
        structure, drawn = Dataset(), Dataset()
        structure.ROINumber, structure.ROIName = number, name
        structure.ReferencedFrameOfReferenceUID = frame_of_reference
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = [_contour(points) for points in contours]
        file.StructureSetROISequence.append(structure)
        file.ROIContourSequence.append(drawn)
    file.save_as(path, enforce_file_format=True)
    return path


def _contour(points: np.ndarray) -> Dataset:
    contour = Dataset()
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{number:.6f}" for number in np.ravel(points)]
    return contour
