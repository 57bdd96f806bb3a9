"""NIfTI-1 files.

The voxels are read here and not by SimpleITK, which fills a truncated .nii.gz with zeros, and turns NaN into zero,
both without an error. The geometry is what SimpleITK makes of the header, because there 3D Slicer shows the volume.
"""

from __future__ import annotations

import gzip
import math
import tempfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from sammix_core.errors import InputError
from sammix_core.volume_io.quiet import quiet_libraries, stderr_turned_away
from sammix_core.volume_io.raw_image import RawImage, check_geometry, is_placeholder_geometry, sheared

_BLOCK_BYTES = 1 << 24

# Extensions of the header lie before the voxels; they are notes of other programs, not images.
_LARGEST_OFFSET_BYTES = 1 << 27

# Deflate packs at most 1032 bytes into one.
_LARGEST_GZIP_RATIO = 1032

# The fields of a NIfTI-1 header that state the grid; the others may name the patient, and stay behind.
_GRID_FIELDS = (
    "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip


def read_nifti(path: Path) -> RawImage:
    """Reads a NIfTI-1 file, gzipped or not.

    Args:
        path: The file.

    Returns:
        Its numbers, with the header's slope and intercept applied, and its geometry.

    Raises:
        InputError: The file is cut short, damaged, not 3-D, coloured, complex or sheared.
        OSError: The file cannot be read.
    """
    try:
        with _open(path) as stream:
            header = _read_header(stream, path.name)
            shape_ijk = _check_shape(header, path.name)
            check_affine(header, path.name)
            array = _read_array(stream, header, shape_ijk, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path.name} is cut short or damaged; copy or download it again.") from error
    spacing, origin, direction = _itk_geometry(header, path.name)
    placeholder = is_placeholder_geometry(spacing, origin, direction)
    unstated = int(header["qform_code"]) <= 0 and int(header["sform_code"]) <= 0
    notes = []
    if unstated and not placeholder:
        notes.append(
            "The file does not say how the patient lies in it; the axes were taken as left, posterior, superior."
        )
    contradiction = _contradiction(header)
    if contradiction:
        notes.append(contradiction)
    return RawImage(
        array=array,
        spacing=spacing,
        origin=origin,
        direction=direction,
        spacing_known=not placeholder and not (header["pixdim"][1:4] == 0).any(),
        notes=tuple(notes),
        grid_header=_grid_header(header),
    )


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"\x1f\x8b"
    # Told by content: a gzipped file is often renamed to .nii, and the other way round.
    return cast(BinaryIO, gzip.open(path, "rb") if zipped else path.open("rb"))


def _read_header(stream: BinaryIO, name: str) -> Any:
    import nibabel

    block = stream.read(348)
    if len(block) < 348:
        raise InputError(f"{name} is too short to be a NIfTI file.")
    size = {int.from_bytes(block[:4], order) for order in ("little", "big")}
    if 540 in size:
        raise InputError(f"{name} is a NIfTI-2 file; convert it to NIfTI-1, which 3D Slicer reads too.")
    if 348 not in size or block[344:347] != b"n+1":
        raise InputError(f"{name} is not a NIfTI-1 file, although its name says so.")
    return nibabel.Nifti1Header(block, check=False)


def _check_shape(header: Any, name: str) -> tuple[int, int, int]:
    n_dimensions = int(header["dim"][0])
    if not 1 <= n_dimensions <= 7:
        raise InputError(f"{name} has a damaged header: {n_dimensions} dimensions.")
    sizes = [int(size) for size in header["dim"][1 : n_dimensions + 1]]
    if min(sizes) < 1:
        raise InputError(f"{name} has a damaged header: a size of {min(sizes)} voxels.")
    if int(header["datatype"]) in (128, 2304):
        raise InputError(f"{name} holds colours, so it is no CT.")
    if n_dimensions == 5 and sizes[3] == 1 and sizes[4] > 1:
        raise InputError(f"{name} holds {sizes[4]} values a voxel (a vector or colour image); a CT has one.")
    # A fourth dimension of one time point says nothing, and some tools write it.
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) != 3:
        raise InputError(f"{name} is {len(sizes)}-D; a CT volume must be 3-D.")
    return sizes[0], sizes[1], sizes[2]


def check_affine(header: Any, name: str) -> None:
    """Refuses a header whose sform is sheared or impossible; ITK would bend it straight without a word."""
    if int(header["sform_code"]) <= 0:
        return
    affine = header.get_sform()
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    # A column of zeros becomes NaN here, which is refused.
    check_geometry(name, tuple(lengths), tuple(affine[:3, 3]), affine[:3, :3] / lengths)


