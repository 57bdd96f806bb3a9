"""Fluid, other livers and scanners drawn into a body: in their place, in their density, and never over the label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from sammix_core.datasets import augmentation
from sammix_core.datasets.augmentation import FLUID, HARD, MILD, OTHER_LIVER, OTHER_SCAN, Strength, augmented_view
from sammix_core.datasets.drawn_anatomy import lungs
from sammix_core.datasets.drawn_fluid import ascites, pleural_effusion
from sammix_core.datasets.drawn_liver import cysts, lipiodol, necrotic_tumour, whole_density
from sammix_core.datasets.drawn_scanner import arms, low_dose, table
from sammix_core.preprocessing.body_crop import body_mask
from sammix_core.preprocessing.spec import PreprocessingSpec

MM = (2.5, 2.5)
SHAPE = (128, 160)
STILL = Strength(close=0, turned=0, stretch=0.001, bend_mm=0.001, phase_hu=0.001, noise_hu=3.1, thick=0)
SEEDS = range(6)


def ellipse(row: float, col: float, height: float, width: float) -> np.ndarray:
    """Millimetres from the middle of the slice."""
    rows, cols = ((np.arange(n) + 0.5) * mm - n * mm / 2 for n, mm in zip(SHAPE, MM, strict=True))
    return ((rows[:, None] - row) / height) ** 2 + ((cols[None, :] - col) / width) ** 2 < 1


def a_chest(liver_hu: float = 100) -> tuple[np.ndarray, np.ndarray]:
    """HU of a slice through the dome, with lung round it, a heart and a spine; and the liver's share."""
    hu = np.full(SHAPE, -1000.0, np.float32)
    hu[ellipse(0, 0, 115, 165)] = -90
    hu[ellipse(0, 0, 105, 152)] = 50
    hu[ellipse(5, -80, 80, 60) | ellipse(5, 80, 80, 60)] = -850
    hu[ellipse(-30, 10, 45, 50)] = 60
    liver = ellipse(-5, -78, 40, 34)
    hu[liver] = liver_hu
    hu[ellipse(80, 0, 20, 18)] = 400
    return hu, liver.astype(np.float32)


def a_belly() -> tuple[np.ndarray, np.ndarray]:
    """HU of a slice below the lungs: the liver in fat within a muscle wall, a spleen and a spine; the liver's share."""
    hu = np.full(SHAPE, -1000.0, np.float32)
    hu[ellipse(0, 0, 115, 165)] = -100
    hu[ellipse(0, 0, 100, 150)] = 50
    hu[ellipse(0, 0, 90, 140)] = -100
    liver = ellipse(-5, -68, 62, 62)
    hu[liver] = 100
    hu[ellipse(20, 95, 30, 25)] = 110
    hu[ellipse(75, 0, 20, 18)] = 400
    return hu, liver.astype(np.float32)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_lung_is_found_and_bowel_gas_is_not() -> None:
    hu, _ = a_chest()
    hu[ellipse(-88, 0, 8, 26)] = -1000
    found = lungs(hu, body_mask(hu), MM)
    np.testing.assert_array_equal(found, hu == -850)


@pytest.mark.parametrize("with_liver", [True, False], ids=["dome", "above the liver"])
def test_an_effusion_is_fluid_in_the_pleural_space_alone(with_liver: bool) -> None:
    hu, share = a_chest()
    if not with_liver:
        hu[share > 0], share = -850, np.zeros_like(share)
    lung = hu == -850
    near = ndimage.distance_transform_edt(~lung, sampling=MM) < 9
    liquid = np.zeros(SHAPE)
    for seed in SEEDS:
        drawn = pleural_effusion(hu, share, MM, rng(seed))
        changed = np.abs(drawn - hu) > 1
        assert changed[lung].sum() > 20
        assert not changed[~near].any()
        assert not changed[share > 0].any()
        fluid = lung & (drawn > -3) & (drawn < 23)
        assert fluid.sum() > 0.3 * (lung & changed).sum(), "most of what changed is fluid, the rest collapsed lung"
        liquid += fluid
    rows = np.indices(SHAPE)[0]
    assert rows[liquid > 2].mean() > rows[lung].mean() + 10 / MM[0], "it lies behind"


def test_lung_away_from_an_effusion_stays_lung() -> None:
    hu, share = a_chest()
    kept = [((hu == -850) & (pleural_effusion(hu, share, MM, rng(seed)) == -850)).sum() for seed in SEEDS]
    assert np.median(kept) > 0.3 * (hu == -850).sum()


