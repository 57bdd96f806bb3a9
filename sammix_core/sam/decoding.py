"""From prompts to one mask a slice: decode, choose among three, confine to the box and the CAM's support."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from sammix_core.documents import settings_from_dict, settings_to_dict
from sammix_core.errors import InputError
from sammix_core.masks.components import component_sizes, component_weights, label_components, select_components
from sammix_core.masks.overlap import mask_dice, mask_iou
from sammix_core.masks.probability import sigmoid
from sammix_core.preprocessing.upsampling import upsampled

if TYPE_CHECKING:
    from sammix_core.sam.backend import PromptDecoder

CHOICES = ("score", "cam", "mean", "first")
_AFTER_TRAINING = ("least_cover", "clean_density")  # settings that no training sees


@dataclass(frozen=True)
class MaskSettings:
    """How masks are made; chosen with a model and kept in its manifest.

    Attributes:
        mask_prompt: Whether the CAM's logits are given as dense prompt.
        prompt_gain: Factor on those logits.
        prompt_limit: They are clipped to plus and minus this.
        choice: "score" (the best scored of three), "cam" (the one that agrees best with the CAM; by score where there
            is none), "mean" (their mean logits) or "first".
        second_pass: Whether the chosen mask's logits are decoded once more as dense prompt.
        box_margin: Network pixels that a mask may reach past its box.
        least_cover: A map that fills less than this share of a box that a person set (`map_coverage`) has missed what
            the person sees, and is not used as a prompt beside that box; 0 prompts with any map.
        clean_density: Whether masks lose the body's fat and pieces as dark as fluid (`DensityCleaner`), as suits an
            organ of soft tissue whose labels hold no fat.
    """

    mask_prompt: bool = True
    prompt_gain: float = 1.0
    prompt_limit: float = 10.0
    choice: str = "score"
    second_pass: bool = False
    box_margin: float = 3.0
    least_cover: float = 0.5
    clean_density: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain JSON values."""
        return settings_to_dict(self)

    def trained_with(self) -> dict[str, Any]:
        """The fields that a decoder's training may depend on; a checkpoint is named by them."""
        return {key: value for key, value in self.to_dict().items() if key not in _AFTER_TRAINING}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> MaskSettings:
        """Reads the fields from a manifest.

        Raises:
            InputError: A field or a choice is not known to this version.
        """
        settings = settings_from_dict(cls, fields, "The model's mask section")
        if settings.choice not in CHOICES:
            raise InputError(f"The model's mask choice {settings.choice!r} is not known to this version.")
        return settings


@dataclass(frozen=True)
class DecodedSlices:
    """Masks of a batch of slices.

    Attributes:
        logits: (n, size, size) float32, the chosen mask.
        all_logits: (n, 3, size, size) float32, all three, for uncertainty.
        scores: (n, 3) float32, predicted IoU.
        chosen: (n,) int, the index of the chosen mask; -1 for the mean of the three.
    """

    logits: np.ndarray
    all_logits: np.ndarray
    scores: np.ndarray
    chosen: np.ndarray

    def only(self, index: int) -> DecodedSlices:
        """One slice of the batch, as a batch of its own."""
        alone = slice(index, index + 1)
        return DecodedSlices(self.logits[alone], self.all_logits[alone], self.scores[alone], self.chosen[alone])

    def score(self, index: int) -> float:
        """The IoU that the chosen mask of a slice predicts of itself; the mean of all three where that was chosen."""
        best, scores = int(self.chosen[index]), self.scores[index].astype(float)
        return float(scores[best] if best >= 0 else scores.mean())

    def agreement(self, index: int) -> float:
        """Share of pixels in any of the three masks that are in all of them; 1 for none at all."""
        masks = self.all_logits[index] > 0
        return mask_iou(*masks, if_empty=1.0)

    def disagreement(self, index: int) -> np.ndarray:
        """How far the three masks are apart on a slice.

        Returns:
            (size, size) in [0, 1]: the largest of the three probabilities less the least one.
        """
        logits = self.all_logits[index]
        return sigmoid(logits.max(0)) - sigmoid(logits.min(0))


def interpolated(first: DecodedSlices, second: DecodedSlices, share: float) -> DecodedSlices:
    """A slice between two others, interpolated linearly in the logits.

    Args:
        first: One slice.
        second: The other.
        share: How much of the second one, in [0, 1].
    """

    def between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return ((1 - share) * start + share * end).astype(np.float32)

    return DecodedSlices(
        between(first.logits, second.logits),
        between(first.all_logits, second.all_logits),
        between(first.scores, second.scores),
        (first if share < 0.5 else second).chosen,
    )


def dense_prompt(cam_logits: np.ndarray, size: int, settings: MaskSettings) -> torch.Tensor:
    """Enlarges CAM logits to SAM's mask prompt.

    Args:
        cam_logits: (n, h, w).
        size: Side of the prompt, 4 times the embedding's, whatever the image's.
        settings: Gain and limit.

    Returns:
        (n, 1, size, size) float32 on the CPU.
    """
    wide = upsampled(cam_logits.astype(np.float32), size) * settings.prompt_gain
    return torch.from_numpy(wide.clip(-settings.prompt_limit, settings.prompt_limit).astype(np.float32))[:, None]


