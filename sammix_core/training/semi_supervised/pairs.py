"""Pairs of a weak and a strong view of a slice, by MONAI: the same geometry, so that one can teach the other.

The weak view is a reflect-padded crop, moved by up to 12.5 %, a little turned and scaled; the first one of each slice
is the slice as it is. The strong view is the weak one with two or three changes of intensity. There is no left-right
flip: a liver on the left would be false. Masks change nothing of an image, so that an unlabelled slice is drawn as a
labelled one.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from monai.transforms import (
    RandAdjustContrast,
    RandAffine,
    RandBiasField,
    RandCoarseDropout,
    RandGaussianNoise,
    RandGaussianSharpen,
    RandGaussianSmooth,
    RandHistogramShift,
    RandShiftIntensity,
    SomeOf,
)

_SHIFT = 0.125
_TURN_RADIANS = 0.15
_SCALE = 0.12
RECIPE = 1  # raise when the way views are drawn changes, so that kept embeddings are not taken for new


def view_seed(case: str, index: int, number: int) -> int:
    """Seed of a pair; no training's, so that all share the embeddings."""
    digest = hashlib.sha256(f"{case}/{index}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def moved(image: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Moves an image, or a mask, as the pair's geometry says.

    Args:
        image: (size, size) float32.
        number: Of the pair; 0 stays as it is.
        seed: The pair's.

    Returns:
        (size, size) float32.
    """
    if number == 0:
        return image
    reach = round(image.shape[-1] * _SHIFT)
    affine = RandAffine(
        prob=1.0,
        rotate_range=_TURN_RADIANS,
        scale_range=(_SCALE, _SCALE),
        translate_range=(reach, reach),
        padding_mode="reflection",
    )
    affine.set_random_state(seed)
    return np.asarray(affine(torch.from_numpy(image)[None]), dtype=np.float32)[0]


def strengthened(image: np.ndarray, seed: int) -> np.ndarray:
    """Changes intensities alone, by two or three of nine ways.

    Args:
        image: (size, size) float32 in [0, 1].
        seed: The pair's.

    Returns:
        (size, size) float32 in [0, 1].
    """
    ways = SomeOf(
        [
            RandAdjustContrast(prob=1.0, gamma=(0.6, 1.7)),
            RandShiftIntensity(prob=1.0, offsets=0.15),
            RandGaussianNoise(prob=1.0, std=0.08),
            RandGaussianSmooth(prob=1.0, sigma_x=(0.5, 1.5), sigma_y=(0.5, 1.5)),
            RandGaussianSharpen(prob=1.0),
            RandBiasField(prob=1.0, degree=2, coeff_range=(-0.15, 0.15)),
            RandHistogramShift(prob=1.0, num_control_points=(5, 9)),
            RandCoarseDropout(prob=1.0, holes=2, spatial_size=24, fill_value=0.4, max_holes=5),
            RandShiftIntensity(prob=1.0, offsets=(-0.12, -0.02)),
        ],
        num_transforms=(2, 3),
    )
    ways.set_random_state(seed)
    return np.clip(np.asarray(ways(torch.from_numpy(image)[None]), dtype=np.float32)[0], 0, 1)


def pair(image: np.ndarray, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws a pair, the same each time.

    Args:
        image: (size, size) float32 in [0, 1], the network's image of a slice.
        number: Of the pair.
        seed: The pair's.

    Returns:
        The weak and the strong view, (size, size) float32 in [0, 1].
    """
    weak = np.clip(moved(image, number, seed), 0, 1)
    return weak, strengthened(weak, seed)
