"""Volumes with a ball for a liver, and results that say so: for tests of what is done with results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.preprocessing.frame import Frame
from sammix_core.segmentation.result import SegmentationResult, SliceReport
from sammix_core.segmentation.slice_state import UNSCORED, SliceScores
from sammix_core.volume.volume import Volume


@dataclass
class MadeResult(SegmentationResult):
    """A result without a network behind it, whose map lies on the slices' own pixels."""

    def cam_slice(self, canonical_slice: int) -> np.ndarray:
        return self.cam[canonical_slice].astype(np.float32)


def a_volume(
    shape_kji: tuple[int, int, int] = (12, 60, 80), direction: np.ndarray | None = None, spacing_known: bool = True
) -> Volume:
    """A block of soft tissue (0 HU) in air with a brighter ball (100 HU) in it."""
    array = np.full(shape_kji, -1000, np.int16)
    array[:, 5:-5, 5:-5] = 0
    array[a_ball(shape_kji)] = 100
    return Volume(
        array=array,
        spacing=(1.0, 2.0, 5.0),
        origin=(0.0, 0.0, 0.0),
        direction=np.eye(3) if direction is None else direction,
        spacing_known=spacing_known,
    )


def a_ball(shape_kji: tuple[int, int, int]) -> np.ndarray:
    """A mask that leaves the first and last quarter of the slices empty, off centre so that flips show."""
    n_k, n_j, n_i = shape_kji
    k, j, i = np.ogrid[:n_k, :n_j, :n_i]
    return ((k - n_k / 2) / (n_k / 4)) ** 2 + ((j - n_j * 0.4) / (n_j / 4)) ** 2 + (
        (i - n_i * 0.3) / (n_i / 5)
    ) ** 2 < 1


def a_result(volume: Volume, mask: np.ndarray | None = None, edited: tuple[int, ...] = ()) -> MadeResult:
    """A result with the ball, or a given mask, tight boxes round it, and a map equal to the mask."""
    order = volume.axial_order
    mask = (a_ball(volume.array.shape) if mask is None else mask).astype(np.uint8)
    canonical = order.forward(mask)
    shape_kji = volume.array.shape
    track = BoxTrack(shape_kji[::-1], order.slice_axis)
    slices = []
    for number, plane in enumerate(canonical):
        index = order.slice_index(number, shape_kji)
        box = None
        if plane.any():
            rows, cols = np.nonzero(plane)
            edges = (int(cols.min()), int(rows.min()), int(cols.max()) + 1, int(rows.max()) + 1)
            source = BoxSource.EDITED if index in edited else BoxSource.AUTO
            box = Box(index, *order.box_to_volume(edges, shape_kji), source, score=0.9, probability=0.97)
            track.set(box)
        scores = SliceScores((0.9, 0.94, 0.8), 0.94, 0.92, 0.85) if box else UNSCORED
        slices.append(SliceReport(index, 0.97 if box else 0.02, (box,) if box else (), int(plane.sum()), scores))
    slices.sort(key=lambda entry: entry.slice_index)
    rows, cols = canonical.shape[1:]
    return MadeResult(
        mask=mask,
        boxes=track,
        slices=slices,
        seconds={"guidance": 1.25},
        slices_encoded=len(slices),
        device="cpu",
        model="liver/1.0.0",
        guidance="embedding_cam",
        cam=canonical.astype(np.float16),
        frame=Frame.for_crop((0, 0, rows, cols), (1.0, 1.0), 256),
        slice_shape=(rows, cols),
        axial_order=order,
    )
