"""Augmented views of a slice, made in HU and millimetres before the encoder sees it.

The encoder is frozen and slow, so views are drawn once and their embeddings kept. What is varied is what differs
between scanners, protocols and patients: contrast phase, noise, reconstruction kernel, slice thickness, field of view,
table, arms, position, fluid, the liver's density and lesions, and the patient's shape within limits. There is no
left-right flip: a liver on the left would be false.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from sammix_core.datasets.drawn_fluid import ascites, pleural_effusion
from sammix_core.datasets.drawn_liver import cysts, lipiodol, necrotic_tumour, whole_density
from sammix_core.datasets.drawn_scanner import arms, low_dose, table
from sammix_core.preprocessing.body_crop import body_mask
from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.window import AIR_HU, window

_WORKING_PIXELS = 320  # slices are brought to about this size first: finer than the network sees, quick to warp
_LEAST_LESION_HU = 12.0  # what a drawn lesion changes less is no lesion to see
_CROPPED_MARGIN_MM = (5.0, 20.0)
Crop = tuple[int, int, int, int]  # row_min, col_min, row_max, col_max, half-open


@dataclass(frozen=True)
class Strength:
    """How far a view may go from its slice.

    Attributes:
        lesions: Share of views in which lesions are drawn into the structure.
        close: Share of views that come close to the structure, with margins of `margin_mm`.
        margin_mm: Least and largest margin of a close view.
        turned: Share of views turned by anything up to `turned_degrees`; the others by a few degrees.
        turned_degrees: The patient lies on a side, or the slab is cut at an angle.
        stretch: Sigma of the logarithm of the scale of each axis.
        bend_mm: Sigma of the smooth bends' amplitude.
        phase_hu: Sigma of the structure's own offset in HU.
        noise_hu: Largest sigma of the noise.
        thick: Share of views that average all slices that are given.
        effusion: Share of views with fluid in the pleural space, where lung is seen.
        ascites: Share of views with fluid round the structure.
        density: Share of views whose structure has the density of another liver or phase.
        cysts, necrosis, lipiodol: Shares of views with such lesions in the structure.
        cropped: Share of views cut out 5 to 20 mm round the structure, with air round the cut as inference pads it.
        table: Share of views on a drawn table.
        arms: Share of views with arms beside the body.
        low_dose: Share of views with a low dose's grain and streaks.
    """

    lesions: float = 0.0
    close: float = 0.25
    margin_mm: tuple[float, float] = (20, 90)
    turned: float = 0.15
    turned_degrees: float = 30.0
    stretch: float = 0.07
    bend_mm: float = 5.0
    phase_hu: float = 30.0
    noise_hu: float = 28.0
    thick: float = 0.3
    effusion: float = 0.0
    ascites: float = 0.0
    density: float = 0.0
    cysts: float = 0.0
    necrosis: float = 0.0
    lipiodol: float = 0.0
    cropped: float = 0.0
    table: float = 0.0
    arms: float = 0.0
    low_dose: float = 0.0


MILD = Strength()
HARD = Strength(lesions=0.6, close=0.5, margin_mm=(3, 50))
# Other people's anatomy, as far as a bent and turned slice can stand for it.
STRONG = Strength(
    lesions=0.3,
    close=0.3,
    margin_mm=(5, 70),
    turned=0.4,
    turned_degrees=40.0,
    stretch=0.12,
    bend_mm=9.0,
    phase_hu=40.0,
    noise_hu=40.0,
)
# What the training patients do not have, and others do; see docs/decisions/views-2.md.
_OTHERS = Strength(lesions=0.2, thick=0.2, bend_mm=3.5, noise_hu=20.0)
FLUID = replace(_OTHERS, effusion=0.85, ascites=0.35, density=0.4, table=0.2, arms=0.2, low_dose=0.2)
OTHER_LIVER = replace(_OTHERS, density=0.8, cysts=0.25, necrosis=0.25, lipiodol=0.12, effusion=0.15, ascites=0.1)
OTHER_SCAN = replace(
    _OTHERS,
    thick=0.6,
    turned=0.5,
    turned_degrees=45.0,
    density=0.2,
    cropped=0.4,
    table=0.4,
    arms=0.3,
    low_dose=0.3,
)


def augmented_view(
    hu_slices: np.ndarray,
    label: np.ndarray,
    pixel_mm: tuple[float, float],
    crops: tuple[Crop, ...],
    spec: PreprocessingSpec,
    rng: np.random.Generator,
    strength: Strength = MILD,
    lesions: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one random view of a slice.

    Args:
        hu_slices: (n, rows, cols) HU: the slice, at n // 2, among its neighbours that a thicker slice would average.
        label: (rows, cols) bool, the structure on that slice; or (n, rows, cols) where it is known on all, so that a
            thick slice gets the mean of them.
        pixel_mm: (row, col) spacing.
        crops: The whole slice and the volume's body crop; where views may be cropped, the box round the structure on
            all slices of the volume comes third.
        spec: The model's preprocessing; the window is varied about it.
        rng: Random source; the same state gives the same view.
        strength: How far the view may go from the slice.
        lesions: (rows, cols) bool, lesions on the middle slice. Where given, the share that is returned is that of the
            lesions, these and the drawn ones, instead of the label's; the image is the same.

    Returns:
        Network image (size, size) float32 in [0, 1] and label share (size, size) float32 in [0, 1].
    """
    middle, shares = len(hu_slices) // 2, label if label.ndim == 3 else label[None]
    hu = np.maximum(hu_slices[middle].astype(np.float32), AIR_HU)
    whole_share = shares[middle if len(shares) > 1 else 0].astype(np.float32)
    if len(hu_slices) > 1 and rng.random() < strength.thick:
        hu = np.maximum(hu_slices.astype(np.float32), AIR_HU).mean(0)
        whole_share = shares.astype(np.float32).mean(0)
    factor = max(1, round(max(hu.shape) / _WORKING_PIXELS))
    hu, share = _shrink(hu, factor), _shrink(whole_share, factor)
    marked = None if lesions is None else _shrink(lesions.astype(np.float32), factor)
    fine_mm = (pixel_mm[0] * factor, pixel_mm[1] * factor)
    hu = _table(hu, rng)
    hu = _contrast_phase(hu, share, fine_mm, strength.phase_hu, rng)
    if _due(strength.density, rng):
        hu = whole_density(hu, share, fine_mm, rng)
    close = bool(share.any()) and rng.random() < strength.close
    for draw, part in (
        (_lesions, strength.lesions),
        (cysts, strength.cysts),
        (necrotic_tumour, strength.necrosis),
        (lipiodol, strength.lipiodol),
    ):
        if share.max() > 0.9 and _due(part, rng):
            drawn = draw(hu, share, fine_mm, rng)
            if marked is not None:
                marked = np.maximum(marked, np.abs(drawn - hu) >= _LEAST_LESION_HU)
            hu = drawn
    layers = [share] if marked is None else [share, marked]
    if _due(strength.ascites, rng):
        hu, layers = ascites(hu, layers, fine_mm, rng)
    share = layers[0]
    if _due(strength.effusion, rng):
        hu = pleural_effusion(hu, share, fine_mm, rng)
    for scan, part in ((arms, strength.arms), (low_dose, strength.low_dose)):
        if _due(part, rng):
            hu = scan(hu, fine_mm, rng)
    cropped = len(crops) > 2 and _due(strength.cropped, rng)
    crop = crops[2] if cropped else _field_of_view(crops[:2], close, whole_share > 0, pixel_mm, rng, strength.margin_mm)
    hu, moved = _warp(hu, layers, fine_mm, _centre(crop, factor), strength, rng)
    if _due(strength.table, rng):
        hu = table(hu, fine_mm, rng)
    hu = _kernel_and_noise(hu, fine_mm, strength.noise_hu, rng)
    coarse = _coarse(crop, factor)
    if cropped:
        hu, coarse = _cut_out(hu, moved[0], share, coarse, fine_mm, spec.least_extent_mm, rng)
    frame = Frame.for_crop(coarse, fine_mm, spec.size)
    return frame.to_network(window(hu, _other_window(spec, rng)), 0.0), frame.to_network(moved[-1], 0.0)


