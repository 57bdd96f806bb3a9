"""Fluid drawn into a slice: pleural effusion and ascites. It never covers the structure, whose label stays as it is."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sammix_core.datasets.drawn_anatomy import bones, disc, lungs, noise_like, smooth_field
from sammix_core.preprocessing.body_crop import body_mask

FLUID_HU = (0.0, 20.0)
ASCITES_MM = (3.0, 25.0)
_RIM_MM = 2.5  # pixels that are part lung, part wall
_FAT_HU = (-200.0, -20.0)
_WALL_HU = (-20.0, 85.0)
_SHRUNK_SHARE = 0.65
_WALL_MM = 45.0  # the abdominal wall lies within this of the skin


def pleural_effusion(
    hu: np.ndarray, share: np.ndarray, pixel_mm: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Fills the lower part of one pleural space, or both, with fluid.

    The patient lies on the back, so fluid fills the lung from behind up to a level; it climbs along ribs, mediastinum
    and diaphragm (the meniscus), and may lie as a layer between the dome and the lung. Lung next to it is often
    collapsed: soft tissue, enhanced or not.

    Args:
        hu: (rows, cols) HU, rows to posterior, columns to the patient's left.
        share: (rows, cols) float, share of the structure.
        pixel_mm: (row, col) spacing.
        rng: Random source.

    Returns:
        (rows, cols) float32 HU; the same where no lung is seen.
    """
    body = body_mask(hu)
    lung = lungs(hu, body, pixel_mm)
    if not lung.any():
        return hu
    middle = float(np.flatnonzero(body.any(0)).mean())
    cols = np.arange(hu.shape[1])[None, :]
    right, left = lung & (cols < middle), lung & (cols >= middle)
    sides = [side for side, part in ((right, 0.9), (left, 0.35)) if side.any() and rng.random() < part]
    noise = noise_like(hu, body, rng)
    result = hu
    for side in sides or [right if right.any() else left]:
        result = _fill_pleura(result, side, share, pixel_mm, noise, rng)
    return result


