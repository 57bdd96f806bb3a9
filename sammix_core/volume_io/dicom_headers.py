"""What SAMMix needs of the headers of DICOM files; no patient identifier is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sammix_core.errors import InputError
from sammix_core.files import files_under

_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription",
    "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "ImageOrientationPatient", "ImagePositionPatient",
    "PixelSpacing", "SliceThickness", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "AcquisitionNumber", "AcquisitionDateTime", "AcquisitionTime", "TemporalPositionIdentifier",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip

_DIRECTORY = "1.2.840.10008.1.3.10"

# CT Image, Enhanced CT, Legacy Converted Enhanced CT.
_CT_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")

_OVERVIEW = re.compile(r"locali[sz]er|scout|topogram|surview|scanogram", re.IGNORECASE)
_NO_OVERVIEW = re.compile(
    r"\b(no|without|w/o|ohne|sans|sin)\s+\w*(locali[sz]er|scout|topogram|surview|scanogram)", re.IGNORECASE
)

# A direction this near to the body's long axis, by its cosine, is that of axial images.
_AXIAL_COSINE = 0.7


@dataclass(frozen=True)
class Frame:
    """One image of a series: a file, or one frame of a multi-frame file.

    Attributes:
        path: The file.
        index: Which frame of the file.
        n_frames: How many frames the file has.
        series_uid: Series Instance UID; "" where a tool has removed it.
        series_number: Series Number as text, "" where absent.
        description: Series Description.
        modality: "CT", "MR", ...; "CT" too where only the SOP class says so.
        image_type: The values of Image Type: "ORIGINAL", "PRIMARY", "AXIAL", ...
        class_uid: SOP Class UID.
        instance_uid: SOP Instance UID; both of the file's preamble where a tool has emptied them in the header.
        rows: Height in pixels.
        columns: Width in pixels.
        samples: Values a pixel: 3 is colour.
        orientation: Six direction cosines (LPS): of a row, then of a column; None where absent.
        position: LPS in mm of the first pixel's centre; None where absent.
        pixel_spacing: Between rows, between columns, in mm; None where absent.
        thickness: Slice thickness in mm; None where absent.
        slope: Rescale Slope; None where absent.
        intercept: Rescale Intercept; None where absent.
        rescale_type: What the rescaled values are: "HU", "MGML", ...; "" where absent.
        enhanced: Whether geometry and rescale are in functional groups.
        acquisition: Acquisition Number as text, "" where absent.
        acquired: Date and time of the acquisition as text, "" where absent.
        temporal_position: Temporal Position Identifier or Index as text, "" where absent.
    """

    path: Path
    index: int
    n_frames: int
    series_uid: str
    series_number: str
    description: str
    modality: str
    image_type: tuple[str, ...]
    class_uid: str
    instance_uid: str
    rows: int
    columns: int
    samples: int
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    thickness: float | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    enhanced: bool
    acquisition: str
    acquired: str
    temporal_position: str

    @property
    def rescaled(self) -> bool:
        """Whether the header says how stored values become Hounsfield units.

        A slope of 1 with an intercept of 0 states nothing: some tools write it where the rescale was lost.
        """
        return self.intercept is not None and (self.intercept != 0.0 or (self.slope or 1.0) != 1.0)

    @property
    def is_axial(self) -> bool:
        """Whether the image lies across the body."""
        if self.orientation is None:
            return False
        (a, b, _), (d, e, _) = self.orientation[:3], self.orientation[3:]
        return abs(a * e - b * d) > _AXIAL_COSINE

    @property
    def is_localiser(self) -> bool:
        """Whether this is an overview from which a scan is planned: by Image Type, and only without it by the name."""
        if "LOCALIZER" in self.image_type:
            return True
        if "AXIAL" in self.image_type and self.is_axial and len(self.image_type) > 2:
            return False
        described = _OVERVIEW.search(self.description) is not None and _NO_OVERVIEW.search(self.description) is None
        return described and not self.is_axial


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM does, with its preamble or, as old files do, without."""
    with path.open("rb") as stream:
        block = stream.read(132)
    return block[128:] == b"DICM" or _is_bare(block)


def _is_bare(block: bytes) -> bool:
    """Whether a file begins with an element of the groups 2 or 8, in little endian."""
    if len(block) < 16 or block[:2] not in (b"\x02\x00", b"\x08\x00") or block[3] != 0:
        return False
    explicit = block[4:6].isalpha() and block[4:6].isupper()
    return explicit or int.from_bytes(block[4:8], "little") <= 128


def is_directory(path: Path) -> bool:
    """Whether a DICOM file is the index of a folder, a DICOMDIR."""
    import pydicom

    if path.name.upper() == "DICOMDIR":
        return True
    try:
        return str(pydicom.filereader.read_file_meta_info(path).get("MediaStorageSOPClassUID")) == _DIRECTORY
    except Exception:  # without a preamble or damaged: what can be read says so elsewhere
        return False


