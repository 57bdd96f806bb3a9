"""What scanner and posture leave on a slice: table, arms beside the body, streaks, a small field of view."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sammix_core.preprocessing.body_crop import body_mask
from sammix_core.preprocessing.window import AIR_HU


def table(hu: np.ndarray, pixel_mm: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Lays the body on another table, a mattress and a plate, flat or hollow; what was outside the body goes."""
    body = body_mask(hu)
    if not body.any():
        return hu
    kept = np.where(ndimage.binary_dilation(body, iterations=2), hu, AIR_HU)
    rows, cols = np.indices(hu.shape, dtype=np.float32)
    low, middle = np.flatnonzero(body.any(1))[-1], np.flatnonzero(body.any(0)).mean()
    across = (cols - middle) * pixel_mm[1]
    hollow = rng.uniform(0, 45) * (across / 220) ** 2
    below = (rows - low) * pixel_mm[0] + hollow - rng.uniform(0, 6)
    wide = np.abs(across) < rng.uniform(190, 260)
    mattress, plate = rng.uniform(0, 25), rng.uniform(1.5, 5)
    drawn = kept.copy()
    free = ~ndimage.binary_dilation(body, iterations=1) & wide
    drawn[free & (below > 0) & (below <= mattress)] = rng.uniform(-980, -880)
    drawn[free & (below > mattress) & (below <= mattress + plate)] = rng.uniform(-500, 200)
    under = mattress + plate + rng.uniform(20, 60)
    drawn[free & (below > under) & (below <= under + plate)] = rng.uniform(-500, 200)
    return np.asarray(drawn, dtype=np.float32)


def arms(hu: np.ndarray, pixel_mm: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Lays one arm or both beside the body and draws the streaks that their bones throw across it."""
    body = body_mask(hu)
    if not body.any():
        return hu
    rows, cols = np.indices(hu.shape, dtype=np.float32)
    top, bottom = np.flatnonzero(body.any(1))[[0, -1]]
    first, last = np.flatnonzero(body.any(0))[[0, -1]]
    heights, result = [], hu.copy()
    sides = (-1, 1) if rng.random() < 0.75 else (int(rng.choice([-1, 1])),)
    for side in sides:
        radius = rng.uniform(32, 48)
        row = rng.uniform(0.4, 0.8) * (bottom - top) + top
        col = (last if side > 0 else first) + side * (radius - rng.uniform(0, 6)) / pixel_mm[1]
        far = np.hypot((rows - row) * pixel_mm[0], (cols - col) * pixel_mm[1] * rng.uniform(0.9, 1.1))
        free = ~body
        result[free & (far < radius)] = rng.uniform(-110, -80)
        result[free & (far < radius * 0.8)] = rng.uniform(40, 65)
        # Elbow and forearm have two bones, the upper arm one.
        for offset in (-0.3, 0.3) if rng.random() < 0.6 else (0.0,):
            bone = np.hypot((rows - row) * pixel_mm[0] - offset * radius, (cols - col) * pixel_mm[1])
            result[free & (bone < 10)] = rng.uniform(900, 1500)
            result[free & (bone < 5)] = rng.uniform(50, 300)
        heights.append(row)
    strength = np.zeros(hu.shape, dtype=np.float32)
    for row in heights:
        strength = np.maximum(strength, np.exp(-0.5 * ((rows - row) * pixel_mm[0] / rng.uniform(25, 60)) ** 2))
    result = np.where(result > -900, result + streaks(hu.shape, pixel_mm, rng) * rng.uniform(8, 35) * strength, result)
    return np.asarray(ndimage.gaussian_filter(result, 0.4), dtype=np.float32)


def streaks(shape: tuple[int, ...], pixel_mm: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """(rows, cols) float32 of sigma 1: the streaks of few photons, along the body's longest way, left to right."""
    total = np.zeros(shape, dtype=np.float32)
    for _ in range(3):
        noise = rng.normal(0, 1, shape).astype(np.float32)
        noise = ndimage.gaussian_filter(noise, [rng.uniform(0.6, 1.5) / pixel_mm[0], rng.uniform(25, 70) / pixel_mm[1]])
        angle = float(np.clip(rng.normal(0, 10), -25, 25))
        noise = ndimage.rotate(noise, angle, reshape=False, order=1, mode="reflect")
        total += noise / max(1e-6, float(noise.std()))
    return np.asarray(total / max(1e-6, float(total.std())), dtype=np.float32)


def low_dose(hu: np.ndarray, pixel_mm: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Adds the noise of a low dose: grain and streaks, strongest in the middle of a large body."""
    body = body_mask(hu)
    if not body.any():
        return hu
    deep = ndimage.distance_transform_edt(np.pad(body, 1), sampling=pixel_mm)[1:-1, 1:-1]
    strength = 0.5 + 0.5 * np.clip(deep / 90, 0, 1)
    grain = rng.normal(0, 1, hu.shape).astype(np.float32)
    grain = ndimage.gaussian_filter(grain, [rng.uniform(0.5, 1.2) / mm for mm in pixel_mm])
    noise = grain / max(1e-6, float(grain.std())) * rng.uniform(12, 34)
    noise = noise + streaks(hu.shape, pixel_mm, rng) * rng.uniform(5, 20)
    return np.asarray(np.where(hu > -900, hu + noise * strength, hu), dtype=np.float32)
