"""One door for all formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sammix_core.errors import InputError
from sammix_core.volume.volume import Volume
from sammix_core.volume_io.hounsfield import to_volume
from sammix_core.volume_io.itk_files import IMAGE_IO, read_itk_file
from sammix_core.volume_io.nifti import read_nifti
from sammix_core.volume_io.patient_axes import with_patient_axes
from sammix_core.volume_io.raw_image import RawImage

_NIFTI = (".nii", ".nii.gz")
# Files that hold a whole volume and say so by their name; DICOM is known by its content.
VOLUME_SUFFIXES = (*_NIFTI, *IMAGE_IO)

_KNOWN = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd) and DICOM"


def read_volume(path: str | Path, series: str | None = None, values_are_hu: bool = False) -> Volume:
    """Reads a CT volume.

    Args:
        path: A NIfTI, NRRD or MetaImage file, a folder with a DICOM series (subfolders are searched too), or one DICOM
            file, which selects its series in that folder.
        series: Which series of a DICOM folder: its UID, the end of its UID, or its number.
        values_are_hu: Whether someone who knows says that the file's numbers are Hounsfield units; otherwise the body's
            values decide, and a CT on another scale is converted or refused.

    Returns:
        The volume on the file's own grid, in Hounsfield units. Oddities that were dealt with are in its notes.

    Raises:
        InputError: The input cannot be segmented; the sentence says why.
    """
    path = Path(path).expanduser()
    # Absurd numbers in a damaged file are dealt with; numpy's warnings of them would only puzzle.
    with np.errstate(all="ignore"):
        try:
            raw = _read(path, series, values_are_hu)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
        return with_patient_axes(to_volume(raw, _name(path), values_are_hu))


def _read(path: Path, series: str | None, values_are_hu: bool) -> RawImage:
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    # Here, so that who reads NIfTI alone does not wait for pydicom.
    if path.is_dir():
        from sammix_core.volume_io.dicom import read_dicom_folder

        return read_dicom_folder(path, series, values_are_hu)
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder.")
    name = path.name.lower()
    is_nifti, is_itk = name.endswith(_NIFTI), path.suffix.lower() in IMAGE_IO
    if is_nifti or is_itk:
        if series is not None:
            raise InputError(f"{path.name} is no DICOM, so there is no series to choose.")
        if path.stat().st_size == 0:
            raise InputError(f"{path.name} is empty.")
        return read_nifti(path) if is_nifti else read_itk_file(path)
    from sammix_core.volume_io.dicom import is_dicom, read_dicom_file

    if not is_dicom(path):
        raise InputError(f"{path.name} is no CT volume that can be read; {_KNOWN} can.")
    return read_dicom_file(path, series, values_are_hu)


def is_no_dicom(path: Path) -> bool:
    """Whether a file's name alone says that it is no DICOM; folders and other names may be."""
    return not path.is_dir() and (path.name.lower().endswith(_NIFTI) or path.suffix.lower() in IMAGE_IO)


def _name(path: Path) -> str:
    """The last part of a path; "." and "/" have none."""
    return path.name or path.resolve().name or str(path)
