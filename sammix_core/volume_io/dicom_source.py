"""The DICOM series that a volume was read from, and how results in DICOM refer to it, image by image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sammix_core.errors import InputError
from sammix_core.volume.grid import VolumeGrid
from sammix_core.volume.volume import DicomFrame
from sammix_core.volume_io.dicom_headers import Frame, frames_of
from sammix_core.volume_io.dicom_series import Series
from sammix_core.volume_io.dicom_stack import stack_frames, stack_geometry
from sammix_core.volume_io.quiet import quiet_libraries

if TYPE_CHECKING:
    from pydicom import Dataset

    from sammix_core.volume.volume import Volume

NO_DICOM = (
    "The input is no DICOM, so there is no patient and no series that a DICOM result could belong to; write a .nii.gz "
    "or .seg.nrrd file."
)
_GONE = "The DICOM files of the CT cannot be read any more, so a DICOM result cannot refer to them."
_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_UTF8 = "ISO_IR 192"
# Where a header has lost one of these, no PACS could tell what a result belongs to.
_NEEDED = {
    "StudyInstanceUID": "Study Instance UID",
    "SeriesInstanceUID": "Series Instance UID",
    "FrameOfReferenceUID": "Frame of Reference UID",
}
_STUDY = (
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "ProcedureCodeSequence",
    "PhysiciansOfRecord", "StudyID", "PositionReferenceIndicator", "LossyImageCompression",
    "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
# May be empty, but not missing.
_TYPE_2 = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_PATIENT_GROUP = 0x0010
# highdicom takes values of these forms alone; another one is left empty, as the standard allows.
_FORMS = {
    "PatientBirthDate": re.compile(r"\d{8}"),
    "StudyDate": re.compile(r"\d{8}"),
    "StudyTime": re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?"),
    "PatientSex": re.compile(r"[MFO]"),
    "PatientAge": re.compile(r"\d{3}[DWMY]"),
}
_SERIES_STEP = 1000


@dataclass(frozen=True, eq=False)
class DicomSource:
    """The series of a volume: its images in the order of the volume's slices, and whose they are.

    Attributes:
        frames: (n_k,) the image of each slice.
        header: The header of the first image: patient, study, series and frame of reference.

    Raises:
        InputError: The header has lost what a DICOM result needs.
    """

    frames: tuple[Frame, ...]
    header: Dataset = field(repr=False)

    def __post_init__(self) -> None:
        for keyword, name in _NEEDED.items():
            if not str(self.header.get(keyword) or ""):
                raise InputError(
                    f"The images have no {name} (was it removed with the patient's name?), so a DICOM result cannot "
                    "refer to them; write a .nii.gz or .seg.nrrd file."
                )
        if any(not frame.instance_uid or not frame.class_uid for frame in self.frames):
            raise InputError(
                "Some images have no SOP Instance UID (was it removed with the patient's name?), so a DICOM result "
                "cannot refer to them; write a .nii.gz or .seg.nrrd file."
            )
        if any(frame.orientation is None or frame.position is None or not frame.pixel_spacing for frame in self.frames):
            raise InputError(
                "The images do not say where they lie in the patient, so a DICOM result cannot refer to them; write a "
                ".nii.gz or .seg.nrrd file."
            )

    @classmethod
    def of(cls, volume: Volume) -> Self:
        """The source of a volume, read from the headers of its files.

        Raises:
            InputError: The volume was not read from DICOM, its files are gone, or their headers have lost too much.
        """
        if volume.dicom_frames is None:
            raise InputError(NO_DICOM)
        return cls.of_frames(volume.dicom_frames)

    @classmethod
    def of_frames(cls, dicom_frames: Sequence[DicomFrame]) -> Self:
        """The source with these images, in the order of slices.

        Raises:
            InputError: A file is gone or damaged, or headers have lost too much.
        """
        import pydicom

        with quiet_libraries():
            try:
                by_path = {path: frames_of(path) for path in dict.fromkeys(frame.path for frame in dicom_frames)}
                frames = tuple(by_path[frame.path][frame.index] for frame in dicom_frames)
                header = pydicom.dcmread(frames[0].path, stop_before_pixels=True, force=True)
                header.decode()
            except (OSError, IndexError) as error:
                raise InputError(_GONE) from error
        return cls(frames, header)

    @classmethod
    def of_files(cls, paths: Sequence[Path]) -> Self:
        """The source with the images of these files, put in order as `read_volume` does.

        Args:
            paths: The files of one CT series, in any order.

        Raises:
            InputError: A file is gone or damaged, or headers have lost too much.
        """
        try:
            frames = [frame for path in paths for frame in frames_of(path)]
        except OSError as error:
            raise InputError(_GONE) from error
        if not frames:
            raise InputError("The DICOM files of the CT hold no image.")
        kept = stack_frames(Series(tuple(frames)), "The series")
        return cls.of_frames([DicomFrame(frame.path, frame.index) for frame in kept])

    @cached_property
    def grid(self) -> VolumeGrid:
        """The grid that `read_volume` and 3D Slicer give the series.

        Raises:
            InputError: The series has an impossible geometry.
        """
        spacing, origin, direction = stack_geometry(list(self.frames), "The series")
        axes = [tuple(float(part) for part in direction[:, axis]) for axis in range(3)]
        first = self.frames[0]
        shape = (first.columns, first.rows, len(self.frames))
        return VolumeGrid(shape, spacing, origin, (axes[0], axes[1], axes[2]))  # type: ignore[arg-type]

    def in_order(self, labels: np.ndarray, grid: VolumeGrid) -> np.ndarray:
        """Labels in the order of the series' own slices, rows and columns.

        Args:
            labels: (k, j, i) on another grid of the same voxels, such as one with its slices in reverse.
            grid: That grid.

        Returns:
            (n_k, rows, columns).

        Raises:
            InputError: The grid has other voxels than the series.
        """
        if not self.grid.holds_same_voxels(grid):
            raise InputError(
                "The CT no longer has the slices of its DICOM series (was it cropped, resampled or moved?), so a DICOM "
                "result cannot refer to them; choose another format."
            )
        return np.ascontiguousarray(self.grid.axial_order.back(grid.axial_order.forward(labels)))

    @property
    def series_uid(self) -> str:
        """Series Instance UID."""
        return str(self.header.SeriesInstanceUID)

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID."""
        return str(self.header.FrameOfReferenceUID)

    def series_number(self, offset: int) -> int:
        """The number of a series of results.

        Args:
            offset: 1 and up, another one for each kind of result.
        """
        text = str(self.header.get("SeriesNumber") or "")
        return (int(text) if text.isdigit() else 0) % _SERIES_STEP + offset * _SERIES_STEP

    @cached_property
    def images(self) -> list[Dataset]:
        """(n_k,) headers as highdicom takes them: single images of CT, whatever the files are.

        Frames of a multi-frame file become images of their own. `refer` gives results the true references.
        """
        first = self._patient_and_study()
        images = [first, *(deepcopy(first) for _ in self.frames[1:])]
        for number, (image, frame) in enumerate(zip(images, self.frames, strict=True)):
            image.SOPClassUID = _CT_IMAGE
            image.SOPInstanceUID = _stand_in(number)
            image.Rows, image.Columns = frame.rows, frame.columns
            # One direction for all: those of a series differ in the last digits, which highdicom refuses.
            image.ImageOrientationPatient = _decimals(self.frames[0].orientation or ())
            image.ImagePositionPatient = _decimals(frame.position or ())
            image.PixelSpacing = _decimals(self.frames[0].pixel_spacing or ())
            image.SliceThickness = _decimals((self.frames[0].thickness,))[0] if self.frames[0].thickness else None
        return images

    def refer(self, result: Dataset) -> None:
        """Gives a result that highdicom made of `images` the references to the files' own images and frames."""
        result.SourceImageSequence = self._references(with_frames=True)
        for series in result.get("ReferencedSeriesSequence", []):
            series.SeriesInstanceUID = self.series_uid
            series.ReferencedInstanceSequence = self._references(with_frames=False)
        by_stand_in = {_stand_in(number): frame for number, frame in enumerate(self.frames)}
        for group in result.get("PerFrameFunctionalGroupsSequence", []):
            if not group.get("DerivationImageSequence"):
                group.DerivationImageSequence = [self._derivation(group)]
            for derivation in group.get("DerivationImageSequence", []):
                for item in derivation.get("SourceImageSequence", []):
                    # Frames of several segments on one image share the item: it may have been set before.
                    if item.ReferencedSOPInstanceUID in by_stand_in:
                        self._set_reference(item, by_stand_in[item.ReferencedSOPInstanceUID])

    def _derivation(self, group: Dataset) -> Dataset:
        """Of which image a frame was made, by its place: highdicom 0.27 leaves it out of Parametric Maps."""
        from pydicom import Dataset
        from pydicom.sr.codedict import codes

        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        distances = np.linalg.norm(np.array([frame.position for frame in self.frames]) - position, axis=1)
        derivation, item = Dataset(), Dataset()
        item.ReferencedSOPInstanceUID = _stand_in(int(distances.argmin()))
        item.SpatialLocationsPreserved = "YES"
        item.PurposeOfReferenceCodeSequence = [_code(codes.DCM.SourceImageForImageProcessingOperation)]
        derivation.DerivationCodeSequence = [_code(codes.DCM.ImageProcessing)]
        derivation.SourceImageSequence = [item]
        return derivation

    def evidence(self) -> list[Dataset]:
        """Headers of the files' own images, one for each instance, for the evidence of a report."""
        first = self._patient_and_study()
        unique = {frame.instance_uid: frame for frame in self.frames}
        images = [first, *(deepcopy(first) for _ in range(len(unique) - 1))]
        for image, frame in zip(images, unique.values(), strict=True):
            image.SOPClassUID, image.SOPInstanceUID = frame.class_uid, frame.instance_uid
            image.Rows, image.Columns = frame.rows, frame.columns
        return images

    def _references(self, with_frames: bool) -> list[Dataset]:
        """One reference for each file's instance, with the frames where only some of a file are used."""
        from pydicom import Dataset

        references = []
        for frames in _by_instance(self.frames):
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = frames[0].class_uid, frames[0].instance_uid
            if with_frames and len(frames) < frames[0].n_frames:
                item.ReferencedFrameNumber = sorted(frame.index + 1 for frame in frames)
            references.append(item)
        return references

    @staticmethod
    def _set_reference(item: Dataset, frame: Frame) -> None:
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = frame.class_uid, frame.instance_uid
        if frame.enhanced or frame.n_frames > 1:
            item.ReferencedFrameNumber = frame.index + 1

    def _identity(self) -> Dataset:
        from pydicom import Dataset

        image = Dataset()
        for keyword in _NEEDED:
            setattr(image, keyword, str(self.header[keyword].value))
        image.Modality = "CT"
        return image

    def _patient_and_study(self) -> Dataset:
        """Whose the images are, in UTF-8; what breaks the standard's forms is left empty."""
        image = self._identity()
        image.SpecificCharacterSet = _UTF8
        patient = [element.keyword for element in self.header.group_dataset(_PATIENT_GROUP)]
        for keyword in (*patient, *_STUDY):
            try:
                if keyword and keyword in self.header:
                    image.add(self.header[keyword])
            except Exception:  # a value that breaks the standard; pydicom raises many kinds
                continue
        for keyword in _TYPE_2:
            if keyword not in image:
                setattr(image, keyword, None)
        for keyword, form in _FORMS.items():
            value = str(image.get(keyword) or "")
            if value and not form.fullmatch(value):
                setattr(image, keyword, None)
        return image


def _code(code: Any) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _by_instance(frames: Iterable[Frame]) -> list[list[Frame]]:
    groups: dict[str, list[Frame]] = {}
    for frame in frames:
        groups.setdefault(frame.instance_uid, []).append(frame)
    return list(groups.values())


def _decimals(numbers: Iterable[float]) -> list[Any]:
    """Numbers as a header takes them, in at most 16 characters."""
    from pydicom.valuerep import DSfloat

    return [DSfloat(number, auto_format=True) for number in numbers]


# An arc of its own for UIDs that never reach a file.
_STAND_IN = "2.25.0"


def _stand_in(number: int) -> str:
    return f"{_STAND_IN}.{number}"
