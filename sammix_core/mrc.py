"""MRC files, the format of electron microscopy, in which the demo's CT comes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sammix_core.errors import InputError

_HEADER_BYTES = 1024
_DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2"}
# Little-endian files begin their machine stamp with 0x44, big-endian ones with 0x11.
_BYTE_ORDERS = {0x44: "<", 0x11: ">"}
_LARGEST_AXIS = 1 << 15


@dataclass(frozen=True)
class MrcImage:
    """What a MRC file holds.

    Attributes:
        array: (section, row, column) as stored: columns are next to each other in the file; native byte order.
        voxel_size: (column, row, section) in angstrom, or None where the file states none (a cell of length 0).
    """

    array: np.ndarray
    voxel_size: tuple[float, float, float] | None


def read_mrc(path: str | Path) -> MrcImage:
    """Reads a MRC2014 file of modes 0 (int8), 1 (int16), 2 (float32) or 6 (uint16).

    Args:
        path: The file.

    Returns:
        Its numbers as stored, whatever MAPC, MAPR and MAPS say of their order.

    Raises:
        InputError: The file is missing, no MRC file, of another mode, or has another length than its header says.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    if len(content) < _HEADER_BYTES or content[208:212] != b"MAP " or content[212] not in _BYTE_ORDERS:
        raise InputError(f"{path.name} is no MRC file.")
    order = _BYTE_ORDERS[content[212]]
    columns, rows, sections, mode = struct.unpack_from(f"{order}4i", content, 0)
    samples = struct.unpack_from(f"{order}3i", content, 28)
    cell = struct.unpack_from(f"{order}3f", content, 40)
    (extended,) = struct.unpack_from(f"{order}i", content, 92)
    if not all(0 < length <= _LARGEST_AXIS for length in (columns, rows, sections)) or extended < 0:
        raise InputError(f"{path.name} has a damaged MRC header.")
    if mode not in _DTYPES:
        raise InputError(f"{path.name} is a MRC file of mode {mode}; modes 0, 1, 2 and 6 can be read.")
    dtype = np.dtype(order + _DTYPES[mode])
    start, count = _HEADER_BYTES + extended, columns * rows * sections
    if len(content) != start + count * dtype.itemsize:
        raise InputError(
            f"{path.name} has {len(content)} bytes where its header asks for {start + count * dtype.itemsize}; "
            "copy or download it again."
        )
    array = np.frombuffer(content, dtype, count, start).reshape(sections, rows, columns)
    stated = all(length > 0 for length in cell) and all(number > 0 for number in samples)
    size = (cell[0] / samples[0], cell[1] / samples[1], cell[2] / samples[2]) if stated else None
    return MrcImage(array=array.astype(dtype.newbyteorder("=")), voxel_size=size)
