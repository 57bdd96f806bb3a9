"""What the mask decoder makes of one slice from a box, in the network's frame: mask, tight box, score, HU.

The guidance sees at 64 x 64 and slice by slice. The decoder sees the edge of the organ, so its mask gives the better
box; and what the mask holds in HU says whether two slices show the same organ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from sammix_core.boxes import NetworkBox, tight_box
from sammix_core.masks.components import largest_component
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.upsampling import upsampled
from sammix_core.sam.backend import SamBackend
from sammix_core.sam.decoding import MaskSettings, clean_slice, decode_slices


@dataclass(frozen=True)
class Look:
    """A slice as the decoder sees it from one box.

    Attributes:
        mask: (size, size) bool, network pixels.
        logits: (size, size) float32, what the mask was made of.
        box: Tight (x_min, y_min, x_max, y_max) of the mask, edges in network pixels.
        score: The IoU that the decoder predicts of its mask.
        hu: Median HU inside the mask, of the windowed image.
    """

    mask: np.ndarray
    logits: np.ndarray
    box: NetworkBox
    score: float
    hu: float

    @property
    def area(self) -> int:
        """Network pixels in the mask."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True)
class SliceDecoder:
    """Shows a volume's slices as the decoder sees them.

    Attributes:
        backend: The SAM backend.
        settings: How masks are chosen.
        preprocessing: For the window, to tell HU.
        image: Gives (size, size) float32 in [0, 1] of a canonical slice, what was encoded; from any thread.
        embedding: Gives (1, c, h, w) of a canonical slice; from any thread.
    """

    backend: SamBackend
    settings: MaskSettings
    preprocessing: PreprocessingSpec
    image: Callable[[int], np.ndarray]
    embedding: Callable[[int], torch.Tensor]

    @property
    def concurrency(self) -> int:
        """How many slices are best looked at at the same time, each from a thread of its own (`in_threads`)."""
        return self.backend.concurrency

    def look(
        self, index: int, box: NetworkBox, map_logits: np.ndarray | None, support: np.ndarray | None
    ) -> Look | None:
        """Decodes one slice from a box.

        Args:
            index: The canonical slice.
            box: Edges in network pixels.
            map_logits: (h, w) for the dense prompt, or None.
            support: (h, w) bool, cells that the mask's pieces must touch, or None for the largest piece alone.

        Returns:
            The look, or None where the mask is empty.
        """
        prompt = None if map_logits is None else map_logits[None].astype(np.float32)
        decoded = decode_slices(self.backend, self.embedding(index), np.array([box]), prompt, self.settings)
        mask = decoded.logits[0] > 0
        margin = self.settings.box_margin
        limits = (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)
        wide = None if support is None else upsampled(support.astype(np.float32), len(mask)) > 0.5
        mask = clean_slice(mask, limits, wide)
        if support is None:
            mask = largest_component(mask)
        tight = tight_box(mask)
        if tight is None:
            return None
        best = int(decoded.chosen[0])
        score = float(decoded.scores[0][best] if best >= 0 else decoded.scores[0].mean())
        return Look(mask, decoded.logits[0], tight, score, self.hu(index, mask))

    def hu(self, index: int, mask: np.ndarray) -> float:
        """Median HU of a slice's windowed image inside (size, size) bool, at least one pixel."""
        # A little smoothing keeps the median of a noisy, narrow tip from jumping.
        share = float(np.median(ndimage.uniform_filter(self.image(index), 3)[mask]))
        return self.preprocessing.window_level + (share - 0.5) * self.preprocessing.window_width


def padded(box: NetworkBox, share: float, size: int) -> NetworkBox:
    """A box grown by a share of its own width and height on each side, inside the network image."""
    more_x, more_y = share * (box[2] - box[0]), share * (box[3] - box[1])
    return (
        max(0.0, box[0] - more_x),
        max(0.0, box[1] - more_y),
        min(float(size), box[2] + more_x),
        min(float(size), box[3] + more_y),
    )
