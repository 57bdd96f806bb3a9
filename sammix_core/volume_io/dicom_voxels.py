"""The voxels of DICOM images, by GDCM as 3D Slicer reads them, and by pydicom what GDCM cannot."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from sammix_core.errors import InputError
from sammix_core.volume_io.dicom_headers import Frame
from sammix_core.volume_io.itk_files import LARGEST_PACKING_RATIO, array_of
from sammix_core.volume_io.quiet import stderr_turned_away, utf8_path

Grid = tuple[tuple[float, float, float], tuple[float, float, float], np.ndarray]

# PS3.5, A.4: packed pixels are items of a tag and a length.
_ITEM = struct.Struct("<HHI")
_FRAGMENT, _LAST_ITEM = [0xFFFE, 0xE000], [0xFFFE, 0xE0DD]
_LAYOUT = ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "NumberOfFrames")
_INT16 = np.iinfo(np.int16)


def read_voxels(frames: list[Frame]) -> tuple[np.ndarray, Grid | None]:
    """Reads images one by one into one array.

    Args:
        frames: Images of one size, in order.

    Returns:
        (n, rows, columns) int16, or float32 where a slope is not whole, with each image's own rescale; and spacing,
        origin and direction of the first image as ITK has them, None where they are in functional groups alone.

    Raises:
        InputError: A file is cut short, damaged, coloured, or packed in a way that nothing here can unpack.
    """
    first = frames[0]
    file, planes = first.path, _File(first, frames)
    grid = planes.grid
    # Whole numbers beyond int16 are clipped later all the same; a slope that is not whole makes floats.
    kind = np.dtype(np.int16) if planes.plane(first).dtype.kind in "iu" else np.dtype(np.float32)
    array = np.empty((len(frames), first.rows, first.columns), kind)
    for k, frame in enumerate(frames):
        if frame.path != file:  # only the file at hand stays in memory
            file, planes = frame.path, _File(frame, frames)
        plane = planes.plane(frame)
        if plane.dtype.kind == "f" and array.dtype.kind != "f":
            array = array.astype(np.float32)
        array[k] = np.clip(plane, _INT16.min, _INT16.max)
    return array, grid


class _File:
    """The images of one file.

    Args:
        frame: One of them.
        frames: All images that are wanted; those of this file decide whether one rescale holds for all of it.
    """

    def __init__(self, frame: Frame, frames: list[Frame]) -> None:
        size = frame.n_frames * frame.rows * frame.columns
        # Before a damaged header takes the memory: no file unpacks to more than this.
        if frame.n_frames < 1 or size > LARGEST_PACKING_RATIO * frame.path.stat().st_size:
            raise InputError(f"{frame.path.name} has a DICOM header that does not fit its image.")
        rescales = {(other.slope, other.intercept) for other in frames if other.path == frame.path}
        self.grid: Grid | None = None
        file = _parsed(frame.path)
        image = _read_by_gdcm(frame.path) if len(rescales) == 1 and _is_sound(file) else None
        if image is None:
            self._planes = _read_by_pydicom(frame, file)
            self._is_rescaled = False
            return
        if image.GetNumberOfComponentsPerPixel() != 1:
            raise InputError(f"{frame.path.name} holds colours, so it is no CT.")
        self._planes, self._is_rescaled = array_of(image), True
        if not frame.enhanced:
            direction = np.array(image.GetDirection(), dtype=np.float64).reshape(3, 3)
            self.grid = image.GetSpacing(), image.GetOrigin(), direction

    def plane(self, frame: Frame) -> np.ndarray:
        """(rows, columns) of one image."""
        is_whole = self._planes.shape == (frame.n_frames, frame.rows, frame.columns)
        if not is_whole or frame.index >= frame.n_frames:  # frames may be described that are not there
            raise InputError(f"{frame.path.name} has a DICOM header that does not fit its image.")
        plane = self._planes[frame.index]
        return plane if self._is_rescaled else _rescaled(plane, frame)


def _rescaled(plane: np.ndarray, frame: Frame) -> np.ndarray:
    slope = 1.0 if frame.slope is None else frame.slope
    intercept = frame.intercept or 0.0
    if slope.is_integer() and intercept.is_integer():
        return plane.astype(np.int64) * int(slope) + int(intercept)
    return plane * np.float64(slope) + intercept


def _read_by_gdcm(path: Path) -> Any:
    """A SimpleITK image with a third dimension, or None where GDCM cannot read the file."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    try:
        with utf8_path(path) as named, stderr_turned_away():
            reader.SetFileName(str(named))
            image = reader.Execute()
    except RuntimeError:
        return None
    return sitk.JoinSeries(image) if image.GetDimension() == 2 else image


def _parsed(path: Path) -> Any:
    """The file as a `pydicom.Dataset`."""
    import pydicom

    try:
        return pydicom.dcmread(path, force=True)
    except OSError:
        raise
    except Exception as error:  # pydicom raises many kinds for what breaks the standard
        raise InputError(f"{path.name} is cut short, damaged, or no image.") from error


def _is_sound(file: Any) -> bool:
    """Whether header and pixels fit each other. For a file where they do not, GDCM may ask for gigabytes of memory.

    Of RLE, whose own header may be damaged, pydicom sees that better.
    """
    import pydicom

    try:
        rows, columns, bits, samples, frames = (file.get(name) for name in _LAYOUT)
        pixels = bytes(file.get("PixelData") or b"")
        size = int(rows) * int(columns) * int(bits) * int(samples or 1) * int(frames or 1) // 8
    except Exception:  # as in `_parsed`: values are read when they are asked for
        return False
    syntax = getattr(file, "file_meta", {}).get("TransferSyntaxUID")
    if syntax == pydicom.uid.RLELossless:
        return False
    return _fragments_add_up(pixels) if syntax is not None and _is_packed(syntax) else len(pixels) >= size > 0


def _fragments_add_up(packed: bytes) -> bool:
    at = 0
    while at + _ITEM.size <= len(packed):
        *tag, length = _ITEM.unpack_from(packed, at)
        at += _ITEM.size + length
        if tag == _LAST_ITEM:
            return True
        if tag != _FRAGMENT or at > len(packed):
            return False
    return at == len(packed)


def _is_packed(syntax: Any) -> bool:
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    return syntax.is_transfer_syntax and syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian


def _read_by_pydicom(frame: Frame, file: Any) -> np.ndarray:
    """(n_frames, rows, columns) stored numbers of a parsed file."""
    import pydicom

    name = frame.path.name
    syntax = file.file_meta.get("TransferSyntaxUID") if "file_meta" in file.__dict__ else None
    if syntax is None and "PixelData" in file:
        file.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    try:
        stored = file.pixel_array
    except Exception as error:
        if syntax is not None and _is_packed(syntax):
            raise InputError(
                f"{name} is cut short, damaged, or packed as {syntax.name}, which cannot be unpacked here; "
                "convert it to an uncompressed transfer syntax (gdcmconv --raw), or install pylibjpeg with its plugins."
            ) from error
        raise InputError(f"{name} is cut short, damaged, or no image.") from error
    if frame.samples > 1:
        raise InputError(f"{name} holds colours, so it is no CT.")
    return stored if stored.ndim == 3 else stored[None]
