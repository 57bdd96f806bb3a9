"""Other livers drawn into a slice: densities and phases of the whole organ, and lesions that belong to its label."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sammix_core.datasets.drawn_anatomy import bones, smooth_field

_VESSEL_MM = 1.8  # deviations larger than this are vessels and lesions, smaller ones noise


def _plain(values: np.ndarray) -> np.ndarray:
    return np.interp(values, [-1100, -30, 45, 250, 3000], [-1100, -30, 42, 68, 3000]).astype(np.float32)


def _arterial(values: np.ndarray, brighter: float) -> np.ndarray:
    knots = np.array([60.0, 90.0, 120.0, 200.0, 350.0])
    moved = knots + brighter * np.array([0.0, 20.0, 45.0, 120.0, 100.0])
    return np.interp(values, [-1100, *knots, 3000], [-1100, *moved, 3000]).astype(np.float32)


def _bright(values: np.ndarray, brighter: float) -> np.ndarray:
    knots = np.array([40.0, 80.0, 120.0, 250.0])
    moved = knots + brighter * np.array([0.0, 20.0, 55.0, 60.0])
    return np.interp(values, [-1100, *knots, 3000], [-1100, *moved, 3000]).astype(np.float32)


def whole_density(
    hu: np.ndarray, share: np.ndarray, pixel_mm: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Gives the structure the density of another liver or phase, and the tissue round it that phase's.

    Fatty (-20 to 35 HU, with contrast or without), dense without contrast (80 to 110 HU: amiodarone, iron), normal
    without contrast (40 to 68 HU), early arterial (like muscle beside a bright aorta and spleen) and a very bright
    portal phase (150 to 195 HU).

    Args:
        hu: (rows, cols) HU.
        share: (rows, cols) float, share of the structure.
        pixel_mm: (row, col) spacing.
        rng: Random source.

    Returns:
        (rows, cols) float32 HU; the tissue alone is changed where the structure is not on the slice.
    """
    kind = str(rng.choice(["fatty", "dense", "plain", "arterial", "bright"], p=[0.28, 0.16, 0.16, 0.2, 0.2]))
    strength = rng.uniform(0.4, 1.3)
    contrast = kind in ("arterial", "bright") or (kind == "fatty" and rng.random() < 0.5)
    if kind == "arterial":
        others = _arterial(hu, strength)
    elif kind == "bright":
        others = _bright(hu, strength)
    else:
        others = hu if contrast else _plain(hu)
    bone = ndimage.gaussian_filter(bones(hu, pixel_mm).astype(np.float32), 0.7)
    others = hu * bone + others * (1 - bone)
    if share.max() <= 0.5:
        return np.asarray(others, dtype=np.float32)
    target = {
        "fatty": rng.uniform(-20, 35),
        "dense": rng.uniform(80, 110),
        "plain": rng.uniform(40, 68),
        "arterial": rng.uniform(45, 70),
        "bright": rng.uniform(150, 195),
    }[kind]
    level = float(np.median(hu[share > 0.5]))
    smooth = _smooth_inside(hu, share, pixel_mm)
    vessels = np.clip(smooth - level, -60, 80)
    # Vessels fade without contrast, and are brighter than a fatty liver even where they were darker than this one.
    gain = {"dense": -0.3, "plain": 0.2, "arterial": 0.15}.get(kind, rng.uniform(0.7, 1.3))
    if kind == "fatty" and not contrast:
        gain = rng.uniform(0.3, 0.8)
        vessels = np.abs(vessels)
    inside = target + gain * vessels + (hu - smooth)
    # Edge pixels are part air or fat; these are moved by the offset alone, as far as they are tissue.
    tissue = np.clip((hu + 60) / 60, 0, 1)
    moved = hu + (inside - hu) * tissue
    sigma = [rng.uniform(0.5, 1.0) / mm for mm in pixel_mm]
    part = np.clip(ndimage.gaussian_filter(share, sigma), 0, 1)
    return np.asarray(others * (1 - part) + moved * part, dtype=np.float32)


