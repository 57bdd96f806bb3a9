"""Slices as the network sees them, encoded once and kept on disk: as inference sees them, and some varied views."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sammix_core.datasets.augmentation import HARD, MILD, augmented_view, same_place_view
from sammix_core.embeddings.view_store import EMBEDDINGS, ViewStore, encode_images, key_of
from sammix_core.finetuning.samples import Sample
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.window import slice_image
from sammix_core.sam.backend import SamBackend
from sammix_core.training.views import CLEAN, View

RECIPE = 1  # raise when the way views are drawn changes, so that old ones are not taken for new
SAME_PLACE = "same-place"  # the slice where it is, in another contrast and noise
_HARD_FROM = 4
_MOST_VIEWS = 480  # 2 MB each, in memory while training


@dataclass(frozen=True, eq=False)
class EncodedSlice:
    """One view of one slice.

    Attributes:
        image: (size, size) float32 in [0, 1].
        embedding: (256, 64, 64) float16.
        share: (size, size) uint8, label share times 255.
    """

    image: np.ndarray
    embedding: np.ndarray
    share: np.ndarray


class Encoder:
    """Draws views, encodes them and remembers both.

    Args:
        backend: Encodes.
        spec: The model's preprocessing.
        encoder_key: Names the encoder's weights.
        seed: Of the varied views.
    """

    def __init__(self, backend: SamBackend, spec: PreprocessingSpec, encoder_key: str, seed: int) -> None:
        self._backend = backend
        self._spec = spec
        self._encoder_key = encoder_key
        self._seed = seed

    def is_done(self, sample: Sample, view: str) -> bool:
        """Whether a view is on disk."""
        return ViewStore(sample.views).has(self._name(sample, view), (EMBEDDINGS,))

    def get(self, sample: Sample, view: str) -> EncodedSlice:
        """A view; encoded where it is not on disk."""
        image, share = self.draw(sample, view)
        packed = np.round(share * 255).astype(np.uint8)
        return EncodedSlice(image, self._embedding(sample, view, image), packed)

    def draw(self, sample: Sample, view: str) -> tuple[np.ndarray, np.ndarray]:
        """Image and label share of a view, (size, size) float32 in [0, 1] both; the same each time."""
        correction = sample.correction
        text = f"{self._seed}/{sample.case}/{correction.slice_index}/{view}"
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))
        if view in (CLEAN, SAME_PLACE):
            frame = correction.frame(self._spec.size)
            share = frame.to_network(correction.mask.astype(np.float32), 0.0)
            if view == CLEAN:
                return slice_image(correction.hu, frame, self._spec), share
            return same_place_view(correction.hu, frame, correction.pixel_mm, self._spec, rng), share
        strength = HARD if int(view.split("-")[1]) >= _HARD_FROM else MILD
        hu = correction.hu
        crops = ((0, 0, *hu.shape), correction.body)
        return augmented_view(hu[None], correction.mask, correction.pixel_mm, crops, self._spec, rng, strength)

    def _embedding(self, sample: Sample, view: str, image: np.ndarray) -> np.ndarray:
        store, name = ViewStore(sample.views), self._name(sample, view)
        stored = store.read(name, EMBEDDINGS)
        if stored is not None:
            return stored
        embedding: np.ndarray = encode_images(self._backend, [image])[0]
        store.write(name, {EMBEDDINGS: embedding})
        return embedding

    def _name(self, sample: Sample, view: str) -> str:
        """The name begins with the pixels' hash, by which a correction set finds what to delete with a slice."""
        correction = sample.correction
        mask = hashlib.sha256(np.packbits(correction.mask).tobytes()).hexdigest()
        varied = [self._seed, sample.case, correction.slice_index, view, mask, list(correction.body)]
        frame = [list(correction.crop), list(correction.spacing_mm)]
        parts = [RECIPE, self._encoder_key, self._spec.to_dict(), *frame, [] if view == CLEAN else varied]
        return f"{correction.hu_sha256[:16]}-{key_of(parts, digits=16)}"


def view_names(sample: Sample, views: int) -> list[str]:
    """Names of a slice's views: slices that are held back have the clean one alone, those of earlier cases fewer."""
    if sample.held_back:
        return [CLEAN]
    count = min(views, 2) if sample.earlier else views
    return [CLEAN, *(f"view-{number:02d}" for number in range(count))]


def within_memory(samples: Sequence[Sample], views: int) -> int:
    """As many views a slice as memory allows, at most `views`."""
    learnt = max(1, sum(not sample.held_back for sample in samples))
    return max(0, min(views, _MOST_VIEWS // learnt - 1))


def as_views(
    samples: Sequence[Sample],
    names: Callable[[Sample], Sequence[str]],
    encoder: Encoder,
    group: Callable[[Sample], str],
) -> tuple[list[View], list[np.ndarray]]:
    """Views as training takes them.

    Args:
        samples: Slices.
        names: Which views of a slice.
        encoder: Knows them.
        group: What training takes for one patient.

    Returns:
        One view for each group and name, with embeddings and shares stacked, and the images of each, (n, size, size)
        float16.
    """
    grouped: dict[tuple[str, str], list[tuple[int, EncodedSlice]]] = {}
    for sample in samples:
        for name in names(sample):
            encoded = encoder.get(sample, name)
            grouped.setdefault((group(sample), name), []).append((sample.correction.slice_index, encoded))
    views = [
        View(
            case,
            name,
            np.stack([encoded.embedding for _, encoded in slices]),
            np.stack([encoded.share for _, encoded in slices]),
            np.array([index for index, _ in slices]),
        )
        for (case, name), slices in grouped.items()
    ]
    images = [np.stack([encoded.image for _, encoded in slices]).astype(np.float16) for slices in grouped.values()]
    return views, images
