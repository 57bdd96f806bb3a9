"""Views of all slices and their embeddings, made once, kept on disk and shared by every training on the same CT."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sammix_core.files import atomic_path
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.window import slice_image
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.sam.backend import SamBackend
from sammix_core.training.semi_supervised.pairs import RECIPE, moved, pair, view_seed
from sammix_core.training.semi_supervised.pool import Pool

WEAK, STRONG = "weak", "strong"


@dataclass(frozen=True)
class Bank:
    """The views of one case.

    Attributes:
        pool: The case.
        images: (kind, number) -> (slices, size, size) float16 in [0, 1], memory-mapped.
        embeddings: (kind, number) -> (slices, channels, h, w) float16, memory-mapped; empty where none are wanted.
    """

    pool: Pool
    images: dict[tuple[str, int], np.ndarray]
    embeddings: dict[tuple[str, int], np.ndarray]

    def share(self, index: int, number: int) -> np.ndarray:
        """A slice's mask as a pair shows it: (size, size) float32 in [0, 1]; empty where there is none."""
        mask = self.pool.masks.get(index)
        size = self.pool.frame.size
        if mask is None:
            return np.zeros((size, size), np.float32)
        plain = self.pool.frame.to_network(mask.astype(np.float32), 0.0)
        return np.clip(moved(plain, number, view_seed(self.pool.name, index, number)), 0, 1)


def prepare_bank(
    pool: Pool,
    numbers: int,
    root: Path,
    spec: PreprocessingSpec,
    backend: SamBackend,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
) -> Bank:
    """Draws and encodes what is not there yet and opens all.

    Args:
        pool: The case.
        numbers: Pairs a slice.
        root: Folder that the case's folder is made in.
        spec: The preprocessing.
        backend: Encodes.
        progress: Told after each view of a slice.
        cancel: Asked after each.

    Raises:
        Cancelled: The user stopped; files that are complete stay.
    """
    images = prepare_images(pool, numbers, root, spec, progress, cancel).images
    folder = bank_folder(pool, root, spec)
    files = {key: folder / f"{key[0]}-{key[1]:02d}.npy" for key in images}
    missing = [key for key, file in files.items() if not file.is_file()]
    if missing:
        stage = ProgressReporter(f"embeddings of {pool.name}", len(missing) * len(pool.axial), progress, cancel)
        for key in missing:
            _save(files[key], encode_all(images[key], backend, stage))
    return Bank(pool, images, {key: np.load(file, mmap_mode="r") for key, file in files.items()})


def prepare_images(
    pool: Pool,
    numbers: int,
    root: Path,
    spec: PreprocessingSpec,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
) -> Bank:
    """As `prepare_bank`, without embeddings, for networks that look at images."""
    folder = bank_folder(pool, root, spec)
    files = {
        (kind, number): folder / f"{kind}-{number:02d}.images.npy"
        for number in range(numbers)
        for kind in (WEAK, STRONG)
    }
    missing = sorted({number for (_, number), file in files.items() if not file.is_file()})
    folder.mkdir(parents=True, exist_ok=True)
    if missing:
        stage = ProgressReporter(f"views of {pool.name}", len(missing) * len(pool.axial), progress, cancel)
        for number in missing:
            pairs = []
            for index in range(len(pool.axial)):
                image = slice_image(pool.axial[index], pool.frame, spec)
                pairs.append(pair(image, number, view_seed(pool.name, index, number)))
                stage.step()
            for kind, views in zip((WEAK, STRONG), zip(*pairs, strict=True), strict=True):
                _save(files[kind, number], np.stack(views).astype(np.float16))
    return Bank(pool, {key: np.load(file, mmap_mode="r") for key, file in files.items()}, {})


def encode_all(images: np.ndarray, backend: SamBackend, stage: ProgressReporter) -> np.ndarray:
    """Embeddings of images (n, size, size): (n, channels, h, w) float16, one after the other."""
    found = []
    for image in images:
        picture = torch.from_numpy(image.astype(np.float32))[None, None]
        found.append(backend.encode(picture)[0].to(torch.float16).cpu().numpy())
        stage.step()
    return np.stack(found)


def bank_folder(pool: Pool, root: Path, spec: PreprocessingSpec) -> Path:
    """Folder of a case's views; its name changes with anything that changes the views."""
    voxels = hashlib.sha256(np.ascontiguousarray(pool.axial).tobytes()).hexdigest()
    parts: list[object] = [RECIPE, voxels, spec.to_dict(), str(pool.frame)]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    return root / f"{pool.name}-{key}"


def _save(file: Path, array: np.ndarray) -> None:
    with atomic_path(file) as path, path.open("wb") as stream:
        np.save(stream, array)