@torch.inference_mode()
def decode_slices(
    backend: PromptDecoder,
    embeddings: torch.Tensor,
    boxes: np.ndarray,
    cam_logits: np.ndarray | None,
    settings: MaskSettings,
) -> DecodedSlices:
    """Decodes a batch and chooses.

    Args:
        backend: The backend.
        embeddings: (n, c, h, w).
        boxes: (n, 4) XYXY edges in network pixels.
        cam_logits: (n, h, w) of the guidance, or None for boxes alone.
        settings: The model's settings.
    """
    cam = None if cam_logits is None else torch.from_numpy(cam_logits)[:, None].to(backend.device)
    prompt = None
    if settings.mask_prompt and cam_logits is not None:
        prompt = dense_prompt(cam_logits, 4 * embeddings.shape[-1], settings).to(backend.device)
    box_tensor = torch.from_numpy(np.asarray(boxes, dtype=np.float32))
    logits, scores = backend.decode(embeddings, box_tensor, prompt)
    chosen_logits, chosen = _choose(logits, scores, cam, settings.choice)
    if settings.second_pass:
        limit = settings.prompt_limit
        logits, scores = backend.decode(embeddings, box_tensor, chosen_logits[:, None].clamp(-limit, limit))
        chosen_logits, chosen = _choose(logits, scores, cam, settings.choice)
    chosen_logits, logits = (
        _on_image(chosen_logits[:, None], backend.image_size)[:, 0],
        _on_image(logits, backend.image_size),
    )
    return DecodedSlices(chosen_logits.cpu().numpy(), logits.cpu().numpy(), scores.cpu().numpy(), chosen.cpu().numpy())


def _on_image(logits: torch.Tensor, size: int) -> torch.Tensor:
    """Enlarges masks to the image where the decoder's are coarser, as SAM's at 1024 pixels are."""
    if logits.shape[-1] == size:
        return logits
    return functional.interpolate(logits, size=(size, size), mode="bilinear", align_corners=False)


def _choose(
    logits: torch.Tensor, scores: torch.Tensor, cam: torch.Tensor | None, choice: str
) -> tuple[torch.Tensor, torch.Tensor]:
    if choice == "mean":
        return logits.mean(1), torch.full((len(logits),), -1)
    if choice == "first":
        best = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    elif choice == "cam" and cam is not None:
        best = soft_agreement(logits, cam).argmax(1)
    else:
        best = scores.argmax(1)
    return logits[torch.arange(len(logits), device=logits.device), best], best


def soft_agreement(logits: torch.Tensor, cam_logits: torch.Tensor) -> torch.Tensor:
    """How well each mask agrees with the CAM: the soft Dice of their probabilities.

    Args:
        logits: (n, masks, h, w).
        cam_logits: (n, 1, h', w'), enlarged to the masks' grid here.

    Returns:
        (n, masks) in [0, 1].
    """
    cam = functional.interpolate(cam_logits, size=logits.shape[-2:], mode="bilinear", align_corners=False).sigmoid()
    masks = logits.sigmoid()
    return 2 * (masks * cam).sum((2, 3)) / (masks + cam).sum((2, 3)).clamp(min=1e-6)


def inside_box(shape: tuple[int, ...], box: tuple[float, float, float, float]) -> np.ndarray:
    """(rows, cols) bool: pixels whose centre lies inside (col_min, row_min, col_max, row_max), edges."""
    rows, cols = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
    return ((rows > box[1]) & (rows < box[3]))[:, None] & ((cols > box[0]) & (cols < box[2]))[None, :]


def cam_agreement(cam_logits: np.ndarray, mask: np.ndarray) -> float:
    """Dice of a class activation map and a mask.

    Args:
        cam_logits: (h, w) of the guidance; above 0 means the structure.
        mask: (h, w) bool, the mask at the map's cells.

    Returns:
        Dice in [0, 1]; 1 where both are empty.
    """
    return mask_dice(cam_logits > 0, mask)


def clean_slice(mask: np.ndarray, box: tuple[float, float, float, float], support: np.ndarray | None) -> np.ndarray:
    """Tidies one slice's mask on its own, so that editing a slice changes no other.

    Pixels past the box go, holes are filled, and of several pieces those stay that the support touches (or, without
    support, as for a box that a person drew, all but specks).

    Args:
        mask: (rows, cols) bool on slice pixels.
        box: (col_min, row_min, col_max, row_max) in slice pixels that the mask may fill, edges.
        support: (rows, cols) bool, what the CAM holds for the structure in 3-D, or None.

    Returns:
        (rows, cols) bool.
    """
    whole = mask & inside_box(mask.shape, box)
    result = np.zeros(mask.shape, dtype=bool)
    # Components and holes are searched near the mask alone, with a border of background, so that a hole is closed.
    near = tuple(slice(max(0, first - 1), last + 2) for first, last in _extents(whole))
    if len(near) < 2:
        return result
    mask = whole[near]
    labels, count = label_components(mask)
    sizes = component_sizes(labels, count)
    kept = sizes >= 0.02 * sizes.max()
    if support is not None and (support[near] & mask).any():
        kept &= component_weights(labels, count, support[near]) >= 0.2 * sizes
    result[near] = ndimage.binary_fill_holes(select_components(labels, kept))
    return result


def _extents(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and last row and column with anything; nothing for an empty mask."""
    lines = [np.flatnonzero(mask.any(axis)) for axis in (1, 0)]
    return [(int(line[0]), int(line[-1])) for line in lines if len(line)]
