"""The guidance looks at a volume: which way up it lies, what each slice shows, and where the boxes go."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from sammix_core.boxes import Box, BoxSource
from sammix_core.embeddings.disk_store import EmbeddingStore
from sammix_core.embeddings.memory_cache import EmbeddingCache
from sammix_core.engines.threads import in_threads
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import GuidedBoxes, boxes_from_cam
from sammix_core.guidance.saved_guidance import SavedGuidance
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.progress import (
    FITTING_BOXES,
    LOOKING_BETWEEN,
    LOOKING_WHICH_WAY_UP,
    CancelCheck,
    ProgressCallback,
    ProgressReporter,
)
from sammix_core.segmentation.following.follow import follow
from sammix_core.segmentation.orientation import likeliest_cut, orders_looked_at
from sammix_core.segmentation.slice_look import SliceDecoder
from sammix_core.segmentation.slice_sampling import (
    EVERY_SLICE,
    SliceSampling,
    look_sparsely,
    thin_slices_filled,
    with_those_between,
)
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

if TYPE_CHECKING:
    from sammix_core.segmentation.model_loading import LoadedModel

# A slice this improbable is encoded again if someone draws a box there; until then its 2 MB are better spent.
_FORGET_BELOW = 0.01
_KEPT_IMAGES = 256
_OTHER_WAY_UP = (
    "The header says nothing of the orientation and the slices seem to be turned or mirrored in plane, so they were "
    "looked at the other way; the mask is on the file's own grid."
)


class BoxFinder:
    """Maps and embeddings of one volume's slices, by canonical index, and what was found in them.

    Args:
        model: The model.
        volume: The CT.
        limit_bytes: What the embeddings may take.
        turned: Told the new order when the slices are turned.
        sampling: Which slices may go without the encoder.
        store: Where embeddings are kept on disk, or None.

    Attributes:
        axial: The volume's slices, as the network sees them.
        cache: Their embeddings.
        guided: What was found; None before a search has ended.
        notes: Plain sentences on the order.
        seconds: Seconds by stage.
        looked_at: Passes through the encoder besides the cache's.
    """

    def __init__(
        self,
        model: LoadedModel,
        volume: Volume,
        limit_bytes: int,
        turned: Callable[[AxialOrder], None],
        sampling: SliceSampling = EVERY_SLICE,
        store: EmbeddingStore | None = None,
    ) -> None:
        self.axial = AxialSlices.cut(volume, volume.axial_order, model.preprocessing)
        # Encoder and following look at the same images; a quarter of a MB each.
        self._image = lru_cache(_KEPT_IMAGES)(lambda index: self.axial.image(index))
        self.cache = EmbeddingCache(model.backend, self._image, limit_bytes, store)
        self.guided: GuidedBoxes | None = None
        self.notes: list[str] = []
        self.seconds: dict[str, float] = {}
        self.looked_at = 0
        self._model = model
        self._volume = volume
        self._turned = turned
        self._sparing = sampling
        self._maps: dict[int, GuidanceMaps] = {}

    def run(
        self,
        progress: ProgressCallback | None,
        cancel: CancelCheck | None,
        on_seen: Callable[[int, float], None] | None,
    ) -> dict[int, Box]:
        """Looks at every slice that was not looked at before; see `SegmentationSession.find_boxes`.

        Returns:
            The automatic boxes in voxels of the volume, by the user's slice index.

        Raises:
            Cancelled: The user stopped; the maps that there are stay.
        """
        if not self._volume.spacing_known and self.guided is None:
            self._look_which_way_up(progress, cancel)
        stage = ProgressReporter(f"Looking for the {self._model.target}", len(self.axial), progress, cancel)
        count, size = len(self.axial), self._model.preprocessing.size
        known = self._volume.spacing_known
        stride = min(self._sparing.stride(self.axial.slice_mm, known), max(1, count - 1))

        def look(coming: Sequence[int]) -> Generator[float]:
            indices = [place * stride for place in coming]
            for index, probability in zip(indices, self._probabilities(indices), strict=True):
                if probability < _FORGET_BELOW:
                    self.cache.drop(index)
                if on_seen is not None:
                    on_seen(self.axial.slice_index(index), probability)
                stage.step()
                yield probability

        places = (count - 1) // stride + 1
        step = self._sparing.step(self.axial.slice_mm * stride, known)
        seen = look_sparsely(places, step, look)
        found = with_those_between({place: self._maps[place * stride] for place in seen}, places)
        if len(seen) < count:
            stage.step(count - len(seen))
        self.seconds["guidance"] = stage.seconds
        guided = boxes_from_cam(found, self.axial.slice_mm * stride, size, self._model.boxes)
        guided = self._followed(guided, size, stride, progress, cancel)
        if stride > 1:
            guided = self._with_slices_between(guided, stride, size, progress, cancel)
        self.guided = guided
        return self._in_voxels(guided)

    def _probabilities(self, indices: Sequence[int]) -> Generator[float]:
        """Looks at canonical slices, several at once where that suits the backend."""
        backend, needed = self._model.backend, self._model.guidance.needs_embeddings
        if needed and backend.concurrency > 1:
            with closing(in_threads(self.maps_of, indices, backend.concurrency)) as maps:
                yield from (float(one.probabilities[0]) for one in maps)
            return
        size = backend.batch if needed else 1
        for start in range(0, len(indices), size):
            some = indices[start : start + size]
            if needed:
                list(self.cache.ahead(index for index in some if index not in self._maps))
            yield from (float(self.maps_of(index).probabilities[0]) for index in some)

    def maps_of(self, index: int) -> GuidanceMaps:
        """The guidance's maps of one canonical slice, computed once."""
        maps = self._maps.get(index)
        if maps is None:
            image = self.cache.image(index)
            needed = self._model.guidance.needs_embeddings
            embedding = self.cache.embedding(index, image) if needed else torch.empty(0)
            maps = self._maps[index] = self._model.guidance.maps(image, embedding)
        return maps

    def prompt_of(self, index: int, source: BoxSource) -> tuple[np.ndarray, np.ndarray | None]:
        """What goes with a box of a canonical slice.

        Args:
            index: The slice.
            source: Who set the box.

        Returns:
            (h, w) logits of the map, and (h, w) bool, the cells that hold the structure in 3-D; None for a box that is
            trusted as it is.
        """
        if self.guided is None:
            # Before the whole volume was looked at there is the slice's own map, which is that without its neighbours.
            return self.maps_of(index).cam_logits[0], None
        return self.guided.cam_logits[index], self.guided.support[index] if source is BoxSource.AUTO else None

    def saved(self) -> SavedGuidance | None:
        """What was found, for another search of this volume."""
        if self.guided is None:
            return None
        return SavedGuidance(self._model.spec, self.axial.order, self.guided, tuple(self.notes))

    def take(self, saved: SavedGuidance) -> None:
        """Goes on with what another search has found, unless it was another model's."""
        if saved.model == self._model.spec:
            self._turn(AxialSlices.cut(self._volume, saved.order, self._model.preprocessing))
            self.guided, self.notes = saved.guided, list(saved.notes)

    def _look_which_way_up(self, progress: ProgressCallback | None, cancel: CancelCheck | None) -> None:
        """Turns the slices the way that the guidance understands, where the header has lost it."""
        stage = ProgressReporter(LOOKING_WHICH_WAY_UP, orders_looked_at(len(self.axial)), progress, cancel)
        chosen = likeliest_cut(self._volume, self._model, stage.step)
        self.looked_at += stage.done if self._model.guidance.needs_embeddings else 0
        self.seconds["orientation"] = stage.seconds
        self._turn(chosen)
        self.notes = [_OTHER_WAY_UP] if chosen.order != self._volume.axial_order else []

    def _turn(self, axial: AxialSlices) -> None:
        """Takes slices cut another way; what there is already was made the old way."""
        if axial.order != self.axial.order:
            self.axial = axial
            self._image.cache_clear()
            self.cache.clear()
            self._maps.clear()
            self._turned(axial.order)

    def _followed(
        self, guided: GuidedBoxes, size: int, stride: int, progress: ProgressCallback | None, cancel: CancelCheck | None
    ) -> GuidedBoxes:
        """The guidance's boxes drawn tight about masks, and the organ followed past its ends."""
        model = self._model
        if model.following.grow <= 0:
            return guided  # and no stage of no steps is told of
        stage = ProgressReporter(FITTING_BOXES, sum(box is not None for box in guided.boxes), progress, cancel)
        slice_mm = self.axial.slice_mm * stride
        followed = follow(guided, self._viewer(stride), slice_mm, size, model.following, stage.step)
        self.seconds["fitting"] = stage.seconds
        return followed

    def _with_slices_between(
        self, guided: GuidedBoxes, stride: int, size: int, progress: ProgressCallback | None, cancel: CancelCheck | None
    ) -> GuidedBoxes:
        """All slices from every `stride`-th one; those between that have to be looked at are encoded together."""
        stage = ProgressReporter(LOOKING_BETWEEN, len(self.axial), progress, cancel)

        def encode(coming: Sequence[int]) -> None:
            with closing(self.cache.ahead(coming)) as encoded:
                for _ in encoded:
                    stage.step()

        filled = thin_slices_filled(guided, stride, len(self.axial), size, self._viewer(1), encode)
        stage.step(len(self.axial) - stage.done)
        self.seconds["between"] = stage.seconds
        return filled

    def _viewer(self, stride: int) -> SliceDecoder:
        """Shows every `stride`-th slice."""
        model = self._model
        return SliceDecoder(
            model.backend,
            model.masks,
            model.preprocessing,
            lambda place: self._image(place * stride),
            lambda place: self.cache.embedding(place * stride),
        )

    @property
    def thin(self) -> bool:
        """Whether there are slices that others stand for."""
        return self.guided is not None and self.guided.between is not None

    def anchors_of(self, index: int) -> tuple[int, int] | None:
        """The two canonical slices that stand for a thin one between them, or None for one that stands for itself."""
        if self.guided is None or self.guided.between is None or self.guided.between[index][0] < 0:
            return None
        first, second = self.guided.between[index].tolist()
        return first, second

    def _in_voxels(self, guided: GuidedBoxes) -> dict[int, Box]:
        """The boxes that were found, in voxels of the volume; those that miss their slice are left out."""
        found = {}
        for index, network_box in enumerate(guided.boxes):
            edges = None if network_box is None else self.axial.to_voxels(network_box)
            if edges is not None:
                probability = float(np.clip(guided.probabilities[index], 0, 1))
                place, score = self.axial.slice_index(index), float(guided.scores[index])
                found[place] = Box(place, *edges, BoxSource.AUTO, score=score, probability=probability)
        return found