def frames_under(folder: Path, deep: bool) -> Iterator[Frame]:
    """Finds the images in a folder.

    Args:
        folder: Where to look.
        deep: Whether subfolders are searched too, linked ones among them; each folder once.

    Yields:
        The images, in the order of the files' names. Reports, structures, indexes and what is no DICOM are passed over.

    Raises:
        OSError: The folder cannot be read.
    """
    for path in files_under(folder, deep):
        if path.name.upper() != "DICOMDIR" and is_dicom(path):
            yield from frames_of(path)


def frames_of(path: Path) -> list[Frame]:
    """The images of one DICOM file; none where it is no image.

    Raises:
        InputError: The file's header is damaged.
    """
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=_TAGS)
        if "Rows" not in header or "Columns" not in header:
            return []
        frame = frame_of_header(path, header)
        return _split(frame, header) if frame.enhanced or frame.n_frames > 1 else [frame]
    except OSError:
        raise
    except Exception as error:  # pydicom raises many kinds for values that break the standard
        raise InputError(f"{path.name} has a damaged DICOM header.") from error


def frame_of_header(path: Path, header: Any) -> Frame:
    """What the header of an image says of the whole file; of a multi-frame file, before it is split.

    Args:
        path: The file, or a name for what lies elsewhere.
        header: A `pydicom.Dataset` with Rows and Columns.
    """
    meta = getattr(header, "file_meta", {})
    sop_class = str(header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")
    modality = str(header.get("Modality") or "")
    return Frame(
        path=path,
        index=0,
        n_frames=int(header.get("NumberOfFrames") or 1),
        series_uid=str(header.get("SeriesInstanceUID") or ""),
        series_number=_text(header, "SeriesNumber"),
        description=" ".join(str(header.get("SeriesDescription") or "").split()),
        modality="CT" if not modality and sop_class in _CT_CLASSES else modality,
        image_type=_words(header.get("ImageType")),
        class_uid=sop_class,
        instance_uid=str(header.get("SOPInstanceUID") or meta.get("MediaStorageSOPInstanceUID") or ""),
        rows=int(header.Rows),
        columns=int(header.Columns),
        samples=int(header.get("SamplesPerPixel") or 1),
        orientation=_numbers(header.get("ImageOrientationPatient"), 6),
        position=_numbers(header.get("ImagePositionPatient"), 3),
        pixel_spacing=_numbers(header.get("PixelSpacing"), 2),
        thickness=_positive(header.get("SliceThickness")),
        slope=_number(header.get("RescaleSlope")),
        intercept=_number(header.get("RescaleIntercept")),
        rescale_type=_text(header, "RescaleType").upper(),
        enhanced=bool(header.get("PerFrameFunctionalGroupsSequence") or header.get("SharedFunctionalGroupsSequence")),
        acquisition=_text(header, "AcquisitionNumber"),
        acquired=_text(header, "AcquisitionDateTime") or _text(header, "AcquisitionTime"),
        temporal_position=_text(header, "TemporalPositionIdentifier"),
    )


def _split(frame: Frame, header: Any) -> list[Frame]:
    """The frames of an enhanced CT, whose geometry is in functional groups, shared or each its own."""
    shared = _first(header.get("SharedFunctionalGroupsSequence"))
    groups = header.get("PerFrameFunctionalGroupsSequence") or [None] * frame.n_frames

    def macro(group: Any, name: str) -> Any:
        return (
            _first(group.get(name) if group is not None else None) or _first(shared.get(name) if shared else None) or {}
        )

    frames = []
    for index, group in enumerate(groups):
        measures, rescale = macro(group, "PixelMeasuresSequence"), macro(group, "PixelValueTransformationSequence")
        content = macro(group, "FrameContentSequence")
        slope, intercept = _number(rescale.get("RescaleSlope")), _number(rescale.get("RescaleIntercept"))
        frames.append(
            replace(
                frame,
                index=index,
                orientation=_numbers(macro(group, "PlaneOrientationSequence").get("ImageOrientationPatient"), 6),
                position=_numbers(macro(group, "PlanePositionSequence").get("ImagePositionPatient"), 3),
                pixel_spacing=_numbers(measures.get("PixelSpacing"), 2),
                thickness=_positive(measures.get("SliceThickness")),
                slope=frame.slope if slope is None else slope,
                intercept=frame.intercept if intercept is None else intercept,
                rescale_type=_text(rescale, "RescaleType").upper() or frame.rescale_type,
                image_type=_words(macro(group, "CTImageFrameTypeSequence").get("FrameType")) or frame.image_type,
                acquisition=_text(content, "FrameAcquisitionNumber") or frame.acquisition,
                acquired=_text(content, "FrameAcquisitionDateTime") or frame.acquired,
                temporal_position=_text(content, "TemporalPositionIndex") or frame.temporal_position,
            )
        )
    return frames


def _first(sequence: Any) -> Any:
    return sequence[0] if sequence else None


def _text(header: Any, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def _words(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(part).upper() for part in ([value] if isinstance(value, str) else value))


def _number(value: Any) -> float | None:
    return None if value is None or str(value) == "" else float(value)


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    if value is None or isinstance(value, str):
        return None
    numbers = tuple(float(part) for part in value)
    return numbers if len(numbers) == count else None


def _positive(value: Any) -> float | None:
    return float(value) if value is not None and str(value) != "" and float(value) > 0 else None
