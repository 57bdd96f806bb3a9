"""What SAMMix needs of the headers of DICOM files; no patient identifier is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sammix_core.errors import InputError

_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription",
    "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "ImageOrientationPatient", "ImagePositionPatient",
    "PixelSpacing", "SliceThickness", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


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
        modality: "CT", "MR", ...
        image_type: The values of Image Type: "ORIGINAL", "PRIMARY", "AXIAL", ...
        instance_uid: SOP Instance UID.
        rows: Height in pixels.
        columns: Width in pixels.
        samples: Values a pixel: 3 is colour.
        orientation: Six direction cosines (LPS): of a row, then of a column; None where absent.
        position: LPS in mm of the first pixel's centre; None where absent.
        pixel_spacing: Between rows, between columns, in mm; None where absent.
        thickness: Slice thickness in mm; None where absent.
        rescaled: Whether the header says how stored values become Hounsfield units.
    """

    path: Path
    index: int
    n_frames: int
    series_uid: str
    series_number: str
    description: str
    modality: str
    image_type: tuple[str, ...]
    instance_uid: str
    rows: int
    columns: int
    samples: int
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    thickness: float | None
    rescaled: bool

    @property
    def is_localiser(self) -> bool:
        """Whether this is an overview from which a scan is planned."""
        words = ("localizer", "localiser", "scout", "topogram", "surview", "scanogram")
        return "LOCALIZER" in self.image_type or any(word in self.description.lower() for word in words)


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM does, with its preamble or, as old files do, without."""
    with path.open("rb") as stream:
        block = stream.read(132)
    return block[128:] == b"DICM" or block[:4] in (b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x16\x00")


def frames_under(folder: Path, deep: bool) -> Iterator[Frame]:
    """Finds the images in a folder.

    Args:
        folder: Where to look.
        deep: Whether subfolders are searched too.

    Yields:
        The images, in the order of the files' names. Reports, structures, indexes and what is no DICOM are passed over.

    Raises:
        OSError: The folder cannot be read.
    """
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if deep else []
        for name in sorted(names):
            path = Path(parent, name)
            if name.startswith(".") or not path.is_file():
                continue
            if is_dicom(path):
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
        frame = _frame(path, header)
        return [frame] if frame.n_frames == 1 else _split(frame, header)
    except OSError:
        raise
    except Exception as error:  # pydicom raises many kinds for values that break the standard
        raise InputError(f"{path.name} has a damaged DICOM header.") from error


def _frame(path: Path, header: Any) -> Frame:
    return Frame(
        path=path,
        index=0,
        n_frames=int(header.get("NumberOfFrames") or 1),
        series_uid=str(header.get("SeriesInstanceUID") or ""),
        series_number="" if header.get("SeriesNumber") is None else str(header.SeriesNumber),
        description=" ".join(str(header.get("SeriesDescription") or "").split()),
        modality=str(header.get("Modality") or ""),
        image_type=tuple(str(part).upper() for part in _several(header.get("ImageType"))),
        instance_uid=str(header.get("SOPInstanceUID") or ""),
        rows=int(header.Rows),
        columns=int(header.Columns),
        samples=int(header.get("SamplesPerPixel") or 1),
        orientation=_numbers(header.get("ImageOrientationPatient"), 6),
        position=_numbers(header.get("ImagePositionPatient"), 3),
        pixel_spacing=_numbers(header.get("PixelSpacing"), 2),
        thickness=_positive(header.get("SliceThickness")),
        rescaled=_is_rescale(header),
    )


def _split(frame: Frame, header: Any) -> list[Frame]:
    """The frames of an enhanced CT, whose geometry is in functional groups, shared or each its own."""
    shared = _first(header.get("SharedFunctionalGroupsSequence"))
    groups = header.get("PerFrameFunctionalGroupsSequence") or [None] * frame.n_frames

    def macro(own: Any, name: str) -> Any:
        return _first(own.get(name) if own is not None else None) or _first(shared.get(name) if shared else None) or {}

    frames = []
    for index, own in enumerate(groups):
        measures, rescale = macro(own, "PixelMeasuresSequence"), macro(own, "PixelValueTransformationSequence")
        frames.append(
            replace(
                frame,
                index=index,
                orientation=_numbers(macro(own, "PlaneOrientationSequence").get("ImageOrientationPatient"), 6),
                position=_numbers(macro(own, "PlanePositionSequence").get("ImagePositionPatient"), 3),
                pixel_spacing=_numbers(measures.get("PixelSpacing"), 2),
                thickness=_positive(measures.get("SliceThickness")),
                rescaled=_is_rescale(rescale) or frame.rescaled,
            )
        )
    return frames


def _is_rescale(header: Any) -> bool:
    """A slope of 1 with an intercept of 0 states nothing: some tools write it where the rescale was lost."""
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    return intercept is not None and (float(intercept) != 0.0 or float(1.0 if slope is None else slope) != 1.0)


def _first(sequence: Any) -> Any:
    return sequence[0] if sequence else None


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    if value is None or isinstance(value, str):
        return None
    numbers = tuple(float(part) for part in value)
    return numbers if len(numbers) == count else None


def _positive(value: Any) -> float | None:
    return float(value) if value is not None and str(value) != "" and float(value) > 0 else None


def _raise(error: OSError) -> None:
    raise error
