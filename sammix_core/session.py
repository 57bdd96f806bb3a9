"""One volume being segmented: its embeddings, maps, boxes and masks, for a whole run or slice by slice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from sammix_core.axial_order import AxialOrder
from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.embedding_cache import EmbeddingCache
from sammix_core.errors import InputError
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import GuidedBoxes, boxes_from_cam, sigmoid, upsampled
from sammix_core.guidance.orientation import likeliest_order, orders_looked_at
from sammix_core.preprocessing import slice_image, volume_frame
from sammix_core.progress import CancelCheck, ProgressCallback, Stage
from sammix_core.results import SegmentationResult, SliceReport
from sammix_core.sam.masks import clean_slice, decode_slices
from sammix_core.volume import Volume

if TYPE_CHECKING:
    from sammix_core.segmenter import LoadedModel

EMBEDDING_LIMIT_BYTES = 3 * 1024**3  # about 1,500 slices of LiteMedSAM in float16
# A slice this improbable is encoded again if someone draws a box there; until then its 2 MB are better spent.
_FORGET_BELOW = 0.01
_OTHER_WAY_UP = (
    "The header says nothing of the orientation and the slices seem to be turned or mirrored in plane, so they were "
    "looked at the other way; the mask is on the file's own grid."
)


class SegmentationSession:
    """A volume and everything computed for it; no global state, so several sessions live side by side.

    Attributes:
        volume: The volume.
        boxes: Boxes in use, automatic and edited, in voxel indices of the volume.
    """

    def __init__(self, model: LoadedModel, volume: Volume, limit_bytes: int = EMBEDDING_LIMIT_BYTES) -> None:
        self.volume = volume
        self._model = model
        self._notes: list[str] = []
        self._looked_at = 0
        self._take_order(volume.axial_order)
        self._cache = EmbeddingCache(model.backend, self._image, limit_bytes)
        self._guided: GuidedBoxes | None = None
        self._mask = np.zeros(self._axial.shape, dtype=np.uint8)
        self._scores: dict[int, tuple[tuple[float, ...], float]] = {}
        self._seconds: dict[str, float] = {}
        shape_k, shape_j, shape_i = volume.array.shape
        self.boxes = BoxTrack((shape_i, shape_j, shape_k), self._order.slice_axis)

    def _take_order(self, order: AxialOrder) -> None:
        """Cuts the volume into axial slices by an order, and fits the network's frame to them."""
        self._order = order
        self._axial = order.forward(self.volume.array)
        self._slice_mm, row_mm, col_mm = order.spacing(self.volume.spacing)
        self._frame = volume_frame(self._axial, (row_mm, col_mm), self._model.preprocessing, self.volume.spacing_known)

    def _look_which_way_up(self, progress: ProgressCallback | None, cancel: CancelCheck | None) -> None:
        """Turns the slices the way that the guidance understands, where the header has lost it."""
        stage = Stage("Looking which way up it lies", orders_looked_at(len(self._axial)), progress, cancel)

        def support(order: AxialOrder, index: int) -> float:
            if order != self._order:
                self._take_order(order)
            image = torch.from_numpy(self._image(index))[None, None]
            embedding = self._model.backend.encode(image).to(torch.float16).float()
            self._looked_at += 1
            stage.step()
            cam_logits = self._model.guidance.maps(image, embedding).cam_logits
            return float(sigmoid(cam_logits).sum())

        by_header, before = self.volume.axial_order, self._order
        chosen = before
        try:
            chosen = likeliest_order(by_header, len(self._axial), support)
        finally:
            self._take_order(chosen)
        self._seconds["orientation"] = stage.seconds
        if chosen != before:  # what there is already was made the other way
            self._cache.clear()
            self._mask = np.ascontiguousarray(chosen.forward(before.back(self._mask)))
        self._notes = [_OTHER_WAY_UP] if chosen != by_header else []

    def preload(self, canonical_slice: int, embedding: np.ndarray) -> None:
        """Takes an embedding that was computed before, for the same volume, model and preprocessing.

        Args:
            canonical_slice: Index in canonical axial order.
            embedding: (c, h, w) float16.
        """
        self._cache.keep(canonical_slice, torch.from_numpy(np.array(embedding, dtype=np.float16))[None])

    def find_boxes(self, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None) -> BoxTrack:
        """Encodes every slice, computes the maps and sets the automatic boxes; edited boxes stay.

        Returns:
            The session's boxes.

        Raises:
            Cancelled: The user stopped.
        """
        if not self.volume.spacing_known:
            self._look_which_way_up(progress, cancel)
        stage = Stage("Looking for the liver", len(self._axial), progress, cancel)
        logits, probabilities = [], []
        for index in range(len(self._axial)):
            image = self._cache.image(index)
            maps = self._model.guidance.maps(image, self._cache.embedding(index, image))
            logits.append(maps.cam_logits)
            probabilities.append(maps.probabilities)
            if maps.probabilities[0] < _FORGET_BELOW:
                self._cache.drop(index)
            stage.step()
        found = GuidanceMaps(np.concatenate(logits), np.concatenate(probabilities))
        size = self._model.preprocessing.size
        self._guided = boxes_from_cam(found, self._slice_mm, size, self._model.boxes)
        for index, network_box in enumerate(self._guided.boxes):
            if network_box is not None:
                box = self._volume_box(index, network_box)
                if box is not None:
                    self.boxes.set(box)
        self._seconds["guidance"] = stage.seconds
        return self.boxes

    def segment_boxes(
        self, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
    ) -> SegmentationResult:
        """Makes the mask of every slice with a box.

        Raises:
            Cancelled: The user stopped.
        """
        stage = Stage("Segmenting", len(self.boxes), progress, cancel)
        self._mask[:] = 0
        self._scores.clear()
        for box in self.boxes.values():
            self._segment(box)
            stage.step()
        self._seconds["segmentation"] = stage.seconds
        return self.result()

    def segment_slice(self, slice_index: int, box: Box) -> np.ndarray:
        """Segments one slice from a box, from the cached embedding where there is one; no other slice changes.

        Args:
            slice_index: Index along the user's slice axis.
            box: The box, in voxel indices of the volume; it replaces the slice's box.

        Returns:
            (rows, cols) uint8 in the user's two in-plane axes: the 2-D slice of the (k, j, i) array.

        Raises:
            InputError: The box lies on another slice or outside the volume.
        """
        if box.slice_index != slice_index:
            raise InputError(f"The box lies on slice {box.slice_index}, not on slice {slice_index}.")
        if not self.boxes.set(box):
            raise InputError(f"Slice {slice_index} has a box of yours, which an automatic one does not replace.")
        self._segment(box)
        axis = "kji".index(self._order.slice_axis)
        return np.ascontiguousarray(np.take(self._order.back(self._mask), slice_index, axis=axis))

    def result(self) -> SegmentationResult:
        """What there is by now, as a result of its own."""
        shape = self.volume.array.shape
        guided = self._guided
        reports = []
        for canonical in range(len(self._axial)):
            index = self._order.slice_index(canonical, shape)
            mask_scores, score = self._scores.get(canonical, ((), None))
            probability = float(np.clip(guided.probabilities[canonical], 0, 1)) if guided is not None else math.nan
            area = int(np.count_nonzero(self._mask[canonical]))
            reports.append(SliceReport(index, probability, score, self.boxes.get(index), mask_scores, area))
        reports.sort(key=lambda report: report.slice_index)
        cam = guided.cam_logits if guided is not None else np.full((len(self._axial), 1, 1), -np.inf, np.float32)
        return SegmentationResult(
            # A copy always: the session's own mask goes on changing.
            mask=np.array(self._order.back(self._mask), order="C"),
            boxes=self.boxes.copy(),
            slices=reports,
            seconds=dict(self._seconds),
            slices_encoded=self._cache.encoded + self._looked_at,
            device=self._model.device.type,
            model=self._model.spec,
            guidance=self._model.guidance.name,
            cam=sigmoid(cam).astype(np.float16),
            frame=self._frame,
            slice_shape=(self._axial.shape[1], self._axial.shape[2]),
            axial_order=self._order,
            notes=[*self._notes, *([] if self._mask.any() else ["No liver was found; the mask is empty."])],
        )

    def _image(self, index: int) -> np.ndarray:
        return slice_image(self._axial[index], self._frame, self._model.preprocessing)

    def _segment(self, box: Box) -> None:
        """Decodes one slice and writes its mask into the canonical mask, touching nothing else."""
        shape = self.volume.array.shape
        index = self._order.canonical_slice(box.slice_index, shape)
        edges = self._order.box_to_canonical(box.edges, shape)
        network_box = np.array([self._frame.box_to_network(edges)])
        guided = self._guided
        cam = None if guided is None else guided.cam_logits[index : index + 1]
        decoded = decode_slices(self._model.backend, self._cache.embedding(index), network_box, cam, self._model.masks)
        plane = (self._axial.shape[1], self._axial.shape[2])
        mask = self._frame.to_slice(decoded.logits[0], plane, fill=-1.0) > 0
        margin_x = self._model.masks.box_margin / self._frame.scale_x
        margin_y = self._model.masks.box_margin / self._frame.scale_y
        limits = (edges[0] - margin_x, edges[1] - margin_y, edges[2] + margin_x, edges[3] + margin_y)
        support = None
        if guided is not None and box.source is BoxSource.AUTO and guided.support[index].any():
            wide = upsampled(guided.support[index].astype(np.float32), self._frame.size)
            support = self._frame.to_slice(wide, plane, fill=0.0) > 0.5
        self._mask[index] = clean_slice(mask, limits, support)
        scores = tuple(float(score) for score in decoded.scores[0])
        best = int(decoded.chosen[0])
        self._scores[index] = (scores, scores[best] if best >= 0 else float(np.mean(scores)))

    def _volume_box(self, index: int, network_box: tuple[float, float, float, float]) -> Box | None:
        """An automatic box in voxels of the volume, rounded outwards, or None where it misses the slice."""
        shape, guided = self.volume.array.shape, self._guided
        assert guided is not None
        col_min, row_min, col_max, row_max = self._frame.box_to_slice(network_box)
        rows, cols = self._axial.shape[1:]
        edges = (
            max(0, math.floor(col_min + 1e-6)),
            max(0, math.floor(row_min + 1e-6)),
            min(cols, math.ceil(col_max - 1e-6)),
            min(rows, math.ceil(row_max - 1e-6)),
        )
        if edges[0] >= edges[2] or edges[1] >= edges[3]:
            return None
        i_min, j_min, i_max, j_max = self._order.box_to_volume(edges, shape)
        return Box(
            self._order.slice_index(index, shape),
            i_min,
            j_min,
            i_max,
            j_max,
            BoxSource.AUTO,
            score=float(guided.scores[index]),
            probability=float(np.clip(guided.probabilities[index], 0, 1)),
        )
