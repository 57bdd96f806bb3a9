"""Pairs of views of all slices and their embeddings, made once and shared by every training on the same CT."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
        slices: The canonical slices that have views, in the order of the arrays.
    """

    case: LabelledCase
    frame: Frame
    images: Mapping[ViewKey, np.ndarray]
    embeddings: Mapping[ViewKey, np.ndarray]
    slices: tuple[int, ...]

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {index: row for row, index in enumerate(self.slices)}

    def has(self, index: int) -> bool:
        """Whether a canonical slice has views."""
        return index in self._rows

    def image(self, index: int, key: ViewKey) -> np.ndarray:
        """A slice in one of its views: (size, size) float32 in [0, 1]."""
        return self.images[key][self._rows[index]].astype(np.float32)

    def embedding(self, index: int, key: ViewKey) -> np.ndarray:
        """The embedding of a slice in one of its views: (channels, h, w) float32."""
        return self.embeddings[key][self._rows[index]].astype(np.float32)

    def share(self, index: int, number: int) -> np.ndarray:
        """A slice's mask as a pair shows it: (size, size) float32 in [0, 1]; empty where there is none."""
        mask = self.case.masks.get(index)
        size = self.frame.size
        if mask is None:
            return np.zeros((size, size), np.float32)
        plain = self.frame.to_network(mask.astype(np.float32), 0.0)
        return np.clip(moved(plain, number, view_seed(self.case.name, index, number)), 0, 1)

    def positions(self, index: int, number: int, cells: int) -> np.ndarray:
        """Where on the plain slice the cells of a pair's views lie.

        Returns:
            (cells, cells, 2) float32 (x, y) from -1 to 1 over the network's image, as torch's `grid_sample` takes them.
        """
        size = self.frame.size
        ramp = np.broadcast_to((np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1, (size, size))
        seed = view_seed(self.case.name, index, number)
        x, y = (moved(np.ascontiguousarray(axis), number, seed) for axis in (ramp, ramp.T))
        across = size // cells
        return np.stack([axis.reshape(cells, across, cells, across).mean((1, 3)) for axis in (x, y)], axis=-1)


def frame_of(case: LabelledCase, spec: PreprocessingSpec) -> Frame:
    """Where the network's image lies on a case's slices, as in a session."""
    return volume_frame(case.axial, case.spacing[1:], spec, case.volume.spacing_known)


def bank_store(
    case: LabelledCase,
    frame: Frame,
    root: Path,
    spec: PreprocessingSpec,
    slices: Sequence[int] | None = None,
    encoder: str = "",
) -> ViewStore:
    """The store of a case's views; its folder's name changes with anything that changes the views.

    Args:
        case: The case.
        frame: Where the network's image lies on its slices.
        root: Folder that the store lies in.
        spec: The preprocessing.
        slices: The canonical slices that have views; None for all.
        encoder: Identity of the encoder, see `ViewEncoder.identity`; "" for LiteMedSAM's own in float32.
    """
    voxels = hashlib.sha256(np.ascontiguousarray(case.axial).tobytes()).hexdigest()
    parts: list[object] = [RECIPE, voxels, spec.to_dict(), str(frame)]
    parts += [] if slices is None else [list(slices)]
    return ViewStore.keyed(root, case.name, [*parts, *([encoder] if encoder else [])])


@dataclass(frozen=True)
class BankMaker:
    """Draws and encodes views of cases where they are not there yet.

    Attributes:
        root: Folder that each case's folder is made in.
        spec: The preprocessing.
        encoder: Encodes; None for networks that look at images alone.
        identity: The encoder's, see `ViewEncoder.identity`.
        progress: Called after each view of a slice.
        cancel: Polled after each view of a slice; return True to stop.
    """

    root: Path
    spec: PreprocessingSpec
    encoder: ImageEncoder | None
    identity: str = ""
    progress: ProgressCallback | None = None
    cancel: CancelCheck | None = None

    def make(
        self,
        case: LabelledCase,
        numbers: int,
        slices: Sequence[int] | None = None,
        clean: tuple[Frame, np.ndarray] | None = None,
    ) -> Bank:
        """Draws and encodes what is not there yet, and opens all.

        Args:
            case: The case.
            numbers: Pairs a slice.
            slices: The canonical slices that get views; None for all.
            clean: Embeddings (slices, channels, h, w) of the slices as they are, which another training has made, and
                the frame that it took; they are used where that is the bank's own.

        Raises:
            InputError: The disk is full.
            Cancelled: The user stopped; files that are complete stay.
        """
        frame = frame_of(case, self.spec)
        store = bank_store(case, frame, self.root, self.spec, slices, self.identity)
        chosen = tuple(range(len(case.axial))) if slices is None else tuple(slices)
        bank = Bank(case, frame, self._images(case, frame, numbers, chosen, store), {}, chosen)
        if self.encoder is None:
            return bank
        elsewhere = {(WEAK, 0): clean[1]} if clean is not None and clean[0] == frame else {}
        own = [key for key in bank.images if key not in elsewhere]
        missing = [key for key in own if not store.has(_name(key), (EMBEDDINGS,))]
        if missing:
            total = len(missing) * len(chosen)
            stage = ProgressReporter(f"embeddings of {case.name}", total, self.progress, self.cancel)
            for key in missing:
                store.write(_name(key), {EMBEDDINGS: encode_images(self.encoder, bank.images[key], stage.step)})
        return replace(bank, embeddings={**elsewhere, **{key: store.open(_name(key), EMBEDDINGS) for key in own}})

    def _images(
        self, case: LabelledCase, frame: Frame, numbers: int, slices: tuple[int, ...], store: ViewStore
    ) -> dict[ViewKey, np.ndarray]:
        keys = [(kind, number) for number in range(numbers) for kind in (WEAK, STRONG)]
        missing = sorted({key[1] for key in keys if not store.has(_name(key), (IMAGES,))})
        if missing:
            total = len(missing) * len(slices)
            stage = ProgressReporter(f"views of {case.name}", total, self.progress, self.cancel)
            for number in missing:
                pairs = []
                for index in slices:
                    image = slice_image(case.axial[index], frame, self.spec)
                    pairs.append(pair(image, number, view_seed(case.name, index, number)))
                    stage.step()
                for kind, views in zip((WEAK, STRONG), zip(*pairs, strict=True), strict=True):
                    store.write(_name((kind, number)), {IMAGES: np.stack(views).astype(np.float16)})
        return {key: store.open(_name(key), IMAGES) for key in keys}


def _name(key: ViewKey) -> str:
    return f"{key[0]}-{key[1]:02d}"
