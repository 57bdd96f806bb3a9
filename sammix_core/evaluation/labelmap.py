"""Labelmaps from files. They are no CT, so the checks on Hounsfield units do not apply to them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sammix_core.errors import InputError

_LABELMAP_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
_GZIP_BLOCK_BYTES = 1 << 20

# Headers round: NIfTI keeps float32, and a scanner's origin has a few decimals. A tenth of a voxel shifts no voxel.
_CORNER_TOLERANCE_VOXELS = 0.1


@dataclass(frozen=True)
class Labelmap:
    """Labels on a grid.

    Attributes:
        array: (k, j, i), an integer dtype.
        spacing: (i, j, k) in mm.
        origin: LPS in mm of the centre of voxel (0, 0, 0).
        direction: (3, 3) float64; its columns are the LPS unit vectors of the i, j and k axes.
        spacing_known: False where the file says nothing of its spacing.
        name: The file's base name, for messages.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: np.ndarray
    spacing_known: bool
    name: str

    def labels(self) -> list[int]:
        """The labels that occur, without the background 0, in ascending order."""
        return [int(label) for label in np.unique(self.array) if label != 0]

    def difference_from(self, other: Labelmap) -> str | None:
        """Says how the grid differs from another one, or None when both are the same.

        Grids are compared by where their corners lie, so that one written by another program, rounded, passes.
        """
        if self.array.shape != other.array.shape:
            mine, theirs = (" x ".join(map(str, reversed(grid.array.shape))) for grid in (self, other))
            return f"{self.name} has {mine} voxels and {other.name} has {theirs}"
        tolerance = _CORNER_TOLERANCE_VOXELS * min(*self.spacing, *other.spacing)
        distance = float(np.linalg.norm(self._corners_lps() - other._corners_lps(), axis=1).max())
        if distance > tolerance:
            return f"their corners lie up to {distance:.1f} mm apart"
        return None

    def _corners_lps(self) -> np.ndarray:
        """(8, 3) LPS in mm of the centres of the corner voxels."""
        last_ijk = np.array(self.array.shape[::-1]) - 1
        corners_ijk = np.array(list(np.ndindex(2, 2, 2))) * last_ijk
        return np.asarray(self.origin) + (corners_ijk * self.spacing) @ self.direction.T


def read_labelmap(path: str | Path) -> Labelmap:
    """Reads a labelmap in NIfTI, NRRD or MetaImage.

    Args:
        path: The file.

    Returns:
        The labels on the file's own grid.

    Raises:
        InputError: The file is missing, cut short, of another format, not three-dimensional or holds no whole numbers.
    """
    import SimpleITK as sitk

    file = Path(path).expanduser()
    _check_file(file)
    reader = sitk.ImageFileReader()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
        dimension, components = reader.GetDimension(), reader.GetNumberOfComponents()
        if dimension != 3 or components != 1:
            what = f"{dimension}-D" if components == 1 else f"{dimension}-D with {components} values a voxel"
            raise InputError(f"{file.name} is {what}; a labelmap must be 3-D with one value a voxel.")
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{file.name} could not be read as a labelmap: it is damaged or of another format.") from error
    return Labelmap(
        array=_whole_numbers(sitk.GetArrayFromImage(image), file.name),
        spacing=image.GetSpacing(),
        origin=image.GetOrigin(),
        direction=np.array(image.GetDirection(), dtype=np.float64).reshape(3, 3),
        spacing_known=_spacing_known(image),
        name=file.name,
    )


def _check_file(file: Path) -> None:
    if not file.exists():
        raise InputError(f"{file} does not exist.")
    if not file.is_file():
        raise InputError(f"{file} is a folder; name one labelmap file.")
    if not file.name.lower().endswith(_LABELMAP_SUFFIXES):
        raise InputError(f"{file.name} is no labelmap that can be read; known are {', '.join(_LABELMAP_SUFFIXES)}.")
    if file.name.lower().endswith(".gz"):
        _check_gzip(file)


def _check_gzip(file: Path) -> None:
    """SimpleITK reads a truncated .nii.gz without an error, its end filled with zeros; so it is unpacked first."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        with file.open("rb") as stream:
            while block := stream.read(_GZIP_BLOCK_BYTES):
                while block:
                    unpacker.decompress(block)
                    block = unpacker.unused_data
                    if unpacker.eof:
                        unpacker = zlib.decompressobj(wbits=31) if block else unpacker
    except zlib.error as error:
        raise InputError(f"{file.name} is damaged: it cannot be unpacked.") from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    if not unpacker.eof:
        raise InputError(f"{file.name} is cut short; copy or download it again.")


def _whole_numbers(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind in "iu":
        return array
    labels = np.rint(array)
    if not np.array_equal(labels, array):
        raise InputError(f"{name} holds values that are not whole numbers, so it is no labelmap.")
    return labels.astype(np.int64)


def _spacing_known(image: object) -> bool:
    """A NIfTI without a unit of length and with 1 x 1 x 1 says nothing of its spacing."""
    units = image.GetMetaData("xyzt_units") if image.HasMetaDataKey("xyzt_units") else None  # type: ignore[attr-defined]
    return not (units is not None and int(units) % 8 == 0 and image.GetSpacing() == (1.0, 1.0, 1.0))  # type: ignore[attr-defined]
