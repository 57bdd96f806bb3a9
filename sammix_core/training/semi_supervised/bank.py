"""Pairs of views of all slices and their embeddings, made once and shared by every training on the same CT."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sammix_core.datasets.cases import LabelledCase
from sammix_core.embeddings.memory_cache import ImageEncoder
from sammix_core.embeddings.view_store import EMBEDDINGS, IMAGES, ViewStore, encode_images
from sammix_core.preprocessing.body_crop import volume_frame
from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.window import slice_image
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.training.semi_supervised.pairs import RECIPE, moved, pair, view_seed

WEAK, STRONG = "weak", "strong"
ViewKey = tuple[str, int]  # kind and number of the pair


@dataclass(frozen=True)
class Bank:
    """The views of one case.

    Attributes:
        case: The case.
        frame: Where the network's image lies on a slice, as in a session.
        images: By kind and number, (slices, size, size) float16 in [0, 1], memory-mapped.
        embeddings: By kind and number, (slices, channels, h, w) float16, memory-mapped; empty for networks that look at
            images alone.
    """

    case: LabelledCase
    frame: Frame
    images: dict[ViewKey, np.ndarray]
    embeddings: dict[ViewKey, np.ndarray]

    def share(self, index: int, number: int) -> np.ndarray:
        """A slice's mask as a pair shows it: (size, size) float32 in [0, 1]; empty where there is none."""
        mask = self.case.masks.get(index)
        size = self.frame.size
        if mask is None:
            return np.zeros((size, size), np.float32)
        plain = self.frame.to_network(mask.astype(np.float32), 0.0)
        return np.clip(moved(plain, number, view_seed(self.case.name, index, number)), 0, 1)


def frame_of(case: LabelledCase, spec: PreprocessingSpec) -> Frame:
    """Where the network's image lies on a case's slices, as in a session."""
    return volume_frame(case.axial, case.spacing[1:], spec, case.volume.spacing_known)


def bank_store(case: LabelledCase, root: Path, spec: PreprocessingSpec) -> ViewStore:
    """The store of a case's views; its folder's name changes with anything that changes the views."""
    voxels = hashlib.sha256(np.ascontiguousarray(case.axial).tobytes()).hexdigest()
    return ViewStore.keyed(root, case.name, [RECIPE, voxels, spec.to_dict(), str(frame_of(case, spec))])


def prepare_bank(
    case: LabelledCase,
    numbers: int,
    root: Path,
    spec: PreprocessingSpec,
    encoder: ImageEncoder,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
) -> Bank:
    """Draws and encodes what is not there yet and opens all.

    Args:
        case: The case.
        numbers: Pairs a slice.
        root: Folder that the case's folder is made in.
        spec: The preprocessing.
        encoder: Encodes.
        progress: Called after each view of a slice.
        cancel: Polled after each view of a slice; return True to stop.

    Raises:
        InputError: The disk is full.
        Cancelled: The user stopped; files that are complete stay.
    """
    bank = prepare_images(case, numbers, root, spec, progress, cancel)
    store = bank_store(case, root, spec)
    missing = [key for key in bank.images if not store.has(_name(key), (EMBEDDINGS,))]
    if missing:
        stage = ProgressReporter(f"embeddings of {case.name}", len(missing) * len(case.axial), progress, cancel)
        for key in missing:
            store.write(_name(key), {EMBEDDINGS: encode_images(encoder, bank.images[key], stage.step)})
    return Bank(case, bank.frame, bank.images, {key: store.open(_name(key), EMBEDDINGS) for key in bank.images})


def prepare_images(
    case: LabelledCase,
    numbers: int,
    root: Path,
    spec: PreprocessingSpec,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
) -> Bank:
    """As `prepare_bank`, without embeddings, for networks that look at images."""
    store, frame = bank_store(case, root, spec), frame_of(case, spec)
    keys = [(kind, number) for number in range(numbers) for kind in (WEAK, STRONG)]
    missing = sorted({key[1] for key in keys if not store.has(_name(key), (IMAGES,))})
    if missing:
        stage = ProgressReporter(f"views of {case.name}", len(missing) * len(case.axial), progress, cancel)
        for number in missing:
            pairs = []
            for index in range(len(case.axial)):
                image = slice_image(case.axial[index], frame, spec)
                pairs.append(pair(image, number, view_seed(case.name, index, number)))
                stage.step()
            for kind, views in zip((WEAK, STRONG), zip(*pairs, strict=True), strict=True):
                store.write(_name((kind, number)), {IMAGES: np.stack(views).astype(np.float16)})
    return Bank(case, frame, {key: store.open(_name(key), IMAGES) for key in keys}, {})


def _name(key: ViewKey) -> str:
    return f"{key[0]}-{key[1]:02d}"
