"""Segmentations in DICOM as references: SEG and RTSTRUCT, and whether they belong to a CT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sammix_core.errors import InputError
from sammix_core.volume_io.dicom_headers import frames_of
from sammix_core.volume_io.dicom_seg_reading import SEG_CLASSES, StoredSegmentation
from sammix_core.volume_io.labelmap import Labelmap, grid_of, placed_on_ct
from sammix_core.volume_io.quiet import quiet_libraries
from sammix_core.volume_io.rtstruct import RTSTRUCT_CLASS, Contours
from sammix_core.volume_io.slice_planes import SlicePlanes

if TYPE_CHECKING:
    from sammix_core.volume.volume import Volume


def read_dicom_reference(path: Path) -> StoredSegmentation | Contours:
    """Reads a DICOM SEG or RTSTRUCT.

    Raises:
        InputError: The file is damaged, or another kind of DICOM.
        OSError: The file cannot be read.
    """
    with quiet_libraries():
        try:
            return _reference(path)
        except InputError:
            raise
        except Exception as error:  # pydicom raises many kinds for what breaks the standard, and some without a number
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise InputError(f"{path.name} is a damaged DICOM file.") from error


def _reference(path: Path) -> StoredSegmentation | Contours:
    import pydicom

    dataset = pydicom.dcmread(path, force=True)
    kind = _class_of(dataset)
    if kind in SEG_CLASSES:
        return StoredSegmentation.of(dataset, path.name)
    if kind == RTSTRUCT_CLASS:
        return Contours.of(dataset, path.name)
    what = dataset.get("Modality") or "of an unknown kind"
    raise InputError(f"{path.name} is DICOM ({what}), but no segmentation; a DICOM SEG and an RTSTRUCT are.")


def reference_on_ct(reference: StoredSegmentation | Contours, volume: Volume, case: str) -> Labelmap:
    """Places a DICOM segmentation on the grid of a CT, slice by slice where the CT is DICOM too.

    Args:
        reference: The segmentation.
        volume: The CT.
        case: What the message calls both.

    Raises:
        InputError: It belongs to another frame of reference or series, or does not lie on the CT's slices.
    """
    planes = None
    if volume.dicom_frames is not None:
        frames = {path: frames_of(path) for path in dict.fromkeys(frame.path for frame in volume.dicom_frames)}
        _check_belongs(reference, volume.dicom_frames[0].path, case)
        planes = SlicePlanes.of_frames([frames[frame.path][frame.index] for frame in volume.dicom_frames])
    grid = grid_of(volume)
    if isinstance(reference, Contours):
        return reference.on(grid, planes, case)
    placed = None if planes is None else reference.on_planes(grid, planes)
    return placed_on_ct(reference.labelmap(), volume, case) if placed is None else placed


def _check_belongs(reference: StoredSegmentation | Contours, image: Path, case: str) -> None:
    import pydicom

    with quiet_libraries():
        header: Any = pydicom.dcmread(
            image, stop_before_pixels=True, force=True, specific_tags=["FrameOfReferenceUID", "SeriesInstanceUID"]
        )
    frame_of_reference = str(header.get("FrameOfReferenceUID") or "")
    if frame_of_reference and reference.frame_of_reference not in ("", frame_of_reference):
        raise InputError(
            f"{reference.name} lies in another frame of reference than the CT of {case}: it was drawn on another scan, "
            "or after the patient had moved."
        )
    series = str(header.get("SeriesInstanceUID") or "")
    if series and reference.series and series not in reference.series:
        raise InputError(f"{reference.name} was drawn on another series than the CT of {case}.")


def class_of_file(path: Path) -> str:
    """The SOP Class UID of a DICOM file; "" where it cannot be read."""
    import pydicom

    with quiet_libraries():
        try:
            return _class_of(pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=["SOPClassUID"]))
        except Exception:  # whoever reads it as a whole says why
            return ""


def _class_of(dataset: Any) -> str:
    meta = getattr(dataset, "file_meta", {})
    return str(dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")
