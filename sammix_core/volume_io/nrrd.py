"""Writing NRRD labelmaps, and the few header lines that state a NRRD's grid.

Written here because SimpleITK recomputes spacing times direction, which moves an oblique grid by a rounding error:
the lines of the input, copied, do not.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sammix_core.volume.volume import Volume

_GRID_FIELDS = ("space", "space directions", "space origin", "measurement frame")
_LARGEST_HEADER_BYTES = 1 << 20


def nrrd_grid_lines(path: Path) -> bytes | None:
    """The lines of a NRRD header that state the grid, or None where it states it in another way.

    Args:
        path: A .nrrd or .nhdr file that could be read.

    Returns:
        ASCII lines, each with its line end.
    """
    with path.open("rb") as stream:
        block = stream.read(_LARGEST_HEADER_BYTES)
    header = block.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0].decode("utf-8", errors="replace")
    fields = dict(line.split(": ", 1) for line in header.split("\n")[1:] if ": " in line and ":=" not in line)
    grid = {name: fields[name].strip() for name in _GRID_FIELDS if name in fields}
    if not {"space", "space directions"} <= grid.keys() or fields.get("dimension", "").strip() != "3":
        return None
    return "".join(f"{name}: {value}\n" for name, value in grid.items()).encode("ascii", errors="replace")


def write_nrrd(mask: np.ndarray, like: Volume, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes a gzipped NRRD.

    Args:
        mask: (k, j, i) uint8.
        like: The volume whose grid it has.
        path: The file.
        metadata: Further key/value pairs of the header, without line breaks.
    """
    n_k, n_j, n_i = mask.shape
    is_nrrd = like.grid_header is not None and like.grid_header.startswith(b"space: ")
    grid = like.grid_header if is_nrrd and like.grid_header is not None else _grid_lines(like)
    head = "NRRD0005\n# Made by SAMMix. For research, not a medical device.\n"
    head += f"type: uint8\ndimension: 3\nsizes: {n_i} {n_j} {n_k}\n"
    tail = "kinds: domain domain domain\nencoding: gzip\n" + "".join(
        f"{key}:={value}\n" for key, value in metadata.items()
    )
    with path.open("wb") as stream:
        stream.write(head.encode() + grid + tail.encode() + b"\n")
        # No name and no time inside, so that the same mask makes the same file.
        with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0, compresslevel=6) as packed:
            for plane in mask:
                packed.write(np.ascontiguousarray(plane).data)


def _grid_lines(like: Volume) -> bytes:
    columns = (like.direction * np.asarray(like.spacing)).T
    directions = " ".join(_vector(column) for column in columns)
    return (
        f"space: left-posterior-superior\nspace directions: {directions}\nspace origin: {_vector(like.origin)}\n"
    ).encode()


def _vector(values: np.ndarray | tuple[float, float, float]) -> str:
    # repr of a float reads back as the same float.
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