def test_no_dark_seam_lies_between_liver_and_effusion() -> None:
    """Edge pixels are part lung, part liver: where fluid touches them, they are part fluid, part liver."""
    hu, share = a_chest()
    blurred = ndimage.gaussian_filter(hu, 1.0)
    soft = ndimage.gaussian_filter(share, 1.0)
    soft[soft < 0.02] = 0
    for seed in SEEDS:
        drawn = pleural_effusion(blurred, soft, MM, rng(seed))
        touched = ndimage.binary_dilation(soft > 0.5, iterations=2) & (drawn - blurred > 700)
        inward = ndimage.binary_dilation(touched) & (soft > 0.3) & (drawn - blurred > 30)
        assert (drawn[inward] > -5).all()


def test_no_effusion_without_lung() -> None:
    hu, share = a_belly()
    np.testing.assert_array_equal(pleural_effusion(hu, share, MM, rng(0)), hu)


def test_ascites_is_fluid_round_the_liver() -> None:
    hu, share = a_belly()
    structure = share > 0
    away = ndimage.distance_transform_edt(~structure, sampling=MM)
    shrunk = 0
    for seed in range(12):
        drawn, (moved,) = ascites(hu, [share], MM, rng(seed))
        changed = np.abs(drawn - hu) > 1
        assert not changed[away > 28].any()
        assert not changed[hu == 400].any()
        assert not changed[hu == 110].any(), "nor into the spleen"
        fat = (hu == -100) & (away <= 3.5) & (ndimage.distance_transform_edt(hu > -900, sampling=MM) > 14)
        assert np.abs(np.median(drawn[fat]) - 10) < 14
        assert (drawn[moved > 0.99] > 90).all(), "the label lies on liver"
        assert (moved <= share + 1e-6).mean() > 0.99
        shrunk += moved.sum() < share.sum() - 1
        assert moved.sum() > 0.6 * share.sum()
        gap = structure & (moved < 0.01)
        assert not gap.any() or (np.abs(drawn[gap] - 10) < 12).mean() > 0.9
    assert 2 < shrunk < 12


def test_a_liver_that_is_not_there_gets_no_ascites() -> None:
    hu, share = a_belly()
    drawn, (moved,) = ascites(hu, [0 * share], MM, rng(0))
    np.testing.assert_array_equal(drawn, hu)
    assert not moved.any()


def test_whole_livers_become_fatty_dense_arterial_and_bright() -> None:
    hu, share = a_belly()
    levels, spleens = [], []
    for seed in range(40):
        drawn = whole_density(hu, share, MM, rng(seed))
        levels.append(float(np.median(drawn[share > 0])))
        spleens.append(float(np.median(drawn[hu == 110])))
        np.testing.assert_allclose(drawn[hu == -1000], -1000, atol=1)
        assert np.median(drawn[hu == 400]) == pytest.approx(400, abs=20)
    counts = np.histogram(levels, [-22, 36, 72, 79, 112, 149, 196])[0]
    assert counts[0] > 4
    assert counts[1] > 6
    assert counts[3] > 2
    assert counts[5] > 3
    assert counts.sum() == 40
    assert counts[[2, 4]].sum() == 0
    dark_beside_bright = [level < 72 and spleen > 115 for level, spleen in zip(levels, spleens, strict=True)]
    assert sum(dark_beside_bright) > 2, "early arterial"


@pytest.mark.parametrize(("draw", "low", "high"), [(cysts, -1, 16), (necrotic_tumour, -20, 75), (lipiodol, 300, 3000)])
def test_lesions_lie_in_the_liver_at_their_density(draw, low: float, high: float) -> None:
    hu, share = a_belly()
    for seed in SEEDS:
        drawn = draw(hu, share, MM, rng(seed))
        np.testing.assert_array_equal(drawn[share == 0], hu[share == 0])
        assert ((drawn > low) & (drawn < high) & (share > 0)).sum() >= 3


def test_table_and_arms_stay_outside_the_body_but_for_streaks() -> None:
    hu, _ = a_belly()
    body = body_mask(hu)
    laid = table(hu, MM, rng(1))
    np.testing.assert_array_equal(laid[body], hu[body])
    assert ((laid > -600) & ~ndimage.binary_dilation(body, iterations=3)).sum() > 50
    beside = arms(hu, MM, rng(1))
    assert ((beside > 500) & ~body).any()
    assert 2 < np.std((beside - hu)[ndimage.binary_erosion(body, iterations=4)]) < 60