def _smooth_inside(hu: np.ndarray, share: np.ndarray, pixel_mm: tuple[float, float]) -> np.ndarray:
    """Blurs within the structure alone, so that nothing beside it shines in."""
    sigma = [_VESSEL_MM / mm for mm in pixel_mm]
    whole = ndimage.gaussian_filter(share, sigma)
    blurred = ndimage.gaussian_filter(hu * share, sigma) / np.maximum(whole, 1e-3)
    return np.asarray(np.where(share > 0, blurred, hu), dtype=np.float32)


def cysts(hu: np.ndarray, share: np.ndarray, pixel_mm: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Puts one to five sharp round cysts of 0 to 15 HU into the structure; in one view of ten, up to thirty."""
    count = rng.integers(10, 31) if rng.random() < 0.1 else rng.integers(1, 6)
    noise = hu - _smooth_inside(hu, share, pixel_mm)
    result = hu
    for _ in range(count):
        largest = 12.0 if count > 5 else 30.0
        distance = _blob(share, pixel_mm, rng.uniform(4, largest), 0.08, rng)
        part = np.clip((1 - distance) * 8 + 0.5, 0, 1) * share
        result = result * (1 - part) + (rng.uniform(0, 15) + noise) * part
    return np.asarray(result, dtype=np.float32)


def necrotic_tumour(
    hu: np.ndarray, share: np.ndarray, pixel_mm: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Puts one large tumour into the structure: an uneven dark core and a rim that is enhanced or not."""
    level = float(np.median(hu[share > 0.5]))
    smooth = _smooth_inside(hu, share, pixel_mm)
    radius = rng.uniform(22, 70)
    distance = _blob(share, pixel_mm, radius, 0.25, rng)
    outer = np.clip((1 - distance) * 7 + 0.5, 0, 1) * share
    rim = rng.uniform(4, 14) / radius
    core = np.clip((1 - rim - distance + 0.06 * smooth_field(hu.shape, 6.0, pixel_mm, rng)) * 7 + 0.5, 0, 1)
    rim_hu = level + rng.uniform(-45, 40) + 8 * smooth_field(hu.shape, 6.0, pixel_mm, rng)
    core_hu = min(level - 15, rng.uniform(5, 35)) + rng.uniform(2, 12) * smooth_field(hu.shape, 9.0, pixel_mm, rng)
    tumour = rim_hu * (1 - core) + core_hu * core + (hu - smooth)
    return np.asarray(hu * (1 - outer) + tumour * outer, dtype=np.float32)


def lipiodol(hu: np.ndarray, share: np.ndarray, pixel_mm: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Puts white lipiodol, above 300 HU, into a treated tumour: spots of all sizes that leave parts of it free."""
    distance = _blob(share, pixel_mm, rng.uniform(10, 50), 0.25, rng)
    inside = np.clip((1 - distance) * 6 + 0.5, 0, 1) * share
    tumour = hu - rng.uniform(0, 50) * inside
    spots = smooth_field(hu.shape, rng.uniform(1.2, 5.0), pixel_mm, rng) - rng.uniform(-0.6, 1.0)
    part = np.clip(spots * 3, 0, 1) * inside
    white = rng.uniform(320, 1200) * (1 + 0.15 * smooth_field(hu.shape, 2.0, pixel_mm, rng))
    return np.asarray(tumour * (1 - part) + np.maximum(white, 305) * part, dtype=np.float32)


def _blob(
    share: np.ndarray, pixel_mm: tuple[float, float], radius_mm: float, uneven: float, rng: np.random.Generator
) -> np.ndarray:
    """Distance from a random centre in the structure, in radii: 1 on an ellipse whose edge is uneven."""
    inside = np.argwhere(share > 0.9)
    centre = inside[rng.integers(len(inside))]
    rows, cols = np.indices(share.shape, dtype=np.float32)
    flat = np.sqrt(rng.uniform(0.65, 1.5))
    turn = rng.uniform(0, np.pi)
    down, right = (rows - centre[0]) * pixel_mm[0], (cols - centre[1]) * pixel_mm[1]
    first = (down * np.cos(turn) + right * np.sin(turn)) / (radius_mm * flat)
    second = (right * np.cos(turn) - down * np.sin(turn)) / (radius_mm / flat)
    field = smooth_field(share.shape, max(3.0, radius_mm / 3), pixel_mm, rng)
    return np.asarray(np.hypot(first, second) * (1 + uneven * field), dtype=np.float32)