def _read_array(stream: BinaryIO, header: Any, shape_ijk: tuple[int, int, int], path: Path) -> np.ndarray:
    """(k, j, i): reads straight into the array, so that a large volume is in memory once."""
    try:
        dtype = header.get_data_dtype()
    except Exception as error:  # nibabel raises its own kinds for a code that it does not know
        raise InputError(f"{path.name} has voxels of an unknown kind.") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(f"{path.name} holds values of type {dtype}; a CT has plain numbers.")
    # Before a damaged header takes the memory: no file unpacks to more than this.
    if math.prod(shape_ijk) * dtype.itemsize > _LARGEST_GZIP_RATIO * path.stat().st_size:
        raise EOFError
    array = np.empty(shape_ijk[::-1], dtype)
    offset = float(header["vox_offset"])
    if not 0 <= offset <= _LARGEST_OFFSET_BYTES:
        raise InputError(f"{path.name} has a damaged header: its voxels begin at byte {offset:g}.")
    _skip(stream, max(int(offset), 352) - 348)
    view = array.reshape(-1).view(np.uint8).data
    while len(view):
        count = stream.readinto(view[:_BLOCK_BYTES])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        view = view[count:]
    # To the end, where gzip compares its checksum.
    while stream.read(_BLOCK_BYTES):
        pass
    if not array.dtype.isnative:
        array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
    return _scaled(array, header)


def _skip(stream: BinaryIO, count: int) -> None:
    if len(stream.read(count)) < count:
        raise EOFError


def _scaled(array: np.ndarray, header: Any) -> np.ndarray:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite(slope) or slope == 0:  # the standard's way to say: no scaling
        return array
    if not np.isfinite(intercept):
        intercept = 0.0
    if (slope, intercept) == (1.0, 0.0):
        return array
    if array.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer():
        limits = np.array([array.min(), array.max()], dtype=np.float64) * slope + intercept
        if np.abs(limits).max() <= np.iinfo(np.int32).max:
            kind = np.int16 if limits.min() >= -(2**15) and limits.max() < 2**15 else np.int32
            out = np.empty(array.shape, kind)
            for k, plane in enumerate(array):
                out[k] = plane.astype(np.int64) * int(slope) + int(intercept)
            return out
    scaled = np.empty(array.shape, np.float32)
    for k, plane in enumerate(array):
        scaled[k] = plane * slope + intercept
    return scaled


def _itk_geometry(header: Any, name: str) -> tuple[tuple[float, float, float], tuple[float, float, float], np.ndarray]:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("NiftiImageIO")
    with tempfile.TemporaryDirectory() as folder:
        # The header alone, because ITK asks for a name that tells whether the file is gzipped, and many do not.
        bare = Path(folder, "header.nii")
        bare.write_bytes(bytes(header.binaryblock) + b"\0\0\0\0")
        reader.SetFileName(str(bare))
        try:
            with quiet_libraries(), stderr_turned_away():
                reader.ReadImageInformation()
        except RuntimeError as error:
            if "orthonormal" in str(error):
                raise sheared(name) from error
            raise InputError(f"{name} has a NIfTI header that cannot be understood.") from error
    n = reader.GetDimension()
    direction = np.array(reader.GetDirection(), dtype=np.float64).reshape(n, n)[:3, :3]
    spacing, origin = reader.GetSpacing(), reader.GetOrigin()
    check_geometry(name, spacing[:3], origin[:3], direction)
    return (spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2]), direction


def _contradiction(header: Any) -> str | None:
    """Both pixdim and the sform state the spacing; ITK and Slicer believe pixdim."""
    if int(header["sform_code"]) <= 0:
        return None
    lengths = np.linalg.norm(header.get_sform()[:3, :3], axis=0)
    stated = np.abs(header["pixdim"][1:4].astype(np.float64))
    if np.allclose(lengths, stated, rtol=1e-2):
        return None
    shown = [" x ".join(f"{value:.3g}" for value in values) for values in (stated, lengths)]
    return f"The header states two spacings, {shown[0]} and {shown[1]} mm; the first was taken, as 3D Slicer does."


def _grid_header(header: Any) -> bytes:
    import nibabel

    grid = nibabel.Nifti1Header(endianness=header.endianness)
    for name in _GRID_FIELDS:
        grid[name] = header[name]
    # With qfac pixdim has five values of the grid; the steps in time and beyond are not the labelmap's.
    grid["pixdim"][4:] = 1
    return bytes(grid.binaryblock)
