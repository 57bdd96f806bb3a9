"""NRRD and MetaImage, read by SimpleITK, which says by itself when such a file is cut short."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from sammix_core.errors import InputError
from sammix_core.volume_io.nrrd import nrrd_grid_lines
from sammix_core.volume_io.quiet import quiet_libraries, stderr_turned_away, utf8_path
from sammix_core.volume_io.raw_image import (
    RawImage,
    StraightGrid,
    check_numbers,
    is_orientation_stated,
    is_placeholder_geometry,
    is_straight,
    straighten,
)

IMAGE_IO = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}

# 3D Slicer writes a layer for each set of segments that do not overlap.
_MOST_LAYERS = 256

# Deflate packs at most 1032 bytes into one.
LARGEST_PACKING_RATIO = 1032

_LARGEST_META_HEADER_BYTES = 1 << 16


def read_itk_file(path: Path) -> RawImage:
    """Reads a NRRD or MetaImage file.

    Args:
        path: The file, with one of the suffixes of `IMAGE_IO`.

    Returns:
        Its numbers and geometry.

    Raises:
        InputError: The file is damaged, cut short, not 3-D, coloured, complex or sheared.
    """
    image, _ = _load(path, most_components=1)
    return _raw_image(image, path)


def read_itk_layers(path: Path) -> tuple[RawImage, dict[str, str]]:
    """Reads a labelmap that may have several layers, as 3D Slicer writes segments that overlap.

    Args:
        path: As `read_itk_file` has it.

    Returns:
        Its numbers, (k, j, i) or with layers (k, j, i, layer), and geometry; and the key/value pairs of its header.

    Raises:
        InputError: As `read_itk_file`, but for several values a voxel.
    """
    image, pairs = _load(path, most_components=_MOST_LAYERS)
    return _raw_image(image, path), pairs


def _load(path: Path, most_components: int) -> tuple[Any, dict[str, str]]:
    import SimpleITK as sitk

    if IMAGE_IO[path.suffix.lower()] == "MetaImageIO":
        _check_packed_size(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(IMAGE_IO[path.suffix.lower()])
    try:
        with utf8_path(path) as named, quiet_libraries(), stderr_turned_away():
            reader.SetFileName(str(named))
            reader.ReadImageInformation()
            _check_kind(reader, path.name, most_components)
            _check_size(reader, path)
            image = reader.Execute()
    except RuntimeError as error:
        raise _damaged(path) from error
    pairs = {}
    for key in reader.GetMetaDataKeys():
        with suppress(TypeError):  # a damaged key, that is no UTF-8
            pairs[key] = reader.GetMetaData(key)
    return (image[..., 0] if image.GetDimension() == 4 else image), pairs


def _raw_image(image: Any, path: Path) -> RawImage:
    spacing, origin = image.GetSpacing(), image.GetOrigin()
    direction = np.array(image.GetDirection(), dtype=np.float64).reshape(3, 3)
    check_numbers(path.name, spacing, origin, direction)
    grid = StraightGrid(spacing, direction)
    if not is_straight(direction):
        grid = straighten(direction * np.asarray(spacing), image.GetSize()[2], path.name)
    spacing_known = not is_placeholder_geometry(spacing, origin, direction)
    return RawImage(
        array=array_of(image),
        spacing=grid.spacing,
        origin=origin,
        direction=grid.direction,
        spacing_known=spacing_known,
        orientation_known=spacing_known and is_orientation_stated(origin, direction) and _states_orientation(path),
        notes=grid.notes,
        slice_positions_mm=grid.slice_positions_mm,
        grid_header=nrrd_grid_lines(path) if IMAGE_IO[path.suffix.lower()] == "NrrdImageIO" else None,
    )


def _states_orientation(path: Path) -> bool:
    """Whether the header has a field that says how the axes lie."""
    with path.open("rb") as stream:
        block = stream.read(_LARGEST_META_HEADER_BYTES)
    if IMAGE_IO[path.suffix.lower()] == "NrrdImageIO":
        header = block.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0]
        return re.search(rb"^space( dimension)?:", header, re.MULTILINE) is not None and b"space directions:" in header
    header = block[: block.find(b"ElementDataFile") + 1]
    return re.search(rb"^(TransformMatrix|Orientation|Rotation)\s*=", header, re.MULTILINE) is not None


def _check_packed_size(path: Path) -> None:
    """Refuses a MetaImage that states another size than its packed voxels have: MetaIO would crash the process."""
    with path.open("rb") as stream:
        block = stream.read(_LARGEST_META_HEADER_BYTES)
    stated = re.search(rb"^CompressedDataSize\s*=\s*(\S*)", block, re.MULTILINE)
    where = re.search(rb"^ElementDataFile\s*=\s*([^\r\n]*)\r?\n?", block, re.MULTILINE)
    if stated is None or where is None:
        return
    if where[1].strip().upper() == b"LOCAL":
        there = path.stat().st_size - where.end()
    else:
        data = path.parent / where[1].strip().decode("utf-8", errors="replace")
        there = data.stat().st_size if data.is_file() else 0
    if stated[1] != str(there).encode():
        raise _damaged(path)


def _damaged(path: Path) -> InputError:
    return InputError(f"{path.name} is cut short, damaged or of another format than its name says.")


def _check_kind(reader: Any, name: str, most_components: int) -> None:
    dimension, components, size = reader.GetDimension(), reader.GetNumberOfComponents(), reader.GetSize()
    if components > most_components:
        raise InputError(f"{name} holds {components} values a voxel (a vector or colour image); a CT has one.")
    if dimension != 3 and not (dimension == 4 and size[3] == 1):
        raise InputError(f"{name} is {dimension}-D; a CT volume must be 3-D.")


def _check_size(reader: Any, path: Path) -> None:
    """Refuses a header that states more voxels than any packing makes of the file, before they take the memory."""
    if path.suffix.lower() in (".mhd", ".nhdr"):
        return  # the voxels are in another file
    count = math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
    if count > LARGEST_PACKING_RATIO * path.stat().st_size:
        raise _damaged(path)


class _Owner:
    """Keeps an image alive for as long as an array looks into its memory."""

    def __init__(self, image: Any, view: np.ndarray) -> None:
        self.image = image
        self.__array_interface__ = view.__array_interface__


def array_of(image: Any) -> np.ndarray:
    """The voxels of a SimpleITK image as a (k, j, i) array, without the copy that GetArrayFromImage makes.

    Args:
        image: A SimpleITK image; it must not be changed afterwards.

    Returns:
        (k, j, i), or (k, j, i, component), read-only, in the image's own memory, which lives as long as the array.
    """
    import SimpleITK as sitk

    image.MakeUnique()
    return np.asarray(_Owner(image, sitk.GetArrayViewFromImage(image)))
