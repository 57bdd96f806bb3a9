"""Finds the automatic boxes of a volume: orientation, maps of the slices, boxes, fitting, thin slices."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from sammix_core.boxes.box import Box, BoxSource
from sammix_core.boxes.parts import number_parts
from sammix_core.embeddings.disk_store import EmbeddingStore
from sammix_core.embeddings.memory_cache import EmbeddingCache
from sammix_core.engines.threads import in_threads
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import GuidedBoxes, boxes_from_cam
from sammix_core.guidance.saved_guidance import SavedGuidance
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.progress import (
    DETECTING_ORIENTATION,
    FILLING_THIN_SLICES,
    FITTING_BOXES,
    CancelCheck,
    ProgressCallback,
    ProgressReporter,
)
from sammix_core.segmentation.density_cleaning import cleaner_for
from sammix_core.segmentation.following.follow import follow
from sammix_core.segmentation.orientation import OrientationCheck, detect_orientation, orientation_steps
from sammix_core.segmentation.plausibility import Judgement, Verdict, cells_of, sight_of, slices_to_judge
from sammix_core.segmentation.slice_decoder import SliceDecoder
from sammix_core.segmentation.slice_sampling import (
    EVERY_SLICE,
    SliceSampling,
    fill_thin_slices,
    interpolate_maps,
    sample_slices,
)
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

if TYPE_CHECKING:
    from sammix_core.segmentation.model_loading import LoadedModel

# A slice this improbable is encoded again if someone draws a box there; until then its 2 MB are better spent.
_DROP_BELOW = 0.01
_CACHED_IMAGES = 256
_OTHER_ORIENTATION = (
    "The header says nothing of the orientation, and the slices seem to be rotated or mirrored in plane, so they were "
    "flipped for the model; the mask is on the file's own grid."
)


class BoxFinder:
    """Maps, embeddings and automatic boxes of one volume, by canonical slice.

    Args:
        model: The model.
        volume: The CT.
        limit_bytes: Memory that the embeddings may take.
        on_reorder: Called with the new order when the slices are cut in another orientation.
        sampling: Which slices need not be encoded.
        store: Where embeddings are kept on disk, or None.

    Attributes:
        axial: The volume's slices, as the network sees them.
        cache: Their embeddings.
        guided: The guidance's boxes and maps; None before `find` has ended.
        judgement: Whether that can be the target; None where the model cannot tell, or nothing was found.
        notes: Plain sentences on the orientation, and before them one on the judgement.
        seconds: Seconds by stage.
    """

    def __init__(
        self,
        model: LoadedModel,
        volume: Volume,
        limit_bytes: int,
        on_reorder: Callable[[AxialOrder], None],
        sampling: SliceSampling = EVERY_SLICE,
        store: EmbeddingStore | None = None,
    ) -> None:
        self.axial = AxialSlices.cut(volume, volume.axial_order, model.preprocessing)
        # The encoder and following use the same images; a quarter of a MB each.
        self._image = lru_cache(_CACHED_IMAGES)(lambda index: self.axial.image(index))
        self.cache = EmbeddingCache(model.backend, self._image, limit_bytes, store)
        self.guided: GuidedBoxes | None = None
        self.judgement: Judgement | None = None
        self.notes: list[str] = []
        self.seconds: dict[str, float] = {}
        self._model = model
        self._volume = volume
        self._on_reorder = on_reorder
        self._cleaner = cleaner_for(self.axial, model.masks)
        self._sampling = sampling
        self._maps: dict[int, GuidanceMaps] = {}
        self._encoded_for_orientation = 0

    @property
    def slices_encoded(self) -> int:
        """How many times a slice went through the encoder."""
        return self.cache.encoded + self._encoded_for_orientation

    def find(
        self,
        progress: ProgressCallback | None,
        cancel: CancelCheck | None,
        on_probability: Callable[[int, float], None] | None,
    ) -> dict[int, tuple[Box, ...]]:
        """Finds the automatic boxes; see `SegmentationSession.find_boxes`. Maps that exist are not computed again.

        Returns:
            The automatic boxes in voxels of the volume, by the user's slice index; none where what was found cannot be
            the target.

        Raises:
            Cancelled: The user stopped; the maps computed so far stay.
        """
        stated = self._volume.spacing_known and self._volume.orientation_known
        if not stated and self.guided is None:
            self._detect_orientation(progress, cancel)
        stage = ProgressReporter(f"Looking for the {self._model.target}", len(self.axial), progress, cancel)
        count, size = len(self.axial), self._model.preprocessing.size
        spacing_known = self._volume.spacing_known
        stride = min(self._sampling.stride(self.axial.slice_mm, spacing_known), max(1, count - 1))

        def evaluate(batch: Sequence[int]) -> Generator[float]:
            indices = [number * stride for number in batch]
            for index, probability in zip(indices, self._probabilities(indices), strict=True):
                if probability < _DROP_BELOW:
                    self.cache.drop(index)
                if on_probability is not None:
                    on_probability(self.axial.slice_index(index), probability)
                stage.step()
                yield probability

        strided_count = (count - 1) // stride + 1
        step = self._sampling.step(self.axial.slice_mm * stride, spacing_known)
        sampled = sample_slices(strided_count, step, evaluate)
        maps = interpolate_maps({number: self._maps[number * stride] for number in sampled}, strided_count)
        if len(sampled) < count:
            stage.step(count - len(sampled))
        self.seconds["guidance"] = stage.seconds
        guided = boxes_from_cam(maps, self.axial.slice_mm * stride, size, self._model.boxes)
        guided = self._fit(guided, stride, progress, cancel)
        if stride > 1:
            guided = self._fill_thin_slices(guided, stride, progress, cancel)
        self.guided = guided
        if stated:
            self._check_header(guided)
        self._judge(guided)
        if self.judgement is not None and self.judgement.verdict is Verdict.IMPLAUSIBLE:
            return {}
        return self._in_voxels(guided)

    def _check_header(self, guided: GuidedBoxes) -> None:
        """Says where the header contradicts the anatomy."""
        check = OrientationCheck(self._volume, self._model, guided.cam_logits)
        warning = check.run()
        self._encoded_for_orientation += check.slices_encoded
        self.notes = [] if warning is None else [warning]

    def _judge(self, guided: GuidedBoxes) -> None:
        """Compares what was found with what the target can be, and says so where it is doubtful."""
        model, axial = self._model, self.axial
        places = slices_to_judge(guided)
        if model.plausibility is None or not places:
            return
        _, row_mm, _ = axial.order.spacing(self._volume.spacing)
        pixel_mm = row_mm / axial.frame.scale_y  # the image's own pixels are square
        sights = [
            sight_of(
                self.cache.embedding(index)[0].cpu().numpy(),
                self._image(index),
                cells_of(guided, index, model.preprocessing.size),
                pixel_mm,
                model.preprocessing,
            )
            for index in places
        ]
        slices = sum(bool(boxes) for boxes in guided.boxes)
        slice_mm = axial.slice_mm * slices / len(places) if self._volume.spacing_known else None
        self.judgement = model.plausibility.judge(sights, slice_mm)
        sentence = self.judgement.sentence(model.target)
        self.notes = list(dict.fromkeys([*([sentence] if sentence else []), *self.notes]))

    def _probabilities(self, indices: Sequence[int]) -> Generator[float]:
        """Probabilities of canonical slices, several at once where that suits the backend."""
        backend, needs_embeddings = self._model.backend, self._model.guidance.needs_embeddings
        if needs_embeddings and backend.concurrency > 1:
            with closing(in_threads(self.maps_at, indices, backend.concurrency)) as all_maps:
                yield from (float(maps.probabilities[0]) for maps in all_maps)
            return
        size = backend.batch if needs_embeddings else 1
        for start in range(0, len(indices), size):
            batch = indices[start : start + size]
            if needs_embeddings:
                list(self.cache.ahead(index for index in batch if index not in self._maps))
            yield from (float(self.maps_at(index).probabilities[0]) for index in batch)

    def maps_at(self, index: int) -> GuidanceMaps:
        """The guidance's maps of one canonical slice, computed once."""
        maps = self._maps.get(index)
        if maps is None:
            image = self.cache.image(index)
            needs_embeddings = self._model.guidance.needs_embeddings
            embedding = self.cache.embedding(index, image) if needs_embeddings else torch.empty(0)
            maps = self._maps[index] = self._model.guidance.maps(image, embedding)
        return maps

    def prompt_for(self, index: int, source: BoxSource) -> tuple[np.ndarray, np.ndarray | None]:
        """The map that goes with a box of a canonical slice.

        Args:
            index: The slice.
            source: Who set the box.

        Returns:
            (h, w) logits of the map, and (h, w) bool, the cells that hold the structure in 3-D; None for a box that is
            trusted as it is.
        """
        if self.guided is None:
            # Before `find` there is the slice's own map, without its neighbours.
            return self.maps_at(index).cam_logits[0], None
        return self.guided.cam_logits[index], self.guided.support[index] if source is BoxSource.AUTO else None

    def save(self) -> SavedGuidance | None:
        """The guidance for another session of this volume; None before `find` has ended."""
        if self.guided is None:
            return None
        return SavedGuidance(self._model.spec, self.axial.order, self.guided, tuple(self.notes))

    def restore(self, saved: SavedGuidance) -> None:
        """Continues with the guidance of another session, unless it was another model's."""
        if saved.model == self._model.spec:
            self._reorder(AxialSlices.cut(self._volume, saved.order, self._model.preprocessing))
            self.guided, self.notes = saved.guided, list(saved.notes)

    def _detect_orientation(self, progress: ProgressCallback | None, cancel: CancelCheck | None) -> None:
        """Cuts the slices in the orientation that the guidance understands, where the header has lost it."""
        stage = ProgressReporter(DETECTING_ORIENTATION, orientation_steps(self.axial), progress, cancel)
        axial = detect_orientation(self._volume, self._model, stage.step)
        self._encoded_for_orientation += stage.done if self._model.guidance.needs_embeddings else 0
        self.seconds["orientation"] = stage.seconds
        self._reorder(axial)
        self.notes = [_OTHER_ORIENTATION] if axial.order != self._volume.axial_order else []

    def _reorder(self, axial: AxialSlices) -> None:
        """Replaces the slices; drops images, embeddings and maps of the previous order."""
        if axial.order != self.axial.order:
            self.axial = axial
            self._cleaner = cleaner_for(axial, self._model.masks)
            self._image.cache_clear()
            self.cache.clear()
            self._maps.clear()
            self._on_reorder(axial.order)

    def _fit(
        self, guided: GuidedBoxes, stride: int, progress: ProgressCallback | None, cancel: CancelCheck | None
    ) -> GuidedBoxes:
        """Draws the guidance's boxes tight about masks, and follows the organ past its ends."""
        model = self._model
        if model.following.grow <= 0:
            return guided  # without a stage of no steps
        stage = ProgressReporter(FITTING_BOXES, sum(map(bool, guided.boxes)), progress, cancel)
        slice_mm, size = self.axial.slice_mm * stride, model.preprocessing.size
        fitted = follow(guided, self.decoder(stride), slice_mm, size, model.following, stage.step)
        self.seconds["fitting"] = stage.seconds
        return fitted

    def _fill_thin_slices(
        self, guided: GuidedBoxes, stride: int, progress: ProgressCallback | None, cancel: CancelCheck | None
    ) -> GuidedBoxes:
        """Extends the boxes of every `stride`-th slice to all; encodes together those between that need it."""
        stage = ProgressReporter(FILLING_THIN_SLICES, len(self.axial), progress, cancel)

        def encode_ahead(indices: Sequence[int]) -> None:
            with closing(self.cache.ahead(indices)) as encoded:
                for _ in encoded:
                    stage.step()

        size = self._model.preprocessing.size
        filled = fill_thin_slices(guided, stride, len(self.axial), size, self.decoder(), encode_ahead)
        stage.step(len(self.axial) - stage.done)
        self.seconds["between"] = stage.seconds
        return filled

    def decoder(self, stride: int = 1) -> SliceDecoder:
        """Decodes every `stride`-th slice."""
        model = self._model
        return SliceDecoder(
            model.backend, model.masks, self.axial, self._image, self.cache.embedding, stride, self._cleaner
        )

    @property
    def interpolates(self) -> bool:
        """Whether masks of thin slices may be interpolated from their neighbours."""
        return self.guided is not None and self.guided.between is not None

    def anchors_of(self, index: int) -> tuple[int, int] | None:
        """The two canonical slices that a thin one is interpolated from, or None for one that is decoded itself."""
        if self.guided is None or self.guided.between is None or self.guided.between[index][0] < 0:
            return None
        below, above = self.guided.between[index].tolist()
        return below, above

    def _in_voxels(self, guided: GuidedBoxes) -> dict[int, tuple[Box, ...]]:
        """The guidance's boxes in voxels of the volume, numbered part by part, without those that miss their slice."""
        boxes = {}
        for index, (network_boxes, parts) in enumerate(zip(guided.boxes, number_parts(guided.boxes), strict=True)):
            probability = float(np.clip(guided.probabilities[index], 0, 1))
            slice_index, score = self.axial.slice_index(index), float(guided.scores[index])
            of_slice = [
                Box(slice_index, *edges, BoxSource.AUTO, score=score, probability=probability, part=part)
                for network_box, part in zip(network_boxes, parts, strict=True)
                if (edges := self.axial.to_voxels(network_box)) is not None
            ]
            if of_slice:
                boxes[slice_index] = tuple(sorted(of_slice, key=lambda box: box.part))
        return boxes