def same_place_view(
    hu: np.ndarray,
    frame: Frame,
    pixel_mm: tuple[float, float],
    spec: PreprocessingSpec,
    rng: np.random.Generator,
    strength: Strength = STRONG,
) -> np.ndarray:
    """Draws a slice where it is, with another contrast phase, kernel, noise and window: a mask stays right in it.

    Args:
        hu: (rows, cols) HU.
        frame: Where the network's image lies on the slice.
        pixel_mm: (row, col) spacing.
        spec: The model's preprocessing; the window is varied about it.
        rng: Random source; the same state gives the same view.
        strength: How much noise there may be.

    Returns:
        (size, size) float32 in [0, 1].
    """
    drawn = np.maximum(hu.astype(np.float32), AIR_HU)
    drawn = _contrast_phase(drawn, np.zeros_like(drawn), pixel_mm, strength.phase_hu, rng)
    drawn = _kernel_and_noise(drawn, pixel_mm, strength.noise_hu, rng)
    return frame.to_network(window(drawn, _other_window(spec, rng)), 0.0)


def _other_window(spec: PreprocessingSpec, rng: np.random.Generator) -> PreprocessingSpec:
    """The size of a specification, with level and width of its window varied."""
    return PreprocessingSpec(
        window_level=spec.window_level + rng.uniform(-15, 15),
        window_width=spec.window_width * rng.uniform(0.88, 1.15),
        size=spec.size,
    )


