"""DICOM folders and files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sammix_core.errors import InputError
from sammix_core.volume_io.dicom_headers import Frame, frames_of, frames_under, is_dicom, is_directory
from sammix_core.volume_io.dicom_series import choose, group
from sammix_core.volume_io.dicom_stack import read_stack
from sammix_core.volume_io.quiet import quiet_libraries
from sammix_core.volume_io.raw_image import RawImage

__all__ = ["is_dicom", "read_dicom_file", "read_dicom_files", "read_dicom_folder"]


def read_dicom_folder(folder: Path, wanted: str | None, values_are_hu: bool = False) -> RawImage:
    """Reads the CT series of a folder and its subfolders.

    Args:
        folder: The folder.
        wanted: The series' UID, its end, or its number, or the phase of a series; None where there is only one CT.
        values_are_hu: Whether someone who knows says that the values of a virtual image are Hounsfield units.

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
        return read_stack(choose(group(frames), wanted, name, values_are_hu), name)


def read_dicom_file(path: Path, wanted: str | None, values_are_hu: bool = False) -> RawImage:
    """Reads the series that a file belongs to, from the file's own folder; of a DICOMDIR, its folder.

    Args:
        path: One file of the series.
        wanted: Another series of that folder; usually None.
        values_are_hu: As `read_dicom_folder` has it.

    Returns:
        The series as a volume.

    Raises:
        InputError: The file is no image, or its series no CT that can be read.
        OSError: A file cannot be read.
    """
    with quiet_libraries():
        if is_directory(path):
            return read_dicom_folder(path.parent, wanted, values_are_hu)
        named = frames_of(path)
        if not named:
            raise InputError(f"{path.name} is a DICOM file without an image.")
        frames = list(frames_under(path.parent, deep=False)) or named
        if wanted is None:
            frames = [frame for frame in frames if _is_same_series(frame, named[0])]
        series = group(frames)
        if wanted is None:
            series = [part for part in series if any(frame.path == named[0].path for frame in part.frames)] or series
        return read_stack(choose(series, wanted, path.name, values_are_hu), path.name)


def read_dicom_files(paths: Iterable[Path], uid: str, phase: str, name: str) -> RawImage:
    """Reads a series whose files are known.

    Args:
        paths: The files that hold it; they may hold other series too.
        uid: Its Series Instance UID.
        phase: See `Series`.
        name: What the sentences call it.

    Returns:
        The series as a volume.

    Raises:
        InputError: The series is damaged, or no longer in these files.
        OSError: A file cannot be read.
    """
    with quiet_libraries():
        series = group(frame for path in paths for frame in frames_of(path))
        for candidate in series:
            if (candidate.uid, candidate.phase) == (uid, phase):
                return read_stack(candidate, name)
    raise InputError(f"{name} is no longer as it was found; start the run again.")


def _is_same_series(frame: Frame, other: Frame) -> bool:
    return frame.series_uid == other.series_uid and (frame.series_uid != "" or frame.modality == other.modality)
