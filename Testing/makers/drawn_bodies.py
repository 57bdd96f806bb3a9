"""Drawn CTs in which there is no liver: heads, necks, chests, pelves, legs, mice, phantoms, noise.

Each function draws another one for another seed: sizes, densities, noise, table and spacing vary as scanners and
patients do. Axes are canonical: slices from inferior to superior, rows from anterior to posterior, columns from the
patient's right to left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from sammix_core.volume.volume import Volume

_AIR, _LUNG, _FAT, _MUSCLE, _BRAIN = -1000.0, -820.0, -100.0, 55.0, 35.0


@dataclass
class _Canvas:
    """HU on a grid of millimetres, the middle of each slice at 0, 0 and slices from -1 to 1.

    Args:
        rng: Draws what varies.
        extent_mm: Side of the field of view.
        slices: Their number.
        pixel_mm: Size of a pixel.
    """

    rng: np.random.Generator
    extent_mm: float
    slices: int = 12
    pixel_mm: float = 1.6

    def __post_init__(self) -> None:
        count = round(self.extent_mm / self.pixel_mm)
        self.hu = np.full((self.slices, count, count), _AIR, np.float32)
        side = (np.arange(count) - (count - 1) / 2) * self.pixel_mm
        self.y, self.x = side[None, :, None], side[None, None, :]
        self.z = np.linspace(-1, 1, self.slices)[:, None, None]

    def ellipse(
        self, centre: tuple[float, float], radii: tuple[float, float], hu: float, z: tuple[float, float] | None = None
    ) -> np.ndarray:
        """Fills an elliptic column, or an ellipsoid about z[0] with the half length z[1]; returns where it lies."""
        value = ((self.x - centre[0]) / radii[0]) ** 2 + ((self.y - centre[1]) / radii[1]) ** 2
        value = value + (0 * self.z if z is None else ((self.z - z[0]) / z[1]) ** 2)
        inside = np.broadcast_to(value, self.hu.shape) < 1
        self.hu[inside] = hu
        return inside

    def texture(self, inside: np.ndarray, size_mm: float, spread: float) -> None:
        """Adds soft blotches of a size and a spread in HU."""
        noise = self.rng.normal(0, 1, self.hu.shape)
        noise = ndimage.gaussian_filter(noise, (0.7, size_mm / self.pixel_mm, size_mm / self.pixel_mm))
        self.hu[inside] += (noise / noise.std() * spread)[inside].astype(np.float32)

    def volume(self, slice_mm: float, noise: float) -> Volume:
        """The volume as a scanner gives it: blurred a little, with noise."""
        hu = ndimage.gaussian_filter(self.hu, (0, 0.5, 0.5))
        grain = ndimage.gaussian_filter(self.rng.normal(0, 1, hu.shape), (0, 0.6, 0.6))
        hu = hu + noise * grain / grain.std()
        array = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
        return Volume(array, (self.pixel_mm, self.pixel_mm, slice_mm), (0.0, 0.0, 0.0), np.eye(3))


def head(seed: int) -> Volume:
    """A head: scalp, skull of 700 to 1,200 HU, brain with ventricles and sulci, base with air cells, head holder."""
    rng = np.random.default_rng(seed)
    canvas = _Canvas(rng, rng.uniform(230, 300), int(rng.integers(10, 24)), 1.4)
    size = rng.uniform(0.85, 1.08)
    wide, long = 74 * size, 94 * size
    z = canvas.z
    # The skull narrows to the vertex.
    narrow = np.sqrt(np.clip(1 - (np.clip(z, 0, 1) * 0.9) ** 2, 0.1, 1))
    radius = np.sqrt((canvas.x / wide) ** 2 + ((canvas.y) / long) ** 2) / narrow
    scalp, bone = rng.uniform(0.05, 0.1), rng.uniform(0.07, 0.13)
    canvas.hu[radius < 1 + bone + scalp] = rng.uniform(-80, 40)
    canvas.hu[radius < 1 + bone] = rng.uniform(700, 1200)
    brain = np.broadcast_to(radius < 1, canvas.hu.shape)
    canvas.hu[brain] = rng.uniform(28, 42)
    canvas.texture(brain, rng.uniform(3, 8), rng.uniform(2, 6))
    sulci = np.abs(np.sin(np.arctan2(canvas.y, canvas.x) * rng.integers(9, 16) + 3 * np.sin(radius * 9))) < 0.16
    canvas.hu[brain & (radius > rng.uniform(0.86, 0.93)) & sulci] = 12
    if rng.random() < 0.8:
        canvas.hu[brain & (np.abs(canvas.x) < 1.5) & (np.abs(canvas.y) > 0.55 * long)] = rng.uniform(40, 60)  # falx
        for side in (-1, 1):
            horn = (side * rng.uniform(10, 18), rng.uniform(-20, 10))
            canvas.ellipse(horn, (rng.uniform(4, 12), rng.uniform(18, 34)), rng.uniform(2, 12), (0.2, 0.5))
    if rng.random() < 0.7:  # the base: petrous bones, air cells, sinuses, orbits
        low = brain & (z < rng.uniform(-0.6, -0.2))
        canvas.texture(low, 6, rng.uniform(200, 450))
        for side in (-1, 1):
            canvas.ellipse((side * 34 * size, -64 * size), (17, 17), 10, (-0.8, 0.25))
            canvas.ellipse((side * 45 * size, 12 * size), (28, 10), rng.uniform(600, 1300), (-0.7, 0.2))
            canvas.ellipse((side * 52 * size, 25 * size), (12, 12), -700, (-0.75, 0.2))
        canvas.ellipse((0, -68 * size), (13, 16), -900, (-0.85, 0.3))
    if rng.random() < 0.6:
        around = np.sqrt((canvas.x / (1.35 * wide)) ** 2 + ((canvas.y + 5) / (1.28 * long)) ** 2)
        holder = np.broadcast_to((np.abs(around - 1) < 0.015) & (canvas.y > -30), canvas.hu.shape)
        canvas.hu[holder] = rng.uniform(0, 300)
    return canvas.volume(rng.uniform(3, 7), rng.uniform(3, 14))


def neck(seed: int) -> Volume:
    """A neck: muscles, vertebra, airway, vessels, thyroid, and shoulders on the lowest slices."""
    rng = np.random.default_rng(seed)
    canvas = _Canvas(rng, rng.uniform(260, 420), int(rng.integers(10, 20)))
    size = rng.uniform(0.85, 1.2)
    canvas.ellipse((0, 0), (64 * size, 60 * size), _FAT)
    if rng.random() < 0.6:
        canvas.ellipse((0, 10), (190 * size, 75 * size), _FAT, (-1.2, 0.7))
        for side in (-1, 1):
            canvas.ellipse((side * 105 * size, 15), (60 * size, 50 * size), _MUSCLE, (-1.2, 0.65))
            canvas.ellipse((side * 125 * size, 10), (22, 22), 600, (-1.2, 0.6))
    muscle = canvas.ellipse((0, 8), (58 * size, 50 * size), rng.uniform(45, 75))
    canvas.texture(muscle, 6, 18)
    canvas.ellipse((0, 16 * size), (17, 14), rng.uniform(400, 900))
    canvas.ellipse((0, 32 * size), (7, 6), 25)
    canvas.ellipse((0, -18 * size), (9, 10), _AIR)
    for side in (-1, 1):
        canvas.ellipse((side * 30 * size, -14 * size), (8, 9), rng.uniform(45, 220))
        canvas.ellipse((side * 17 * size, -22 * size), (9, 14), rng.uniform(80, 160), (-0.4, 0.4))
    return canvas.volume(rng.uniform(2, 5), rng.uniform(5, 20))


def upper_chest(seed: int) -> Volume:
    """A chest above the dome: both lungs, mediastinum with heart or arch, ribs, spine, arms at times."""
    rng = np.random.default_rng(seed)
    canvas = _Canvas(rng, rng.uniform(380, 460), int(rng.integers(10, 20)))
    size = rng.uniform(0.85, 1.1)
    canvas.ellipse((0, 0), (175 * size, 122 * size), _FAT)
    canvas.texture(canvas.ellipse((0, 0), (162 * size, 110 * size), _MUSCLE), 5, 20)
    for side in (-1, 1):
        lung = canvas.ellipse((side * 78 * size, -2), (62 * size, 88 * size), _LUNG)
        canvas.texture(lung, 3, 60)
        for angle in np.linspace(0.3, 2 * np.pi, 9):
            rib = (side * 78 * size + 66 * size * np.cos(angle), 92 * size * np.sin(angle))
            canvas.ellipse(rib, (7, 5), rng.uniform(250, 700))
        if rng.random() < 0.4:
            arm = (side * 205 * size, 10)
            canvas.ellipse(arm, (40, 45), _FAT)
            canvas.ellipse(arm, (32, 36), _MUSCLE)
            canvas.ellipse(arm, (11, 11), 900)
    blood = rng.uniform(35, 260)
    canvas.texture(canvas.ellipse((rng.uniform(-5, 25), -25), (55 * size, 45 * size), blood, (-1.0, 1.3)), 8, 10)
    canvas.ellipse((8, -10), (rng.uniform(20, 32), rng.uniform(30, 45)), blood)
    canvas.ellipse((-3, 8), (9, 9), _AIR)
    canvas.ellipse((0, 62 * size), (19, 17), rng.uniform(200, 500))
    canvas.ellipse((0, 84 * size), (9, 8), 30)
    canvas.ellipse((20, 50 * size), (13, 13), blood)
    return canvas.volume(rng.uniform(3, 6), rng.uniform(8, 30))


def pelvis(seed: int) -> Volume:
    """A pelvis: iliac wings or hips, gluteal muscles, bladder, bowel with gas."""
    rng = np.random.default_rng(seed)
    canvas = _Canvas(rng, rng.uniform(380, 480), int(rng.integers(10, 20)))
    size = rng.uniform(0.85, 1.15)
    canvas.ellipse((0, 0), (185 * size, 120 * size), _FAT)
    for side in (-1, 1):
        muscle = canvas.ellipse((side * 85 * size, 40 * size), (72 * size, 58 * size), _MUSCLE)
        canvas.texture(muscle, 5, 22)
        canvas.ellipse((side * 95 * size, -20 * size), (40 * size, 55 * size), _MUSCLE)
        canvas.ellipse((side * 88 * size, 5), (24, 24), rng.uniform(300, 700), (-0.6, 0.6))
        canvas.ellipse((side * 80 * size, 10), (10, 60 * size), rng.uniform(350, 700), (0.7, 0.6))
    canvas.ellipse((0, 65 * size), (48, 18), rng.uniform(250, 500), (0.5, 0.7))
    canvas.texture(canvas.ellipse((0, 10), (55 * size, 62 * size), rng.uniform(20, 50)), 9, 30)
    canvas.ellipse((0, -30 * size), (rng.uniform(25, 52), rng.uniform(22, 42)), rng.uniform(-2, 18), (-0.2, 0.7))
    for _ in range(5):
        place = (rng.uniform(-55, 55), rng.uniform(-70, -5))
        canvas.ellipse(place, (rng.uniform(8, 20), rng.uniform(8, 18)), rng.choice([-800.0, 25.0, 200.0]), (0.6, 0.5))
    return canvas.volume(rng.uniform(3, 6), rng.uniform(8, 25))


def legs(seed: int) -> Volume:
    """Two thighs or calves, or one leg alone."""
    rng = np.random.default_rng(seed)
    canvas = _Canvas(rng, rng.uniform(250, 420), int(rng.integers(8, 18)))
    sides = (-1, 1) if rng.random() < 0.6 else (0,)
    radius = rng.uniform(45, 85)
    for side in sides:
        centre = side * (radius + rng.uniform(3, 15))
        canvas.ellipse((centre, 0), (radius, radius * rng.uniform(0.9, 1.1)), _FAT)
        thick = rng.uniform(0.7, 0.92) * radius
        canvas.texture(canvas.ellipse((centre, 0), (thick, thick), rng.uniform(45, 75)), 6, rng.uniform(8, 25))
        canvas.ellipse((centre, -4), (15, 15), rng.uniform(900, 1400))
        canvas.ellipse((centre, -4), (7, 7), rng.uniform(-60, 60))
    return canvas.volume(rng.uniform(3, 6), rng.uniform(4, 18))


def mouse(seed: int) -> Volume:
    """A body of a mouse's size: 3 cm across, with lungs or organs, in a micro-CT's field of view."""
    rng = np.random.default_rng(seed)
    canvas = _Canvas(rng, rng.uniform(36, 60), int(rng.integers(12, 30)), 0.3)
    canvas.ellipse((0, 0), (rng.uniform(10, 15), rng.uniform(9, 13)), rng.uniform(20, 60))
    canvas.texture(canvas.hu > _FAT, 1.0, 15)
    for side in (-1, 1):
        canvas.ellipse((side * 5, -1), (3.5, 4.5), -500, (0.7, 0.5))
        canvas.ellipse((side * 5, 4), (2, 3), 45, (-0.6, 0.4))
    canvas.ellipse((-3, -3), (6, 4.5), rng.uniform(50, 90), (0.0, 0.4))
    canvas.ellipse((0, 8), (1.6, 1.6), 900)
    return canvas.volume(rng.uniform(0.3, 0.6), rng.uniform(15, 60))


def water(seed: int) -> Volume:
    """A cube, cylinder or ball of water in air, of 8 to 35 cm."""
    rng = np.random.default_rng(seed)
    canvas = _Canvas(rng, rng.uniform(250, 500), int(rng.integers(8, 30)))
    radius = rng.uniform(40, 0.45 * canvas.extent_mm)
    shape = seed % 3
    if shape == 0:
        inside = (np.abs(canvas.x) < radius) & (np.abs(canvas.y) < radius) & (np.abs(canvas.z) < rng.uniform(0.5, 1.1))
        canvas.hu[inside] = rng.uniform(-10, 60)
    else:
        canvas.ellipse((0, 0), (radius, radius), rng.uniform(-10, 60), None if shape == 1 else (0.0, 0.9))
    return canvas.volume(rng.uniform(2, 6), rng.uniform(0, 20))


def phantom(seed: int) -> Volume:
    """A round or oval phantom of plastic or water with inserts from air to bone, as scanners are tested with."""
    rng = np.random.default_rng(seed)
    canvas = _Canvas(rng, rng.uniform(280, 450), int(rng.integers(8, 20)))
    radius = rng.uniform(75, 160)
    canvas.ellipse((0, 0), (radius, radius * rng.uniform(0.7, 1.0)), rng.choice([0.0, 40.0, 95.0, 120.0, -30.0]))
    inserts = rng.permutation([-1000.0, -200.0, -100.0, -35.0, 0.0, 55.0, 120.0, 200.0, 350.0, 990.0])
    count = int(rng.integers(1, 9))
    for place, hu in enumerate(inserts[:count]):
        angle = 2 * np.pi * place / count + rng.uniform(0, 0.4)
        centre = (0.55 * radius * np.cos(angle), 0.5 * radius * np.sin(angle))
        size = radius * rng.uniform(0.06, 0.3)
        canvas.ellipse(centre, (size, size), float(hu))
    return canvas.volume(rng.uniform(2, 6), rng.uniform(2, 20))


def noise(seed: int) -> Volume:
    """Noise alone: white or blotchy, round 0 HU or round air."""
    rng = np.random.default_rng(seed)
    canvas = _Canvas(rng, rng.uniform(250, 450), int(rng.integers(6, 20)), 2.0)
    canvas.hu[:] = rng.choice([-1000.0, -300.0, 0.0, 40.0])
    canvas.texture(np.ones(canvas.hu.shape, bool), rng.uniform(0.5, 25), rng.uniform(10, 400))
    return canvas.volume(rng.uniform(2, 6), rng.uniform(5, 60))


DRAWN: dict[str, Callable[[int], Volume]] = {
    "head": head,
    "neck": neck,
    "upper chest": upper_chest,
    "pelvis": pelvis,
    "legs": legs,
    "mouse": mouse,
    "water": water,
    "phantom": phantom,
    "noise": noise,
}