def _due(part: float, rng: np.random.Generator) -> bool:
    """Whether something that a share of the views has is drawn; without a share, no number is drawn either."""
    return part > 0 and bool(rng.random() < part)


def _coarse(crop: Crop, factor: int) -> Crop:
    """A crop in shrunk pixels."""
    edges = [round(edge / factor) for edge in crop]
    return edges[0], edges[1], edges[2], edges[3]


def _shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """Averages factor x factor pixels; a rest at the far edges is padded with the edge's value."""
    if factor == 1:
        return image
    rows, cols = (math.ceil(n / factor) * factor for n in image.shape)
    padded = np.pad(image, ((0, rows - image.shape[0]), (0, cols - image.shape[1])), mode="edge")
    return padded.reshape(rows // factor, factor, cols // factor, factor).mean((1, 3))


def _centre(crop: Crop, factor: int) -> tuple[float, float]:
    """Centre of a crop in shrunk pixels, (row, col)."""
    return (crop[0] + crop[2]) / 2 / factor, (crop[1] + crop[3]) / 2 / factor


def _table(hu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Takes the table away, moves it, or leaves it."""
    choice = rng.random()
    if choice > 0.5:
        return hu
    body = ndimage.binary_dilation(body_mask(hu), iterations=2)
    outside = np.where(body, AIR_HU, hu)
    if choice > 0.25:
        outside = np.full_like(hu, AIR_HU)
    else:
        outside = ndimage.shift(outside, (rng.uniform(-12, 12), rng.uniform(-6, 6)), order=0, cval=AIR_HU)
    return np.where(body, hu, outside)


def _contrast_phase(
    hu: np.ndarray, share: np.ndarray, pixel_mm: tuple[float, float], sigma_hu: float, rng: np.random.Generator
) -> np.ndarray:
    """Changes the enhancement: all soft tissue by a random monotone curve, the structure by an offset of its own."""
    # Knots in fat, fluid, muscle, enhanced organ, vessel, bone; steps stay positive, so the order of tissues is kept.
    knots = np.array([-150.0, -60.0, 0.0, 60.0, 120.0, 200.0, 400.0], dtype=np.float32)
    steps = np.diff(knots) * rng.uniform(0.6, 1.4, len(knots) - 1)
    moved = np.concatenate([[0.0], np.cumsum(steps)]).astype(np.float32)
    moved -= moved[2]  # fluid stays about where it is
    curve = knots + rng.uniform(0, 1) * (moved - knots)
    changed = np.where((hu > knots[0]) & (hu < knots[-1]), np.interp(hu, knots, curve).astype(np.float32), hu)
    if share.max() > 0.5 and rng.random() < 0.7:
        level = float(np.median(changed[share > 0.5]))
        target = np.clip(level + rng.normal(0, sigma_hu), 20, 170)
        sigma = [rng.uniform(0.8, 2.0) / mm for mm in pixel_mm]
        tissue = (changed > -30).astype(np.float32)
        changed = changed + (target - level) * ndimage.gaussian_filter(share, sigma) * tissue
    return changed.astype(np.float32)


def _lesions(hu: np.ndarray, share: np.ndarray, pixel_mm: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Puts one to six soft-edged ellipses into the structure, mostly darker; the label stays, lesions belong to it."""
    inside = np.argwhere(share > 0.9)
    rows, cols = np.indices(hu.shape, dtype=np.float32)
    change = np.zeros_like(hu)
    for _ in range(rng.integers(1, 7)):
        row, col = inside[rng.integers(len(inside))]
        radii = rng.uniform(4, 28) * rng.uniform(0.7, 1.3, 2) / np.array(pixel_mm)
        distance = np.sqrt(((rows - row) / radii[0]) ** 2 + ((cols - col) / radii[1]) ** 2)
        offset = rng.uniform(-75, -15) if rng.random() < 0.85 else rng.uniform(15, 50)
        change += offset * np.clip((1.15 - distance) / 0.3, 0, 1)
    return hu + np.clip(change, -90, 60) * share


def _field_of_view(
    crops: tuple[Crop, ...],
    close: bool,
    label: np.ndarray,
    pixel_mm: tuple[float, float],
    rng: np.random.Generator,
    margin_mm: tuple[float, float],
) -> Crop:
    """Chooses the crop: between whole slice and body, moved and scaled; sometimes close about the structure."""
    whole, body = (np.array(crop, dtype=float) for crop in crops)
    mix = rng.choice([0.0, 1.0, rng.random()], p=[0.15, 0.6, 0.25])
    crop = whole * (1 - mix) + body * mix
    if close:
        rows, cols = np.flatnonzero(label.any(1)), np.flatnonzero(label.any(0))
        margin = [rng.uniform(*margin_mm) / mm for mm in pixel_mm]
        tight = np.array([rows[0] - margin[0], cols[0] - margin[1], rows[-1] + margin[0], cols[-1] + margin[1]])
        crop = np.concatenate([np.maximum(crop[:2], tight[:2]), np.minimum(crop[2:], tight[2:])])
    size = crop[2:] - crop[:2]
    shift = rng.uniform(-0.08, 0.08, 2) * size
    grow = rng.uniform(-0.06, 0.15, 4) * np.concatenate([size, size]) * np.array([-1, -1, 1, 1]) * 0.5
    crop = crop + np.concatenate([shift, shift]) + grow
    rounded = np.round(crop).astype(int)
    return int(rounded[0]), int(rounded[1]), int(rounded[2]), int(rounded[3])


def _warp(
    hu: np.ndarray,
    layers: list[np.ndarray],
    pixel_mm: tuple[float, float],
    centre: tuple[float, float],
    strength: Strength,
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Rotates, stretches, shears a little and bends smoothly, about the crop's centre; shares go where the HU go."""
    angle = np.deg2rad(
        rng.normal(0, 7) if rng.random() < 1 - strength.turned else rng.uniform(-1, 1) * strength.turned_degrees
    )
    stretch = np.exp(rng.normal(0, strength.stretch, 2))
    shear = rng.normal(0, 0.04)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = turn @ np.array([[1, shear], [0, 1]]) @ np.diag(stretch)
    grid = np.indices(hu.shape, dtype=np.float32)
    offset = (grid - np.array(centre, dtype=np.float32)[:, None, None]) * np.array(pixel_mm, np.float32)[:, None, None]
    moved = np.tensordot(matrix.astype(np.float32), offset, 1)
    # Bends of about 5 to 20 mm over 50 to 90 mm: organs of another patient, not torn ones.
    period_mm, amplitude_mm = rng.uniform(50, 90), abs(rng.normal(0, strength.bend_mm))
    shape = [max(4, math.ceil(n * mm / period_mm) + 3) for n, mm in zip(hu.shape, pixel_mm, strict=True)]
    bends = rng.normal(0, amplitude_mm, (2, *shape)).astype(np.float32)
    for axis in range(2):
        zoom = [n / s for n, s in zip(hu.shape, shape, strict=True)]
        moved[axis] += ndimage.zoom(bends[axis], zoom, order=3)[: hu.shape[0], : hu.shape[1]]
    position = moved / np.array(pixel_mm, np.float32)[:, None, None] + np.array(centre, np.float32)[:, None, None]
    return (
        ndimage.map_coordinates(hu, position, order=1, cval=AIR_HU),
        [ndimage.map_coordinates(layer, position, order=1, cval=0.0) for layer in layers],
    )


def _cut_out(
    hu: np.ndarray,
    share: np.ndarray,
    still: np.ndarray,
    extent: Crop,
    pixel_mm: tuple[float, float],
    least_mm: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, Crop]:
    """Cuts a slice out of a volume that was cropped close about the structure, and never cuts the structure.

    Args:
        hu: (rows, cols) HU, warped.
        share: (rows, cols) the structure's share, warped.
        still: The share before the warp.
        extent: The box round the structure on all slices, which other slices may reach further than this one.
        pixel_mm: (row, col) spacing.
        least_mm: Inference pads to this extent; some views are padded less, as where the spacing is unknown.
        rng: Random source.

    Returns:
        HU with air outside the cut, and the crop of the network's frame.
    """
    box = np.array(extent)
    padded = rng.random() < 0.7
    # A volume's crop fits its largest slice; a small one alone, enlarged without padding, does not occur.
    room = rng.choice([0.0, 1.0, rng.random()], p=[0.3, 0.4, 0.3]) if padded else 1.0
    if share.max() > 0.05:
        further = (box - _bounds(still > 0)) * room
        box = _bounds(share > 0.02) + np.array([-1, -1, 1, 1]) * np.abs(further)
    margin = rng.uniform(*_CROPPED_MARGIN_MM, 4) / np.array([*pixel_mm, *pixel_mm])
    box = np.round(box + margin * np.array([-1, -1, 1, 1])).astype(int)
    rows, cols = np.ogrid[: hu.shape[0], : hu.shape[1]]
    inside = (rows >= box[0]) & (rows < box[2]) & (cols >= box[1]) & (cols < box[3])
    size_mm = (box[2:] - box[:2]) * np.array(pixel_mm)
    least = least_mm if padded else float(size_mm.max()) * rng.uniform(1.0, 1.5)
    more = np.round(np.maximum(0, least - size_mm.max()) / 2 / np.array(pixel_mm)).astype(int)
    row_min, col_min, row_max, col_max = (int(edge) for edge in box + np.concatenate([-more, more]))
    return np.where(inside, hu, AIR_HU), (row_min, col_min, row_max, col_max)


def _bounds(mask: np.ndarray) -> np.ndarray:
    """(row_min, col_min, row_max, col_max) of a mask, half-open."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([rows[0], cols[0], rows[-1] + 1, cols[-1] + 1])


def _kernel_and_noise(
    hu: np.ndarray, pixel_mm: tuple[float, float], most_hu: float, rng: np.random.Generator
) -> np.ndarray:
    """Blurs or sharpens as reconstruction kernels do, and adds noise with the texture that they leave."""
    kernel = rng.random()
    sigma_mm = rng.uniform(0.3, 1.6)
    smooth = ndimage.gaussian_filter(hu, [sigma_mm / mm for mm in pixel_mm])
    if kernel < 0.35:
        hu = smooth
    elif kernel < 0.5:
        hu = hu + rng.uniform(0.2, 0.8) * (hu - smooth)
    if rng.random() < 0.6:
        noise = rng.normal(0, 1, hu.shape).astype(np.float32)
        texture_mm = rng.uniform(0.4, 2.0)
        noise = ndimage.gaussian_filter(noise, [texture_mm / mm for mm in pixel_mm])
        hu = hu + noise / max(1e-6, float(noise.std())) * rng.uniform(3, most_hu) * (hu > -900)
    return hu.astype(np.float32)
