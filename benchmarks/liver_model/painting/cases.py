"""The cases to label, the model's own masks to begin from, and the painted masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from strokes import Easel, StrokeFile

from sammix_core.boxes.box import Box, BoxSource
from sammix_core.errors import InputError
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import placed_on_ct, read_labelmap

HERE = Path(__file__).resolve().parent
STROKES = HERE.parent / "strokes"
LABELS = HERE.parent / "labels"
DATA = HERE.parents[3] / "shared" / "data"
WORK = HERE.parents[2] / "work" / "painting"


@dataclass
class PaintedCase:
    """A CT whose slices are being labelled. All its slices are canonical: k upwards, rows from front to back.

    Attributes:
        name: Stem of the CT's file without "_ct".
        reading: Folder of the strokes below `strokes`; "" for the labels themselves, "blind" or "second" for readings
            that give the labels' own error.
    """

    name: str
    reading: str = ""
    _painted: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    @cached_property
    def volume(self) -> Volume:
        """The CT."""
        return read_volume(DATA / f"{self.name}_ct.nii.gz")

    @cached_property
    def hu(self) -> np.ndarray:
        """(slices, rows, cols) HU."""
        order = self.volume.axial_order
        if order.axes != (2, 1, 0) or any(order.flips):
            raise InputError(f"{self.name} is not stored as canonical axial slices.")
        return self.volume.array

    @cached_property
    def strokes(self) -> StrokeFile:
        """What was painted so far."""
        return StrokeFile.read(self.stroke_path)

    @property
    def stroke_path(self) -> Path:
        """Where the strokes lie."""
        return STROKES / self.reading / f"{self.name}.txt"

    @cached_property
    def model_mask(self) -> np.ndarray:
        """(slices, rows, cols) bool, the mask to begin from: a given rough label, or else the shipped model's."""
        rough = sorted(DATA.glob(f"{self.name}_label_*ROUGH.nii.gz"))
        if rough:
            return placed_on_ct(read_labelmap(rough[0]), self.volume, self.name).array > 0
        path = WORK / f"{self.name}_model.npz"
        if not path.exists():
            from sammix_core.segmentation.segmenter import Segmenter
            from sammix_core.segmentation.slice_sampling import EVERY_SLICE

            result = Segmenter.load("liver").segment_volume(self.volume, sampling=EVERY_SLICE, keep_embeddings=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(path, mask=np.packbits(result.mask > 0))
        packed = np.load(path)["mask"]
        return np.unpackbits(packed, count=self.hu.size).reshape(self.hu.shape).astype(bool)

    def painted(self, index: int) -> np.ndarray:
        """(rows, cols) bool of one slice after all of its strokes."""
        if index not in self._painted:
            easel = Easel(
                self.hu[index],
                lambda: self.model_mask[index],
                self.painted,
                lambda box: self._segment_box(index, box),
            )
            self._painted[index] = easel.paint(self.strokes.slices.get(index, []))
        return self._painted[index]

    def _segment_box(self, index: int, edges: tuple[int, int, int, int]) -> np.ndarray:
        """What the shipped model makes of a person's box; kept, since loading the model takes seconds."""
        path = WORK / f"{self.name}_boxes" / ("_".join(map(str, (index, *edges))) + ".npy")
        if not path.exists():
            from sammix_core.segmentation.segmenter import Segmenter

            session = Segmenter.load("liver").open_session(self.volume, keep_embeddings=True)
            mask = session.segment_slice(index, Box(index, *edges, BoxSource.EDITED)) > 0
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.packbits(mask))
        return np.unpackbits(np.load(path), count=self.hu[0].size).reshape(self.hu[0].shape).astype(bool)
