"""Boxes and mask prompts in training, drawn from what the guidance shows at this moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sammix_core.boxes.network_box import tight_box
from sammix_core.boxes.parts import enclosing_box
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import BoxSettings, boxes_from_cam
from sammix_core.sam.decoding import MaskSettings, dense_prompt
from sammix_core.training.decoder_training import jittered


@dataclass(frozen=True)
class PromptSettings:
    """How prompts are drawn.

    Attributes:
        boxes: How boxes are made of maps.
        masks: Whether and how the map is a prompt.
        guided_share: Share of the slices with a mask whose box is the guidance's.
        most: Slices at most; the first ones that have a box.
    """

    boxes: BoxSettings
    masks: MaskSettings
    guided_share: float
    most: int


@dataclass(frozen=True)
class Prompts:
    """Prompts of a batch, for the slices that have any.

    Attributes:
        indices: (m,) int64, which slices of the batch.
        boxes: (m, 4) XYXY edges in network pixels.
        mask: (m, 1, size, size) logits, or None where the map is not given.
        guided: How many of the boxes are the guidance's.
    """

    indices: torch.Tensor
    boxes: torch.Tensor
    mask: torch.Tensor | None
    guided: int

    def to(self, device: torch.device) -> Prompts:
        """The same on a device."""
        mask = None if self.mask is None else self.mask.to(device)
        return Prompts(self.indices.to(device), self.boxes.to(device), mask, self.guided)


def draw_prompts(
    maps: GuidanceMaps, shares: torch.Tensor | None, size: int, settings: PromptSettings, rng: np.random.Generator
) -> Prompts:
    """Draws them.

    A slice with a mask gets the guidance's box, where it found one, with the probability `guided_share`, and its mask's
    own otherwise; one without a mask gets the guidance's or none. All boxes are moved a little.

    Args:
        maps: Of the batch, as the guidance shows them now.
        shares: (n, 1, size, size) of the slices' masks in [0, 1], or None for slices whose masks are not known.
        size: Side of the image.
        settings: How boxes and mask prompts are made, and how many.
        rng: Random source.
    """
    indices: list[int] = []
    edges: list[np.ndarray] = []
    guided = 0
    for index in range(len(maps.probabilities)):
        if len(indices) == settings.most:
            break
        label_box = None if shares is None else tight_box(shares[index, 0].numpy() > 0.5)
        if shares is not None and label_box is None:
            continue  # a slice without the structure has no mask to learn
        slice_maps = GuidanceMaps(maps.cam_logits[index : index + 1], maps.probabilities[index : index + 1])
        guided_box = enclosing_box(boxes_from_cam(slice_maps, 1.0, size, settings.boxes).boxes[0])
        use_guided = label_box is None or (guided_box is not None and rng.random() < settings.guided_share)
        box = guided_box if use_guided else label_box
        if box is None:
            continue
        guided += box is guided_box
        indices.append(index)
        edges.append(jittered(box, size, rng))
    prompt = None
    if settings.masks.mask_prompt and indices:
        prompt = dense_prompt(maps.cam_logits[indices], size, settings.masks)
    table = np.array(edges, dtype=np.float32).reshape(-1, 4)
    return Prompts(torch.tensor(indices, dtype=torch.long), torch.from_numpy(table), prompt, guided)
