"""DICOM folders and files."""

from __future__ import annotations

from pathlib import Path

from sammix_core.errors import InputError
from sammix_core.volume_io.dicom_headers import Frame, frames_of, frames_under, is_dicom
from sammix_core.volume_io.dicom_series import choose, group
from sammix_core.volume_io.dicom_stack import read_stack
from sammix_core.volume_io.quiet import quiet_libraries
from sammix_core.volume_io.raw_image import RawImage

__all__ = ["is_dicom", "read_dicom_file", "read_dicom_folder"]


def read_dicom_folder(folder: Path, wanted: str | None) -> RawImage:
    """Reads the CT series of a folder and its subfolders.

    Args:
        folder: The folder.
        wanted: The series' UID, its end, or its number; None where there is only one CT.

    Returns:
        The series as a volume.

    Raises:
        InputError: There is no DICOM image, no CT, or no single series that is meant; or the series is damaged.
        OSError: A file cannot be read.
    """
    name = folder.resolve().name or str(folder)
    with quiet_libraries():
        frames = list(frames_under(folder, deep=True))
    if not frames:
        content = "is empty" if not any(folder.iterdir()) else "holds no DICOM image"
        raise InputError(f"The folder {folder} {content}.")
    return read_stack(choose(group(frames), wanted, name), name)


def read_dicom_file(path: Path, wanted: str | None) -> RawImage:
    """Reads the series that a file belongs to, from the file's own folder.

    Args:
        path: One file of the series.
        wanted: Another series of that folder; usually None.

    Returns:
        The series as a volume.

    Raises:
        InputError: The file is no image, or its series no CT that can be read.
        OSError: A file cannot be read.
    """
    with quiet_libraries():
        own = frames_of(path)
        if not own:
            raise InputError(f"{path.name} is a DICOM file without an image.")
        frames = list(frames_under(path.parent, deep=False)) or own
    if wanted is None:
        frames = [frame for frame in frames if _is_same_series(frame, own[0])]
    return read_stack(choose(group(frames), wanted, path.name), path.name)


def _is_same_series(frame: Frame, other: Frame) -> bool:
    return frame.series_uid == other.series_uid and (frame.series_uid != "" or frame.modality == other.modality)
