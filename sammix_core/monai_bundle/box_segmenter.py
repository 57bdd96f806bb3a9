"""A CT and its boxes to a mask on the CT's own grid, by MONAI's data alone. A bundle carries a copy of this file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sammix_core.boxes.box import BoxSource
from sammix_core.boxes.track import BoxTrack
from sammix_core.monai_bundle.network import BoxPromptedNetwork
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.segmentation.density_cleaning import cleaner_for
from sammix_core.segmentation.slice_decoder import SliceDecoder
from sammix_core.volume.volume import Volume, grid_from_ras

IMAGE, BOXES, PRED = "image", "boxes", "pred"
_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


class BoxSegmenter:
    """The bundle's inferer: cuts a CT into axial slices, segments those with a box, puts the masks back.

    Each box is trusted as one that a person set, and each slice stands alone, as in
    `SegmentationSession.segment_slice` without a refiner. What SAMMix does besides is not part of it: finding boxes,
    following the organ from slice to slice, turning upside-down scans, refining, checking whether the CT shows the
    organ at all.

    Args:
        network: With the bundle's weights.
    """

    def __init__(self, network: BoxPromptedNetwork) -> None:
        self._network = network

    def __call__(self, image: Any, boxes: str | Path) -> Any:
        """Segments a CT.

        Args:
            image: A `MetaTensor` (1, i, j, k) in Hounsfield units with its affine to RAS mm.
            boxes: A file of boxes on it (`sammix-boxes/2`).

        Returns:
            A `MetaTensor` (1, i, j, k) uint8 with the same affine: 1 is the structure.

        Raises:
            InputError: The boxes are of another CT.
        """
        from monai.data import MetaTensor

        array = np.ascontiguousarray(np.asarray(image.detach().cpu())[0].transpose(2, 1, 0))
        volume = Volume(array, *grid_from_ras(np.asarray(image.affine, dtype=np.float64)))
        track, _ = BoxTrack.read(boxes).placed_on(volume)
        mask = self._mask(volume, track)
        return MetaTensor(torch.from_numpy(mask.transpose(2, 1, 0)[None].copy()), meta=image.meta)

    def _mask(self, volume: Volume, track: BoxTrack) -> np.ndarray:
        """(k, j, i) uint8."""
        axial = AxialSlices.cut(volume, volume.axial_order, self._network.preprocessing)
        network: Any = self._network  # a PromptDecoder
        encoded = lru_cache(maxsize=1)(
            lambda index: self._network.encode(torch.from_numpy(axial.image(index))[None, None])
        )
        cleaner = cleaner_for(axial, network.masks)
        decoder = SliceDecoder(network, network.masks, axial, axial.image, encoded, cleaner=cleaner)
        canonical = np.zeros(axial.hu.shape, np.uint8)
        for slice_index, given in track.items():
            boxes = [replace(box, source=BoxSource.EDITED) for box in given]
            index = axial.canonical(slice_index)
            cam_logits = self._network.cam_logits(encoded(index))[0]
            nothing = [None] * len(boxes)
            decoded = decoder.decode_boxes(boxes, cam_logits, nothing)
            canonical[index] |= decoder.slice_mask(decoded, boxes, cam_logits, nothing).mask
        return volume.axial_order.back(canonical)


class Evaluator:
    """Segments the cases of a data set one by one; the bundle's `evaluator`.

    Args:
        dataset: Items with an image and the file of its boxes.
        inferer: A `BoxSegmenter`.
        postprocessing: Called with each item and its prediction, to save it.
    """

    def __init__(
        self,
        dataset: Iterable[Mapping[str, Any]],
        inferer: Callable[[Any, str], Any],
        postprocessing: Callable[[dict[str, Any]], Any],
    ) -> None:
        self._dataset = dataset
        self._inferer = inferer
        self._postprocessing = postprocessing

    def run(self) -> None:
        """Segments all cases."""
        for item in self._dataset:
            self._postprocessing({**item, PRED: self._inferer(item[IMAGE], item[BOXES])})


def list_cases(folder: str | Path) -> list[dict[str, str]]:
    """The CTs of a folder that have boxes: NAME.nii.gz (or .nii, .nrrd, .mha) with NAME.json beside it."""
    cases = []
    for boxes in sorted(Path(folder).glob("*.json")):
        images = [path for suffix in _SUFFIXES if (path := boxes.with_name(boxes.stem + suffix)).is_file()]
        cases += [{IMAGE: str(image), BOXES: str(boxes)} for image in images[:1]]
    return cases
