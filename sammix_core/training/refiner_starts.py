"""What a refiner begins from in training: LiteMedSAM's own mask, one with wrong edges or parts, or a click."""

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
_PART_RADII = (0.12, 0.6)  # of a part that lacks or is too much, of the radius of a disc as large as the structure
_ROUGHNESS = 0.25
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


def with_wrong_parts(
    starts: torch.Tensor, shares: torch.Tensor, probability: float, rng: np.random.Generator
) -> torch.Tensor:
    """Takes a part away from some masks, or adds one beside the structure: what a person's click corrects.

    Args:
        starts: (n, 1, h, w) logits.
        shares: (n, 1, h, w) in [0, 1]; none is empty.
        probability: That a mask gets a wrong part.
        rng: Draws.

    Returns:
        (n, 1, h, w) logits; those of a mask without logits of its own where there is a wrong part.
    """
    results = starts.clone()
    for result, share in zip(results[:, 0], shares[:, 0], strict=True):
        if rng.random() < probability:
            mask, label = result.numpy() > 0, share.numpy() > 0.5
            part = _part_at_the_edge(label, rng)
            changed = mask & ~part if rng.random() < 0.5 else mask | (part & ~label)
            if changed.any():
                result.copy_(mask_as_logits(torch.from_numpy(changed.astype(np.float32))))
    return results


def _part_at_the_edge(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(h, w) bool: a rough ellipse round a pixel at the edge of a label."""
    edges = np.argwhere(label & ~ndimage.binary_erosion(label))
    row, col = edges[int(rng.integers(len(edges)))]
    long, short = radius_of(label) * rng.uniform(*_PART_RADII, 2) + 2
    turn = rng.uniform(0, np.pi)
    rows, cols = np.indices(label.shape)
    along = (rows - row) * np.cos(turn) + (cols - col) * np.sin(turn)
    across = (cols - col) * np.cos(turn) - (rows - row) * np.sin(turn)
    waves = ndimage.gaussian_filter(rng.normal(size=label.shape), rng.uniform(*_WAVES))
    waves *= _ROUGHNESS / max(float(waves.std()), 1e-6)
    return np.asarray(np.hypot(along / long, across / short) + waves < 1)
