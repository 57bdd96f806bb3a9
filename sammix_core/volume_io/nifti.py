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
from sammix_core.volume_io.itk_files import LARGEST_PACKING_RATIO
from sammix_core.volume_io.quiet import quiet_libraries, stderr_turned_away
from sammix_core.volume_io.raw_image import (
    RawImage,
    StraightGrid,
    check_geometry,
    is_orientation_stated,
    is_placeholder_geometry,
    sheared,
    straighten,
)

_BLOCK_BYTES = 1 << 24

# Extensions of the header lie before the voxels; they are notes of other programs, not images.
_LARGEST_OFFSET_BYTES = 1 << 27

# ITK takes an sform that is straight to about this much.
_ITK_TOLERANCE_MM = 2e-5
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

# Two forms of one header may differ by rounding, but not by a share of a voxel.
_SAME_CORNER_VOXELS = 0.5

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
            array = _read_array(stream, header, shape_ijk, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path.name} is cut short or damaged; copy or download it again.") from error
    grid, origin = _geometry(header, shape_ijk[2], path.name)
    placeholder = is_placeholder_geometry(grid.spacing, origin, grid.direction)
    is_coded = int(header["qform_code"]) > 0 or int(header["sform_code"]) > 0
    contradictions = (_two_spacings(header), _two_orientations(header, shape_ijk, grid, origin))
    return RawImage(
        array=array,
        spacing=grid.spacing,
        origin=origin,
        direction=grid.direction,
        spacing_known=not placeholder and not (header["pixdim"][1:4] == 0).any(),
        orientation_known=not placeholder and is_coded and is_orientation_stated(origin, grid.direction),
        notes=(*grid.notes, *(note for note in contradictions if note is not None)),
        slice_positions_mm=grid.slice_positions_mm,
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


def _geometry(header: Any, n_k: int, name: str) -> tuple[StraightGrid, tuple[float, float, float]]:
    """The grid and the LPS origin: as ITK reads them, or straightened where the sform is too slanted for ITK.

    ITK takes a straight qform instead without a word, or refuses the file.
    """
    if int(header["sform_code"]) > 0:
        to_lps = _RAS_TO_LPS @ header.get_sform()
        grid = straighten(to_lps, n_k, name)
        if np.abs(to_lps[:3, :3] - grid.direction * np.asarray(grid.spacing)).max() > _ITK_TOLERANCE_MM:
            origin = (float(to_lps[0, 3]), float(to_lps[1, 3]), float(to_lps[2, 3]))
            check_geometry(name, grid.spacing, origin, grid.direction)
            return grid, origin
    spacing, origin, direction = _itk_geometry(header, name)
    return StraightGrid(spacing, direction), origin


def _read_array(stream: BinaryIO, header: Any, shape_ijk: tuple[int, int, int], path: Path) -> np.ndarray:
    """(k, j, i): reads straight into the array, so that a large volume is in memory once."""
    try:
        dtype = header.get_data_dtype()
    except Exception as error:  # nibabel raises its own kinds for a code that it does not know
        raise InputError(f"{path.name} has voxels of an unknown kind.") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(f"{path.name} holds values of type {dtype}; a CT has plain numbers.")
    # Before a damaged header takes the memory: no file unpacks to more than this.
    if math.prod(shape_ijk) * dtype.itemsize > LARGEST_PACKING_RATIO * path.stat().st_size:
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


def _two_spacings(header: Any) -> str | None:
    """Both pixdim and the sform state the spacing; ITK and Slicer believe pixdim."""
    if int(header["sform_code"]) <= 0:
        return None
    lengths = np.linalg.norm(header.get_sform()[:3, :3], axis=0)
    stated = np.abs(header["pixdim"][1:4].astype(np.float64))
    if np.allclose(lengths, stated, rtol=1e-2):
        return None
    shown = [" x ".join(f"{value:.3g}" for value in values) for values in (stated, lengths)]
    return f"The header states two spacings, {shown[0]} and {shown[1]} mm; the first was taken, as 3D Slicer does."


def _two_orientations(
    header: Any, shape_ijk: tuple[int, int, int], grid: StraightGrid, origin: tuple[float, float, float]
) -> str | None:
    """Both qform and sform say where the volume lies; they should say the same."""
    if int(header["sform_code"]) <= 0 or int(header["qform_code"]) <= 0:
        return None
    try:
        forms = {"sform": _RAS_TO_LPS @ header.get_sform(), "qform": _RAS_TO_LPS @ header.get_qform()}
    except Exception:  # nibabel raises several kinds for a quaternion that is none
        return "The header's qform is damaged; the sform was taken."
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape_ijk) - 1)

    def places(steps: np.ndarray, start: np.ndarray) -> np.ndarray:
        return corners @ steps.T + start

    used = places(grid.direction * np.asarray(grid.spacing), np.asarray(origin))
    away = {
        form: float(np.linalg.norm(places(matrix[:3, :3], matrix[:3, 3]) - used, axis=1).max())
        for form, matrix in forms.items()
    }
    apart = float(
        np.linalg.norm(
            places(forms["qform"][:3, :3], forms["qform"][:3, 3])
            - places(forms["sform"][:3, :3], forms["sform"][:3, 3]),
            axis=1,
        ).max()
    )
    if not apart > _SAME_CORNER_VOXELS * min(grid.spacing):
        return None
    taken = min(away, key=lambda form: away[form])
    return (
        f"The header's qform and sform contradict each other (corners up to {apart:.0f} mm apart); the {taken} was "
        "taken, as 3D Slicer does. Check that left and right are not exchanged."
    )


def _grid_header(header: Any) -> bytes:
    import nibabel

    grid = nibabel.Nifti1Header(endianness=header.endianness)
    for name in _GRID_FIELDS:
        grid[name] = header[name]
    # With qfac pixdim has five values of the grid; the steps in time and beyond are not the labelmap's.
    grid["pixdim"][4:] = 1
    return bytes(grid.binaryblock)
