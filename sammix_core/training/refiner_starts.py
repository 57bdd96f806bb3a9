"""What a refiner begins from in training: a mask of LiteMedSAM's own, a right mask with wrong edges, or a click."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from sammix_core.boxes import tight_box
from sammix_core.refinement.prompts import LARGEST_LOGIT, mask_as_logits
from sammix_core.sam.light_decoder import LightDecoder

_MOST_PIXELS = 6.0  # network pixels that edges are moved by
_SHARE_OF_RADIUS = 0.5  # that those of small structures are moved by
_WAVES = (3.0, 14.0)  # network pixels: how far apart what is too much and too little lies
_REGION_RADII = (6.0, 32.0)  # network pixels
_REGION_WAVE = 8.0
_MOVED_SHARE = 0.06  # sigma of a box's edges, of its sides


def radius_of(mask: np.ndarray) -> float:
    """Of a disc with as many pixels."""
    return float(np.sqrt(mask.sum() / np.pi))


def perturbed(share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask with its edges moved, here out, there in, and on the whole a little too large or too small.

    Args:
        share: (h, w) in [0, 1].
        rng: Draws.

    Returns:
        (h, w) float32, 0 or 1; never empty where the mask is not.
    """
    mask = share > 0.5
    reach = min(_MOST_PIXELS, _SHARE_OF_RADIUS * radius_of(mask))
    distance = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    waves = ndimage.gaussian_filter(rng.normal(size=mask.shape), rng.uniform(*_WAVES))
    waves *= rng.uniform(0, 1) * reach / max(float(waves.std()), 1e-6)
    moved = distance + waves + rng.uniform(-0.6, 0.6) * reach > 0
    near = distance > -4 * _MOST_PIXELS  # waves alone are no mask
    moved &= near
    return (moved if moved.any() else mask).astype(np.float32)


@torch.no_grad()
def own_mask(
    decoder: LightDecoder, embeddings: torch.Tensor, shares: torch.Tensor, rng: np.random.Generator
) -> torch.Tensor:
    """The mask that LiteMedSAM decodes from the label's box with its edges moved: errors as they really occur.

    Args:
        decoder: LiteMedSAM's, or a model's.
        embeddings: (n, 256, h, w).
        shares: (n, 1, size, size) in [0, 1]; none is empty.
        rng: Draws.

    Returns:
        (n, 1, size, size) logits.

    Raises:
        ValueError: A share is empty.
    """
    boxes = []
    for share in shares[:, 0]:
        box = tight_box(share.numpy() > 0.5)
        if box is None:
            raise ValueError("a mask to prompt with must not be empty")
        sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
        boxes.append(np.clip(np.array(box) + rng.normal(0, _MOVED_SHARE, 4) * sides, 0, share.shape[-1]))
    nothing = torch.zeros(len(shares), 1, *shares.shape[-2:])
    logits, scores = decoder(embeddings, torch.from_numpy(np.stack(boxes)).float(), nothing)
    best = logits[torch.arange(len(logits)), scores.argmax(1)]
    return best[:, None].clamp(-LARGEST_LOGIT, LARGEST_LOGIT)


def perturbed_masks(shares: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """(n, 1, h, w) shares to the logits of masks with wrong edges."""
    return mask_as_logits(
        torch.from_numpy(np.stack([perturbed(share.numpy(), rng) for share in shares[:, 0]]))[:, None]
    )


def with_wrong_regions(logits: torch.Tensor, shares: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Masks with one region each that is plainly missing or too much, somewhere on the label's edge.

    Args:
        logits: (n, 1, h, w) of masks to begin from.
        shares: (n, 1, h, w) in [0, 1]; none is empty.
        rng: Draws.

    Returns:
        (n, 1, h, w) logits, changed inside a region of `_REGION_RADII`, half of them missing there.
    """
    changed = logits.clone()
    for number, share in enumerate(shares[:, 0].numpy()):
        label = share > 0.5
        rows, cols = np.nonzero(label & ~ndimage.binary_erosion(label))
        place = rng.integers(len(rows))
        row, col = np.ogrid[: label.shape[0], : label.shape[1]]
        distance = np.hypot(row - rows[place], col - cols[place])
        waves = ndimage.gaussian_filter(rng.normal(size=label.shape), _REGION_WAVE)
        region = distance + 0.4 * distance * waves / max(float(waves.std()), 1e-6) < rng.uniform(*_REGION_RADII)
        changed[number, 0, torch.from_numpy(region)] = float(rng.choice([-1, 1])) * LARGEST_LOGIT
    return changed
