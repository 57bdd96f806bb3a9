"""One volume being segmented: its embeddings, maps, boxes and masks, for a whole run or slice by slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import torch

from sammix_core.boxes import Box, BoxTrack, Click
from sammix_core.embeddings.disk_store import EmbeddingStore
from sammix_core.embeddings.limits import EMBEDDING_LIMIT_BYTES
from sammix_core.errors import InputError
from sammix_core.guidance.saved_guidance import SavedGuidance
from sammix_core.masks.probability import sigmoid
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.sam.decoding import inside_box
from sammix_core.segmentation.box_finder import BoxFinder
from sammix_core.segmentation.carrying.carry import CarriedSession, carry_correction
from sammix_core.segmentation.clicked_slices import ClickedSlices
from sammix_core.segmentation.result import SegmentationResult, SliceReport, cam_on_slice
from sammix_core.segmentation.review import VolumeReviewer, review_order
from sammix_core.segmentation.slice_decoder import MaskRefiner, SliceMask
from sammix_core.segmentation.slice_sampling import EVERY_SLICE, SliceSampling
from sammix_core.segmentation.slice_segmenter import SliceSegmenter
from sammix_core.segmentation.slice_state import SliceState
from sammix_core.segmentation.slice_store import SliceStore
from sammix_core.segmentation.uncertainty import UncertaintyPlanes
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.grid import VolumeGrid
from sammix_core.volume.volume import Volume

if TYPE_CHECKING:
    from sammix_core.segmentation.model_loading import LoadedModel

_NOTHING_FOUND = "No {} was found; the mask is empty."


class SegmentationSession:
    """A volume and everything computed for it; no global state, so several sessions live side by side.

    Work that is cancelled keeps its results so far: a slice is encoded once, and computed masks stay.

    Args:
        model: The model.
        volume: The volume.
        limit_bytes: Memory that the embeddings may take.
        keep_uncertainty: Whether results say how far the three masks are apart.
        sampling: Which slices need not be encoded; `EVERY_SLICE` encodes all.
        store: Where embeddings are kept on disk as well, or None.

    Attributes:
        volume: The volume.
        slices: Boxes, clicks and masks by slice, automatic ones and a person's; for undo and for saving.
        clicked: Applies the clicks of a slice.

    Example:
        A person draws a box on one slice of a small CT, and the mask follows. `model` is a `LoadedModel`;
        `Segmenter.load("liver").open_session(ct)` opens a session with the shipped one.

        >>> from sammix_core import Box, BoxSource, SegmentationSession, Volume
        >>> hu = np.full((2, 64, 64), -1000, dtype=np.int16)
        >>> hu[:, 20:40, 16:36] = 110
        >>> ct = Volume(hu, spacing=(4.0, 4.0, 5.0), origin=(0.0, 0.0, 0.0), direction=np.eye(3))
        >>> session = SegmentationSession(model, ct)
        >>> mask = session.segment_slice(1, Box(1, 16, 20, 36, 40, BoxSource.EDITED))
        >>> mask.shape, bool(mask[30, 26]), bool(mask[5, 5])
        ((64, 64), True, False)
        >>> [report.area_px > 0 for report in session.result().slices]
        [False, True]
    """

    def __init__(
        self,
        model: LoadedModel,
        volume: Volume,
        limit_bytes: int = EMBEDDING_LIMIT_BYTES,
        keep_uncertainty: bool = False,
        sampling: SliceSampling = EVERY_SLICE,
        store: EmbeddingStore | None = None,
    ) -> None:
        self.volume = volume
        self.slices = SliceStore(volume.shape_kji, volume.axial_order, VolumeGrid.of(volume))
        self._model = model
        self._finder = BoxFinder(model, volume, limit_bytes, self._reorder, sampling, store)
        self._cache = self._finder.cache
        self._seconds: dict[str, float] = {}
        self._box_notes: tuple[str, ...] = ()
        self._segmenter = SliceSegmenter(model, self._finder, self.slices)
        self.clicked = ClickedSlices(model, self._finder)
        self._uncertainty = UncertaintyPlanes() if keep_uncertainty else None
        self._reviewer = VolumeReviewer.of(volume, volume.axial_order, model.target)

    @property
    def boxes(self) -> BoxTrack:
        """Boxes in use, automatic and edited, in voxel indices of the volume, and a person's clicks.

        Boxes that are set were made on the same voxels, in this or another order of axes; they are copied.

        Raises:
            InputError: The boxes that are set are of another CT or another grid.
        """
        return self.slices.boxes

    @boxes.setter
    def boxes(self, boxes: BoxTrack) -> None:
        self.slices.boxes, self._box_notes = boxes.placed_on(self.volume)

    @property
    def clicks(self) -> tuple[Click, ...]:
        """A person's clicks, in voxel indices of the volume, sorted by slice and voxel."""
        return self.boxes.clicks

    @property
    def decoded(self) -> int:
        """How many slices were decoded for their masks."""
        return self._segmenter.decoded

    @property
    def guidance(self) -> SavedGuidance | None:
        """The guidance's boxes and maps, for another session of this volume; None before `find_boxes`."""
        return self._finder.save()

    def restore_guidance(self, saved: SavedGuidance) -> None:
        """Continues with the guidance of another session of this volume; boxes and masks stay as they are.

        The guidance of another model is ignored, since its maps do not fit this one's masks.
        """
        self._finder.restore(saved)
        self._segmenter.clear_cache()

    @property
    def axial(self) -> AxialSlices:
        """The volume's slices as the network sees them, in the orientation that is in use."""
        return self._finder.axial

    @property
    def model_spec(self) -> str:
        """The model in use, "liver/2.0.0"."""
        return self._model.spec

    @property
    def device(self) -> str:
        """Where it computes, "cpu" or "cuda"."""
        return self._model.device.type

    @property
    def embedding_bytes(self) -> int:
        """Bytes that the embeddings take."""
        return self._cache.nbytes

    def forget_embeddings(self) -> None:
        """Frees the embeddings' memory; slices are encoded again when they are needed."""
        self._cache.clear()
        self._segmenter.clear_cache()

    def embedding(self, canonical_slice: int) -> torch.Tensor:
        """(1, c, h, w) float32 of a slice in canonical axial order, on the model's device; encoded where needed."""
        return self._cache.embedding(canonical_slice)

    def preload(self, canonical_slice: int, embedding: np.ndarray) -> None:
        """Adds an embedding that was computed before, for the same volume, model and preprocessing.

        Args:
            canonical_slice: Index in canonical axial order.
            embedding: (c, h, w) float16.
        """
        self._cache.keep(canonical_slice, torch.from_numpy(np.array(embedding, dtype=np.float16))[None])

    def prepare_slice(self, slice_index: int) -> None:
        """Computes what an edit of a slice needs besides its box or click, so that the edit itself is quick.

        Args:
            slice_index: Index along the user's slice axis.
        """
        index = self._finder.axial.canonical(slice_index)
        self._cache.embedding(index)
        if self._finder.guided is None:
            self._finder.maps_at(index)
        self.clicked.prepare()

    def set_refiner(self, refiner: MaskRefiner | None) -> None:
        """Sets the refiner of masks computed from now on; None for none."""
        self._segmenter.refiner = refiner
        self._segmenter.clear_cache()

    def find_boxes(
        self,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        on_probability: Callable[[int, float], None] | None = None,
    ) -> BoxTrack:
        """Computes the maps of every slice and sets the automatic boxes; edited boxes stay.

        Slices are encoded on the way where the guidance needs embeddings.

        Args:
            progress: Called after each slice.
            cancel: Polled after each slice; return True to stop.
            on_probability: Called with each slice's index and its probability, before smoothing.

        Returns:
            The session's boxes. There is no automatic one where what was found cannot be the target; `result().notes`
            says so first.

        Raises:
            Cancelled: The user stopped; boxes are as they were.
        """
        self._segmenter.clear_cache()
        self.slices.set_automatic(self._finder.find(progress, cancel, on_probability))
        return self.boxes

    def segment_boxes(
        self, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
    ) -> SegmentationResult:
        """Computes the mask of every slice with a box or a click; see `segment_slices`.

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
        before_slice: Callable[[int], object] | None = None,
    ) -> list[int]:
        """Computes the masks of slices, each the union of its boxes' masks; a slice without a box becomes empty.

        The clicks of a slice are applied to its new mask.

        Args:
            slices: Indices along the user's slice axis.
            progress: Called after each slice with a box.
            cancel: Polled after each slice with a box; return True to stop.
            on_changed: Called with the index of each slice whose mask was computed or removed.
            force: Whether slices that were corrected by hand are segmented too.
            before_slice: Called with a slice's index just before its turn; it may set other boxes.

        Returns:
            Slices that were skipped because they were corrected by hand.

        Raises:
            Cancelled: The user stopped.
        """
        requested = list(slices)
        protected = [index for index in requested if index in self.slices.corrected and not force]
        indices = [index for index in requested if index not in protected]
        counted = [index for index in indices if before_slice is not None or index in self.boxes]
        stage = ProgressReporter("Segmenting", len(counted), progress, cancel)
        with closing(self._segmenter.segment_in_order(indices, before_slice)) as masks:
            for index, mask in masks:
                if mask is not None:
                    self._write(index, mask)
                changed = mask is not None or self.slices.empty(index)
                if (self._apply(index, self.boxes.clicks_on(index)) or changed) and on_changed is not None:
                    on_changed(index)
                if index in counted:
                    stage.step()
        self._seconds["segmentation"] = stage.seconds
        return protected

    def segment_slice(self, slice_index: int, boxes: Box | Sequence[Box], force: bool = False) -> np.ndarray:
        """Segments one slice from boxes, from the cached embedding where there is one; no other slice changes.

        A thin slice whose automatic mask is interpolated from its neighbours is encoded and decoded itself.

        Args:
            slice_index: Index along the user's slice axis.
            boxes: The box, or several, one a part, in voxel indices of the volume; they replace the slice's boxes, and
                those that share a part number get others. An empty sequence says that nothing is there.
            force: Whether a mask that was corrected by hand may be replaced.

        Returns:
            (rows, cols) uint8 in the user's two in-plane axes: the 2-D slice of the (k, j, i) array.

        Raises:
            InputError: A box lies on another slice or outside the volume, the slice has a box of a person and these are
                not, or the slice was corrected by hand.
        """
        boxes = (boxes,) if isinstance(boxes, Box) else tuple(boxes)
        if slice_index in self.slices.corrected and not force:
            raise InputError(f"Slice {slice_index} was corrected by hand, so its mask stays as it is.")
        self.boxes.put(slice_index, boxes)
        now = self.boxes.on(slice_index)
        if now:
            self._write(slice_index, self._segmenter.segment(now, interpolate=False))
        else:
            self.slices.empty(slice_index)
        self._apply(slice_index, self.boxes.clicks_on(slice_index))
        return self.slices.plane(slice_index)

    def review(self) -> list[int]:
        """The slices that are worth a person's review, the one with most to be wrong first.

        Returns:
            Indices along the user's slice axis; without slices whose mask a person made or took away, and last those
            where a person clicked or changed boxes.
        """
        states, probabilities = self._known()
        return [review.slice_index for review in review_order(self._reviewer.review(states, probabilities))]

    def add_click(self, slice_index: int, i: int, j: int, positive: bool = True) -> np.ndarray:
        """Includes a point in a slice's mask or excludes it, with the region that it belongs to; see `ClickedSlices`.

        The order of clicks does not matter. A slice may have boxes or none, and may have been corrected by hand; its
        mask without clicks is kept, and whatever computes it again applies the clicks to the new one.

        Args:
            slice_index: Index along the user's slice axis.
            i: Voxel along the first in-plane axis, as in `Click`.
            j: Voxel along the second one.
            positive: Whether the point belongs to the structure. A click on the voxel of another one replaces it.

        Returns:
            (rows, cols) uint8 in the user's two in-plane axes, as of `segment_slice`.

        Raises:
            InputError: The point lies outside the volume.
        """
        click = Click(slice_index, i, j, positive)
        others = [
            other for other in self.boxes.clicks_on(click.slice_index) if (other.i, other.j) != (click.i, click.j)
        ]
        return self._set_clicks(click.slice_index, [*others, click])

    def remove_click(self, slice_index: int, i: int, j: int) -> np.ndarray:
        """Takes a click back: the slice gets the mask of the remaining ones.

        Args:
            slice_index: As of `add_click`.
            i: Likewise.
            j: Likewise.

        Returns:
            As `add_click`; without a click left exactly the mask that the slice had before its clicks.

        Raises:
            InputError: There is no such click.
        """
        clicks = self.boxes.clicks_on(slice_index)
        remaining = [click for click in clicks if (click.i, click.j) != (i, j)]
        if len(remaining) == len(clicks):
            raise InputError(f"There is no click on the voxel {i}, {j} of slice {slice_index}.")
        return self._set_clicks(slice_index, remaining)

    def carry(
        self,
        slice_index: int,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        on_changed: Callable[[int], None] | None = None,
    ) -> list[int]:
        """Carries the correction of a slice up and down, until little changes or a slice of the person's own comes.

        Between two slices of the person's own both corrections count, the nearer one more. A slice that was carried to
        gets boxes round its new mask, of the source "carried". Carried to again, it begins from its automatic mask.

        Args:
            slice_index: A slice that a person painted or clicked on, or whose boxes a person set or deleted.
            progress: Called after each slice; slices that are not reached count at the end.
            cancel: Polled after each slice; return True to stop.
            on_changed: Called with the index of each slice whose mask was set, nearest ones first, perhaps several
                times.

        Returns:
            The slices that changed, sorted.

        Raises:
            InputError: There is no such slice, or no person did anything to it.
            Cancelled: The user stopped; all slices are as they were, and those that had changed were reported again.
        """
        session = CarriedSession(self._finder, self._segmenter, self.slices, self._write)
        return carry_correction(session, slice_index, progress, cancel, on_changed)

    def result(self) -> SegmentationResult:
        """The result so far; a copy."""
        finder, target = self._finder, self._model.target
        states, probabilities = self._known()
        reports = [SliceReport.of(state, probabilities.get(state.slice_index, math.nan)) for state in states]
        reviews = self._reviewer.review(states, probabilities)
        cam = np.full((len(finder.axial), 1, 1), -np.inf, np.float32)
        if finder.guided is not None:
            cam = finder.guided.cam_logits
        return SegmentationResult(
            mask=self.slices.mask(),
            boxes=self.boxes.copy(),
            slices=reports,
            seconds={**finder.seconds, **self._seconds},
            slices_encoded=finder.slices_encoded,
            device=self.device,
            model=self._model.spec,
            guidance=self._model.guidance.name,
            cam=sigmoid(cam).astype(np.float16),
            frame=finder.axial.frame,
            slice_shape=finder.axial.plane_shape,
            axial_order=finder.axial.order,
            notes=[
                *finder.notes,
                *self._box_notes,
                *self._model.notes,
                *([] if any(report.area_px for report in reports) else [_NOTHING_FOUND.format(target)]),
            ],
            target=target,
            precision=self._model.precision,
            refined_by=None if self._segmenter.refiner is None else self._segmenter.refiner.spec,
            uncertainty=None
            if self._uncertainty is None
            else self._uncertainty.volume(
                self.volume.shape_kji, finder.axial.order, self.boxes, doubts=self._reviewer.doubts()
            ),
            reviews=reviews,
        )

    def cam_slice(self, slice_index: int) -> np.ndarray:
        """The class activation map on one of the user's slices.

        Args:
            slice_index: Index along the user's slice axis.

        Returns:
            (rows, cols) float32 in [0, 1] in the user's two in-plane axes; 0 before there is a map.
        """
        axial, guided = self._finder.axial, self._finder.guided
        cam = np.zeros(axial.plane_shape, np.float32)
        if guided is not None:
            cam = cam_on_slice(sigmoid(guided.cam_logits[axial.canonical(slice_index)]), axial.frame, axial.plane_shape)
        return np.ascontiguousarray(axial.order.slice_to_volume(cam))

    def _known(self) -> tuple[list[SliceState], dict[int, float]]:
        """The state of every slice, and the probabilities that are known."""
        guidance = self.guidance
        states = [self.slices.state(index) for index in range(self.boxes.slice_count)]
        return states, {} if guidance is None else guidance.probabilities(self.volume.shape_kji)

    def _set_clicks(self, slice_index: int, clicks: Sequence[Click]) -> np.ndarray:
        self.boxes.check_clicks(clicks)
        if not self._apply(slice_index, clicks):
            self.slices.unclick(slice_index)
        self.boxes.put_clicks(slice_index, clicks)
        return self.slices.plane(slice_index)

    def _apply(self, slice_index: int, clicks: Sequence[Click]) -> bool:
        """Makes a slice's mask of the one without clicks; returns whether there are clicks."""
        if clicks:
            self.slices.write_clicked(slice_index, self.clicked.mask(self.slices.unclicked(slice_index), clicks))
        return bool(clicks)

    def _reorder(self, order: AxialOrder) -> None:
        self.slices.turn(order)
        self._reviewer = VolumeReviewer.of(self.volume, order, self._model.target)
        if self._uncertainty is not None:
            self._uncertainty.clear()

    def _write(self, slice_index: int, computed: SliceMask) -> None:
        """Sets a slice's mask; no other slice changes."""
        self.slices.write(slice_index, computed.mask, computed.scores)
        if self._uncertainty is not None:
            axial = self._finder.axial
            spread, inside = np.zeros(axial.plane_shape, np.float32), np.zeros(axial.plane_shape, bool)
            for part in computed.parts:
                limits = inside_box(axial.plane_shape, part.limits)
                of_part = axial.frame.to_slice(part.decoded.disagreement(0), axial.plane_shape, fill=0.0)
                spread, inside = np.where(limits, np.maximum(spread, of_part), spread), inside | limits
            self._uncertainty.write(slice_index, spread, inside)
