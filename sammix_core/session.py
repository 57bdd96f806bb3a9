"""One volume being segmented: its embeddings, maps, boxes and masks, for a whole run or slice by slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch

from sammix_core.axial_slices import AxialSlices
from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.embedding_cache import EmbeddingCache
from sammix_core.errors import InputError
from sammix_core.follow import follow
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import GuidedBoxes, NetworkBox, boxes_from_cam, sigmoid
from sammix_core.guidance.orientation import orders_looked_at
from sammix_core.progress import FITTING_BOXES, LOOKING_WHICH_WAY_UP, CancelCheck, ProgressCallback, Stage
from sammix_core.results import SegmentationResult, cam_on_slice, report_of
from sammix_core.sam.masks import inside_box
from sammix_core.saved_guidance import SavedGuidance
from sammix_core.slice_look import Look, look_at
from sammix_core.slice_mask import make_mask
from sammix_core.slice_store import SliceStore
from sammix_core.uncertainty import UncertaintyPlanes
from sammix_core.volume import Volume
from sammix_core.which_way_up import likeliest_cut

if TYPE_CHECKING:
    from sammix_core.loading import LoadedModel

EMBEDDING_LIMIT_BYTES = 3 * 1024**3  # about 1,500 slices of LiteMedSAM in float16
# A slice this improbable is encoded again if someone draws a box there; until then its 2 MB are better spent.
_FORGET_BELOW = 0.01
_OTHER_WAY_UP = (
    "The header says nothing of the orientation and the slices seem to be turned or mirrored in plane, so they were "
    "looked at the other way; the mask is on the file's own grid."
)
_NOTHING_FOUND = "No liver was found; the mask is empty."


class SegmentationSession:
    """A volume and everything computed for it; no global state, so several sessions live side by side.

    What is cancelled keeps what it has done: a slice is looked at once, and masks that were made stay.

    Attributes:
        volume: The volume.
        slices: Boxes and masks by slice, automatic ones and a person's; for undo and for saving.
    """

    def __init__(
        self,
        model: LoadedModel,
        volume: Volume,
        limit_bytes: int = EMBEDDING_LIMIT_BYTES,
        keep_uncertainty: bool = False,
    ) -> None:
        self.volume = volume
        self._model = model
        self._notes: list[str] = []
        self._looked_at = 0
        self._axial = AxialSlices.cut(volume, volume.axial_order, model.preprocessing)
        self._cache = EmbeddingCache(model.backend, lambda index: self._axial.image(index), limit_bytes)
        self._maps: dict[int, GuidanceMaps] = {}
        self._guided: GuidedBoxes | None = None
        self.slices = SliceStore(volume.shape_kji, volume.axial_order)
        self._seconds: dict[str, float] = {}
        self._uncertainty = UncertaintyPlanes() if keep_uncertainty else None

    @property
    def boxes(self) -> BoxTrack:
        """Boxes in use, automatic and edited, in voxel indices of the volume."""
        return self.slices.boxes

    @boxes.setter
    def boxes(self, boxes: BoxTrack) -> None:
        self.slices.boxes = boxes

    @property
    def guidance(self) -> SavedGuidance | None:
        """What the search for boxes found, for another session of this volume; None before there was one."""
        if self._guided is None:
            return None
        return SavedGuidance(self._model.spec, self._axial.order, self._guided, tuple(self._notes))

    def take_guidance(self, saved: SavedGuidance) -> None:
        """Goes on with what another session of this volume found; boxes and masks stay as they are.

        What another model found is left alone, since its maps do not fit this one's masks.
        """
        if saved.model != self._model.spec:
            return
        self._turn(AxialSlices.cut(self.volume, saved.order, self._model.preprocessing))
        self._guided, self._notes = saved.guided, list(saved.notes)

    @property
    def embedding_bytes(self) -> int:
        """Bytes that the embeddings take."""
        return self._cache.nbytes

    def forget_embeddings(self) -> None:
        """Gives the embeddings' memory back; slices are encoded again when they are needed."""
        self._cache.clear()

    def preload(self, canonical_slice: int, embedding: np.ndarray) -> None:
        """Takes an embedding that was computed before, for the same volume, model and preprocessing.

        Args:
            canonical_slice: Index in canonical axial order.
            embedding: (c, h, w) float16.
        """
        self._cache.keep(canonical_slice, torch.from_numpy(np.array(embedding, dtype=np.float16))[None])

    def prepare_slice(self, slice_index: int) -> None:
        """Computes what an edit of a slice needs besides its box, so that the edit itself is quick.

        Args:
            slice_index: Index along the user's slice axis.
        """
        index = self._axial.canonical(slice_index)
        self._cache.embedding(index)
        if self._guided is None:
            self._maps_of(index)

    def find_boxes(
        self,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        on_seen: Callable[[int, float], None] | None = None,
    ) -> BoxTrack:
        """Computes the maps of every slice and sets the automatic boxes; edited boxes stay.

        Slices are encoded on the way where the guidance looks at embeddings.

        Args:
            progress: Told after each slice.
            cancel: Asked after each slice.
            on_seen: Told each slice's index and its probability, before smoothing, as it is looked at.

        Returns:
            The session's boxes.

        Raises:
            Cancelled: The user stopped; boxes are as they were.
        """
        if not self.volume.spacing_known and self._guided is None:
            self._look_which_way_up(progress, cancel)
        stage = Stage("Looking for the liver", len(self._axial), progress, cancel)
        for index in range(len(self._axial)):
            maps = self._maps_of(index)
            if maps.probabilities[0] < _FORGET_BELOW:
                self._cache.drop(index)
            if on_seen is not None:
                on_seen(self._axial.slice_index(index), float(maps.probabilities[0]))
            stage.step()
        each = [self._maps[index] for index in range(len(self._axial))]
        found = GuidanceMaps(
            np.concatenate([maps.cam_logits for maps in each]), np.concatenate([maps.probabilities for maps in each])
        )
        size = self._model.preprocessing.size
        guided = boxes_from_cam(found, self._axial.slice_mm, size, self._model.boxes)
        self._seconds["guidance"] = stage.seconds
        self._guided = self._followed(guided, size, progress, cancel)
        self.slices.set_automatic(self._automatic_boxes(self._guided))
        return self.boxes

    def segment_boxes(
        self, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
    ) -> SegmentationResult:
        """Makes the mask of every slice with a box, as `segment_slices` does.

        Raises:
            Cancelled: The user stopped.
        """
        self.segment_slices(range(self.boxes.slice_count), progress, cancel)
        return self.result()

    def segment_slices(
        self,
        slices: Iterable[int],
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        on_changed: Callable[[int], None] | None = None,
        force: bool = False,
        take_box: Callable[[int], object] | None = None,
    ) -> list[int]:
        """Makes the masks of slices from the boxes that they have; one without a box becomes empty.

        Args:
            slices: Indices along the user's slice axis.
            progress: Told after each slice with a box.
            cancel: Asked after each slice with a box.
            on_changed: Told the index of each slice whose mask was made or taken away.
            force: Whether slices that were corrected by hand are segmented too.
            take_box: Called with a slice's index just before its turn, to give it another box.

        Returns:
            Slices that were left alone because they were corrected by hand.

        Raises:
            Cancelled: The user stopped.
        """
        wanted = list(slices)
        protected = [index for index in wanted if index in self.slices.corrected and not force]
        chosen = [index for index in wanted if index not in protected]
        counted = [index for index in chosen if take_box is not None or index in self.boxes]
        stage = Stage("Segmenting", len(counted), progress, cancel)
        for index in chosen:
            if take_box is not None:
                take_box(index)
            box = self.boxes.get(index)
            if box is not None:
                self._segment(box)
            if (box is not None or self.slices.empty(index)) and on_changed is not None:
                on_changed(index)
            if index in counted:
                stage.step()
        self._seconds["segmentation"] = stage.seconds
        return protected

    def segment_slice(self, slice_index: int, box: Box, force: bool = False) -> np.ndarray:
        """Segments one slice from a box, from the cached embedding where there is one; no other slice changes.

        Args:
            slice_index: Index along the user's slice axis.
            box: The box, in voxel indices of the volume; it replaces the slice's box.
            force: Whether a mask that was corrected by hand may be replaced.

        Returns:
            (rows, cols) uint8 in the user's two in-plane axes: the 2-D slice of the (k, j, i) array.

        Raises:
            InputError: The box lies on another slice or outside the volume, or the slice was corrected by hand.
        """
        if box.slice_index != slice_index:
            raise InputError(f"The box lies on slice {box.slice_index}, not on slice {slice_index}.")
        if slice_index in self.slices.corrected and not force:
            raise InputError(f"Slice {slice_index} was corrected by hand, so its mask stays as it is.")
        if not self.boxes.set(box):
            raise InputError(f"Slice {slice_index} has a box of yours, which an automatic one does not replace.")
        self._segment(box)
        return self.slices.plane(slice_index)

    def result(self) -> SegmentationResult:
        """What there is by now, as a result of its own."""
        guided, guidance = self._guided, self.guidance
        probabilities = {} if guidance is None else guidance.probabilities(self.volume.shape_kji)
        reports = [
            report_of(self.slices.state(index), probabilities.get(index, math.nan))
            for index in range(self.boxes.slice_count)
        ]
        cam = guided.cam_logits if guided is not None else np.full((len(self._axial), 1, 1), -np.inf, np.float32)
        return SegmentationResult(
            mask=self.slices.mask(),
            boxes=self.boxes.copy(),
            slices=reports,
            seconds=dict(self._seconds),
            slices_encoded=self._cache.encoded + self._looked_at,
            device=self._model.device.type,
            model=self._model.spec,
            guidance=self._model.guidance.name,
            cam=sigmoid(cam).astype(np.float16),
            frame=self._axial.frame,
            slice_shape=self._axial.plane_shape,
            axial_order=self._axial.order,
            notes=[*self._notes, *([] if any(one.area_px for one in reports) else [_NOTHING_FOUND])],
            uncertainty=None
            if self._uncertainty is None
            else self._uncertainty.volume(self.volume.shape_kji, self._axial.order, self.boxes),
        )

    def cam_slice(self, slice_index: int) -> np.ndarray:
        """The class activation map on one of the user's slices.

        Args:
            slice_index: Index along the user's slice axis.

        Returns:
            (rows, cols) float32 in [0, 1] in the user's two in-plane axes; 0 before there is a map.
        """
        index = self._axial.canonical(slice_index)
        if self._guided is None:
            cam = np.zeros(self._axial.plane_shape, np.float32)
        else:
            probability = sigmoid(self._guided.cam_logits[index])
            cam = cam_on_slice(probability, self._axial.frame, self._axial.plane_shape)
        return np.ascontiguousarray(self._axial.order.slice_to_volume(cam))

    def _look_which_way_up(self, progress: ProgressCallback | None, cancel: CancelCheck | None) -> None:
        """Turns the slices the way that the guidance understands, where the header has lost it."""
        stage = Stage(LOOKING_WHICH_WAY_UP, orders_looked_at(len(self._axial)), progress, cancel)
        chosen = likeliest_cut(self.volume, self._model, stage.step)
        self._looked_at += stage.done if self._model.guidance.needs_embeddings else 0
        self._seconds["orientation"] = stage.seconds
        self._turn(chosen)
        self._notes = [_OTHER_WAY_UP] if chosen.order != self.volume.axial_order else []

    def _turn(self, axial: AxialSlices) -> None:
        """Takes slices cut another way; what there is already was made the old way."""
        if axial.order != self._axial.order:
            self._axial = axial
            self._cache.clear()
            self._maps.clear()
            self.slices.turn(axial.order)
            if self._uncertainty is not None:
                self._uncertainty.clear()

    def _followed(
        self, guided: GuidedBoxes, size: int, progress: ProgressCallback | None, cancel: CancelCheck | None
    ) -> GuidedBoxes:
        """The guidance's boxes drawn tight about masks, and the organ followed past its ends."""
        model = self._model
        if model.following.grow <= 0:
            return guided  # and no stage of no steps is told of
        stage = Stage(FITTING_BOXES, sum(box is not None for box in guided.boxes), progress, cancel)

        def look(index: int, box: NetworkBox, logits: np.ndarray | None, support: np.ndarray | None) -> Look | None:
            image, embedding = self._axial.image(index), self._cache.embedding(index)
            return look_at(model.backend, model.masks, model.preprocessing, image, embedding, box, logits, support)

        followed = follow(guided, look, self._axial.slice_mm, size, model.following, stage.step)
        self._seconds["fitting"] = stage.seconds
        return followed

    def _maps_of(self, index: int) -> GuidanceMaps:
        """The guidance's maps of one canonical slice, computed once."""
        maps = self._maps.get(index)
        if maps is None:
            image = self._cache.image(index)
            needed = self._model.guidance.needs_embeddings
            embedding = self._cache.embedding(index, image) if needed else torch.empty(0)
            maps = self._maps[index] = self._model.guidance.maps(image, embedding)
        return maps

    def _segment(self, box: Box) -> None:
        """Makes one slice's mask, touching nothing else."""
        index = self._axial.canonical(box.slice_index)
        if self._guided is None:
            # Before the whole volume was looked at there is the slice's own map, which is that without its neighbours.
            cam_logits, support = self._maps_of(index).cam_logits[0], None
        else:
            cam_logits = self._guided.cam_logits[index]
            support = self._guided.support[index] if box.source is BoxSource.AUTO else None
        embedding = self._cache.embedding(index)
        model = self._model
        made = make_mask(model.backend, model.masks, self._axial, box, embedding, cam_logits, support)
        self.slices.write(box.slice_index, made.mask, made.scores)
        if self._uncertainty is not None:
            shape = self._axial.plane_shape
            spread = self._axial.frame.to_slice(made.decoded.disagreement(0), shape, fill=0.0)
            self._uncertainty.write(box.slice_index, spread, inside_box(shape, made.limits))

    def _automatic_boxes(self, guided: GuidedBoxes) -> dict[int, Box]:
        """The boxes that were found, in voxels of the volume; those that miss their slice are left out."""
        found = {}
        for index, network_box in enumerate(guided.boxes):
            edges = None if network_box is None else self._axial.to_voxels(network_box)
            if edges is not None:
                probability = float(np.clip(guided.probabilities[index], 0, 1))
                place, score = self._axial.slice_index(index), float(guided.scores[index])
                found[place] = Box(place, *edges, BoxSource.AUTO, score=score, probability=probability)
        return found