def _fill_pleura(
    hu: np.ndarray,
    lung: np.ndarray,
    share: np.ndarray,
    pixel_mm: tuple[float, float],
    noise: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    tilt = np.deg2rad(rng.uniform(-25, 25))
    rows, cols = np.indices(hu.shape, dtype=np.float32)
    depth = rows * pixel_mm[0] * np.cos(tilt) + cols * pixel_mm[1] * np.sin(tilt)
    top, bottom = np.percentile(depth[lung], [1, 99])
    level = bottom - rng.uniform(0.15, 1.1) * (bottom - top)
    # The lung with its vessels; the structure itself may lie in the middle of it.
    space = ndimage.binary_closing(lung, disc(6.0, pixel_mm)) & (share <= 0) & (hu < 160)
    from_wall = ndimage.distance_transform_edt(space, sampling=pixel_mm)
    above = depth - level + rng.uniform(5, 60) * np.exp(-from_wall / rng.uniform(4, 12))
    above += 3 * smooth_field(hu.shape, 12.0, pixel_mm, rng)
    if share.max() > 0.5 and rng.random() < 0.5:
        from_dome = ndimage.distance_transform_edt(share <= 0.5, sampling=pixel_mm)
        layer = rng.uniform(4, 25) * (1 + 0.4 * smooth_field(hu.shape, 25.0, pixel_mm, rng))
        above = np.maximum(above, layer - from_dome)
    if rng.random() < 0.5:
        hu = _collapsed(hu, space, above, pixel_mm, noise, rng)
    return _pour(hu, space, lung, np.clip(above / 1.5 + 0.5, 0, 1), share, noise, pixel_mm, rng.uniform(*FLUID_HU))


def _collapsed(
    hu: np.ndarray,
    space: np.ndarray,
    above: np.ndarray,
    pixel_mm: tuple[float, float],
    noise: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Makes lung beside the fluid soft tissue, in an uneven band with some air left in it."""
    band = rng.uniform(4, 22) * (1 + 0.9 * smooth_field(hu.shape, 14.0, pixel_mm, rng))
    collapsed = np.clip((above + band) / 3, 0, 1) * space
    density = rng.uniform(30, 110) + 8 * smooth_field(hu.shape, 5.0, pixel_mm, rng)
    density -= np.clip(smooth_field(hu.shape, 2.5, pixel_mm, rng) - 1.6, 0, 1) * rng.uniform(0, 500)
    return np.asarray(hu * (1 - collapsed) + (density + noise) * collapsed, dtype=np.float32)


def _pour(
    hu: np.ndarray,
    space: np.ndarray,
    seen: np.ndarray,
    weight: np.ndarray,
    share: np.ndarray,
    noise: np.ndarray,
    pixel_mm: tuple[float, float],
    fluid_hu: float,
) -> np.ndarray:
    """Replaces what a space holds by fluid, also in the pixels at its edge that it fills in part.

    A pixel that is part lung or fat and part structure becomes part fluid and part structure: else a dark seam that no
    patient has would lie between the two.
    """
    edge = ndimage.binary_dilation(seen, disc(_RIM_MM, pixel_mm)) & (hu < fluid_hu)
    level = float(np.median(hu[share > 0.5])) if share.max() > 0.5 else fluid_hu
    mixed = fluid_hu + noise + share * (level - fluid_hu)
    part = weight * (space | edge)
    return np.asarray(hu * (1 - part) + mixed * part, dtype=np.float32)


def ascites(
    hu: np.ndarray, layers: list[np.ndarray], pixel_mm: tuple[float, float], rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Lays fluid round the structure: into the fat next to it, and between it and the body wall.

    Where the structure lies against the wall there is no room, as there is none in a lean patient until fluid makes it:
    in most views the structure shrinks a little towards the middle of the body, its label with it, and leaves a gap.

    Args:
        hu: (rows, cols) HU.
        layers: (rows, cols) float each: the share of the structure, then what else moves with it.
        pixel_mm: (row, col) spacing.
        rng: Random source.

    Returns:
        (rows, cols) float32 HU, and the layers where they are now; the same where the structure is not on the slice.
    """
    share = layers[0]
    if share.max() <= 0.5:
        return hu, layers
    structure, body = share > 0.5, body_mask(hu)
    away, nearest = ndimage.distance_transform_edt(~structure, sampling=pixel_mm, return_indices=True)
    skin = ndimage.distance_transform_edt(np.pad(body, 1), sampling=pixel_mm)[1:-1, 1:-1]
    most = rng.uniform(*ASCITES_MM)
    rim = np.clip(most * (1 + 0.4 * smooth_field(hu.shape, 25.0, pixel_mm, rng)), *ASCITES_MM)
    free = body & ~structure & (away <= rim)
    fat = free & (hu > _FAT_HU[0]) & (hu < _FAT_HU[1]) & (skin > 10)
    space = ndimage.binary_propagation(fat & (away < 4), mask=fat)
    # The wall gives way a little: muscle outward of the structure, where no bone or lung lies.
    hard = ndimage.binary_dilation(bones(hu, pixel_mm), disc(1.5, pixel_mm))
    outward = (skin < skin[tuple(nearest)] - 0.5 * away) & (skin < _WALL_MM)
    wall = free & outward & ~hard & (hu > _WALL_HU[0]) & (hu < _WALL_HU[1]) & (away < rng.uniform(0, 5))
    space = ndimage.binary_closing(space | wall, disc(2.0, pixel_mm)) & free & ~hard & (hu < _WALL_HU[1])
    weight = np.clip(2 * ndimage.gaussian_filter(space.astype(np.float32), [0.8 / mm for mm in pixel_mm]), 0, 1)
    noise, fluid_hu = noise_like(hu, body, rng), rng.uniform(*FLUID_HU)
    poured = _pour(hu, space, space, weight, share, noise, pixel_mm, fluid_hu)
    if rng.random() > _SHRUNK_SHARE:
        return poured, layers
    middle = np.array(ndimage.center_of_mass(body))
    inside = np.argwhere(structure)
    reach = np.hypot(*((inside - middle) * pixel_mm).T)
    still = inside[reach.argmin()]
    farthest = float(np.hypot(*((inside - still) * pixel_mm).T).max())
    scale = max(0.8, 1 - most / max(farthest, 1.0))
    source = (np.indices(hu.shape) - still[:, None, None]) / scale + still[:, None, None]
    moved = [ndimage.map_coordinates(layer, source, order=1, cval=0.0) for layer in layers]
    # Pixels at its edge are part fat or lung, which do not come along.
    level = float(np.median(hu[structure]))
    edge = ~ndimage.binary_erosion(structure, disc(_RIM_MM, pixel_mm))
    pure = np.where((share < 1) | (edge & (hu < level - 40)), level + noise, hu)
    organ = ndimage.map_coordinates(pure, source, order=1, mode="nearest")
    left = np.where(share > 0, share * (fluid_hu + noise) + (1 - share) * poured, poured)
    left = np.where(
        ndimage.binary_dilation(structure, disc(_RIM_MM, pixel_mm)), np.maximum(left, fluid_hu + noise), left
    )
    left = np.where((share > 0) & (left > fluid_hu + 30), fluid_hu + noise, left)
    return np.asarray(left * (1 - moved[0]) + organ * moved[0], dtype=np.float32), moved
