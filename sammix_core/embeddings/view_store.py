"""Views of slices on disk: their images, labels and embeddings, encoded once and kept for later runs.

Trainings draw views of the same slices again and again while the encoder that they go through is frozen and slow. The
store keeps an array a file, written whole or not at all, so that an interrupted run resumes where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sammix_core.embeddings.memory_cache import ImageEncoder
from sammix_core.errors import InputError
from sammix_core.files import atomic_path

EMBEDDINGS, IMAGES = "embeddings", "images"


class ViewStore:
    """The arrays of some views in one folder.

    Args:
        folder: The folder; it is made when something is first written.

    Example:
        >>> import tempfile
        >>> store = ViewStore(Path(tempfile.mkdtemp()))
        >>> store.write("clean", {"shares": np.arange(3)})
        >>> store.has("clean", ["shares"]), store.has("clean", ["shares", EMBEDDINGS])
        (True, False)
        >>> store.open("clean", "shares").tolist()
        [0, 1, 2]
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def keyed(cls, root: Path, name: str, parts: Sequence[Any]) -> ViewStore:
        """The store of a case, in a folder whose name changes with everything that changes its views.

        Args:
            root: The folder that it lies in.
            name: How the folder's name begins.
            parts: JSON values that the views depend on.
        """
        return cls(root / f"{name}-{key_of(parts)}")

    def has(self, view: str, arrays: Iterable[str]) -> bool:
        """Whether all of some arrays of a view are there."""
        return all(self._file(view, array).is_file() for array in arrays)

    def write(self, view: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes arrays of a view, each whole or not at all.

        Args:
            view: Name of the view.
            arrays: By their names, such as `EMBEDDINGS`.

        Raises:
            InputError: The folder cannot be written, or the disk is full.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(f"{self.folder} cannot be written: {reason}.") from error
        for array, values in arrays.items():
            with atomic_path(self._file(view, array)) as unfinished, unfinished.open("wb") as stream:
                np.save(stream, values, allow_pickle=False)

    def open(self, view: str, array: str) -> np.ndarray:
        """An array of a view, memory-mapped.

        Raises:
            OSError: It is not there.
            ValueError: The file is damaged.
        """
        return np.load(self._file(view, array), mmap_mode="r", allow_pickle=False)

    def read(self, view: str, array: str) -> np.ndarray | None:
        """An array of a view in memory; None where it is missing or damaged, so that it is made again."""
        try:
            return np.load(self._file(view, array), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def _file(self, view: str, array: str) -> Path:
        return self.folder / f"{view}.{array}.npy"


def key_of(parts: Sequence[Any], digits: int = 12) -> str:
    """Hexadecimal digits that change with any of some JSON values.

    >>> key_of([1, {"a": 2, "b": 3}]) == key_of([1, {"b": 3, "a": 2}])
    True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:digits]


def encode_images(
    encoder: ImageEncoder, images: Iterable[np.ndarray], on_slice: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Encodes images one after the other.

    Args:
        encoder: A SAM backend.
        images: (size, size) in [0, 1] each.
        on_slice: Called after each image; may raise to stop.

    Returns:
        (n, channels, h, w) float16.
    """
    embeddings = []
    for image in images:
        pixels = torch.from_numpy(np.asarray(image, dtype=np.float32))[None, None]
        embeddings.append(encoder.encode(pixels)[0].to(torch.float16).cpu().numpy())
        on_slice()
    return np.stack(embeddings)
