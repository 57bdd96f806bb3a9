"""Livers that training patients do not have, drawn into real CT: cirrhotic, resected, transplanted, very fatty.

They only test the check of `sammix_core.segmentation.plausibility`; `plausibility.py judge` runs it on them. All is
drawn within the liver's label, so that the patient round it stays real.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import ndimage

from sammix_core import Volume

_NODULE_MM = 9.0
_ROOM_HU = {"fat": (-95.0, 12.0), "fluid": (8.0, 10.0)}
_GAS_HU, _DUCT_GAS_HU = -900.0, -700.0


def cirrhotic(volume: Volume, liver: np.ndarray) -> Volume:
    """A small liver with a nodular outline and texture, with fluid where it has shrunk.

    Args:
        volume: The CT.
        liver: (k, j, i) bool, its liver.
    """
    noise = _blobs(volume, liver.shape)
    depth = ndimage.distance_transform_edt(liver, sampling=volume.spacing[::-1])
    shrunk = depth > 10.0 + 5.0 * noise
    return _filled(volume, liver & ~shrunk, "fluid", texture=np.where(shrunk, 9.0 * noise, 0.0))


def resected(volume: Volume, liver: np.ndarray, right: bool) -> Volume:
    """A liver without its right or left lobe; fat and bowel with gas have moved there.

    Args:
        volume: The CT.
        liver: (k, j, i) bool, its liver.
        right: Which lobe is missing: that on the patient's right, or left.
    """
    order = volume.axial_order
    cols = np.nonzero(order.forward(liver))[2]
    cut = np.quantile(cols, 0.55 if right else 0.6)
    beyond = np.arange(order.shape(volume.shape_kji)[2]) < cut
    lobe = liver & order.back(np.broadcast_to(beyond if right else ~beyond, order.shape(volume.shape_kji)))
    changed = _filled(volume, lobe, "fat")
    depth = ndimage.distance_transform_edt(lobe, sampling=volume.spacing[::-1])
    bowel = (depth > 8.0) & (_blobs(volume, liver.shape, 25.0) > 0.3)
    array = changed.array.astype(np.float32)
    array[bowel] = 40.0
    array[bowel & (ndimage.distance_transform_edt(bowel, sampling=volume.spacing[::-1]) > 6.0)] = _GAS_HU
    return replace(changed, array=np.rint(array).astype(np.int16))


def transplanted(volume: Volume, liver: np.ndarray) -> Volume:
    """A liver with clips of metal and their streaks at its hilum, and gas in its bile ducts.

    Args:
        volume: The CT.
        liver: (k, j, i) bool, its liver.
    """
    dice = np.random.default_rng(0)
    depth = ndimage.distance_transform_edt(liver, sampling=volume.spacing[::-1])
    array = volume.array.astype(np.float32)
    rim = np.argwhere((depth > 0) & (depth < 6.0))
    for k, j, i in rim[dice.choice(len(rim), 12)]:
        array[k, :, i] -= 60.0 * np.exp(-np.abs(np.arange(array.shape[1]) - j) / 12.0)
        array[k, j, :] += 80.0 * np.exp(-np.abs(np.arange(array.shape[2]) - i) / 12.0)
        array[k, max(0, j - 1) : j + 2, max(0, i - 1) : i + 2] = 2500.0
    inner = np.argwhere(depth > 12.0)
    for k, j, i in inner[dice.choice(len(inner), 10)] if len(inner) else []:
        duct = np.s_[k, j : j + 2, i : i + 12]
        array[duct] = np.where(liver[duct], _DUCT_GAS_HU, array[duct])
    return replace(volume, array=np.rint(array).clip(-1024, 3071).astype(np.int16), grid_header=None)


def fatty(volume: Volume, liver: np.ndarray) -> Volume:
    """A liver of -20 HU, darker than its vessels."""
    middle = float(np.median(volume.array[liver]))
    array = volume.array.astype(np.float32)
    array[liver] -= middle + 20.0
    return replace(volume, array=np.rint(array).clip(-1024, 3071).astype(np.int16), grid_header=None)


CHANGES: dict[str, Callable[[Volume, np.ndarray], Volume]] = {
    "cirrhotic": cirrhotic,
    "right lobe resected": lambda volume, liver: resected(volume, liver, right=True),
    "left lobe resected": lambda volume, liver: resected(volume, liver, right=False),
    "transplanted": transplanted,
    "of -20 HU": fatty,
}


def _blobs(volume: Volume, shape: tuple[int, ...], size_mm: float = _NODULE_MM) -> np.ndarray:
    """(k, j, i) float32 noise of about -1 to 1, with lumps of this size."""
    sigma = [size_mm / 2 / mm for mm in reversed(volume.spacing)]
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape).astype(np.float32), sigma)
    return np.clip(noise / (2 * noise.std()), -1, 1)


def _filled(volume: Volume, room: np.ndarray, with_what: str, texture: np.ndarray | float = 0.0) -> Volume:
    """The volume with fat or fluid in a part of it, and something added."""
    middle, spread = _ROOM_HU[with_what]
    array = volume.array.astype(np.float32) + texture
    array[room] = np.random.default_rng(1).normal(middle, spread, int(room.sum()))
    return replace(volume, array=np.rint(array).clip(-1024, 3071).astype(np.int16), grid_header=None)