def test_low_dose_is_noise_of_mean_zero_within_the_body() -> None:
    hu, _ = a_belly()
    noise = low_dose(hu, MM, rng(0)) - hu
    assert (noise[hu < -900] == 0).all()
    assert 8 < noise[hu > -200].std() < 60
    assert abs(noise[hu > -200].mean()) < 4


def a_view(seed: int, strength: Strength, hu: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    whole = (0, 0, *SHAPE)
    shown = label.any(0) if label.ndim == 3 else label
    rows, cols = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    extent = (int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1)
    slices = hu if hu.ndim == 3 else hu[None]
    return augmented_view(slices, label, MM, (whole, whole, extent), PreprocessingSpec(), rng(seed), strength)


@pytest.mark.parametrize("strength", [FLUID, OTHER_LIVER, OTHER_SCAN], ids=["fluid", "liver", "scan"])
def test_the_same_seed_gives_the_same_view(strength: Strength) -> None:
    hu, share = a_chest()
    first, again = (a_view(3, strength, hu.astype(np.int16), share > 0) for _ in range(2))
    other = a_view(4, strength, hu.astype(np.int16), share > 0)
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != different).any()


@pytest.mark.parametrize("kind", ["effusion", "density", "cysts", "necrosis", "lipiodol", "table", "arms", "low_dose"])
def test_what_is_drawn_leaves_the_label_share_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without warp and with a fixed frame the share of any view is that of the slice, to the last digit."""
    monkeypatch.setattr(augmentation, "_warp", lambda hu, layers, *_: (hu, layers))
    monkeypatch.setattr(augmentation, "_field_of_view", lambda crops, *_: crops[0])
    hu, share = a_chest()
    image, label = a_view(2, STILL, hu, share > 0)
    drawn, same = a_view(2, replace(STILL, **{kind: 1.0}), hu, share > 0)
    np.testing.assert_array_equal(same, label)
    assert np.abs(drawn - image).max() > 0.03


def test_a_cropped_view_holds_the_whole_liver_and_air_round_the_cut() -> None:
    hu, share = a_belly()
    for seed in SEEDS:
        image, label = a_view(seed, replace(STILL, cropped=1.0), hu, share > 0)
        rows, cols = np.flatnonzero((label > 0.5).any(1)), np.flatnonzero((label > 0.5).any(0))
        assert rows[0] > 0
        assert cols[0] > 0
        assert rows[-1] < 255
        assert cols[-1] < 255
        lit = image > 0.05
        per_mm = 1 / max(1e-6, np.sqrt(share.sum() * MM[0] * MM[1] / label.sum()))
        assert np.flatnonzero(lit.any(1))[0] > rows[0] - 26 * per_mm
        assert np.flatnonzero(lit.any(0))[-1] < cols[-1] + 26 * per_mm


def test_a_thick_slice_has_the_mean_of_its_labels() -> None:
    hu, share = a_belly()
    bare = np.where(share > 0, -100, hu)
    slices, labels = np.stack([bare, hu]), np.stack([0 * share, share]) > 0
    image, label = a_view(0, replace(STILL, thick=1.0), slices, labels)
    inside = ndimage.binary_erosion(label > 0.4, iterations=4)
    np.testing.assert_allclose(label[inside], 0.5, atol=1e-3)
    sharp, alone = a_view(0, STILL, slices, labels)
    assert alone.max() > 0.99
    assert np.median(image[inside]) < np.median(sharp[alone > 0.99]) - 0.15
    assert a_view(0, replace(STILL, thick=1.0), slices, labels[1])[1].max() > 0.99, "one label is the slice's own"


@pytest.mark.parametrize(
    ("strength", "brightness", "area"), [(HARD, 0.43387, 27397.63), (MILD, 0.118265, 4406.086)], ids=["hard", "mild"]
)
def test_views_drawn_for_corrections_are_what_they_were(strength: Strength, brightness: float, area: float) -> None:
    """Fine-tuning keeps such views on disk; the figures are those of the version before the new kinds."""
    hu, share = a_belly()
    crops = ((0, 0, *SHAPE),) * 2
    image, label = augmented_view(hu[None], share > 0, MM, crops, PreprocessingSpec(), rng(5), strength)
    assert image.mean() == pytest.approx(brightness, rel=1e-3)
    assert label.sum() == pytest.approx(area, rel=1e-3)
