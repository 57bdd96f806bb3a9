"""Augmented views: repeatable, in range, the label goes where the image goes, and left stays left."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from sammix_core.datasets.augmentation import augmented_view
from sammix_core.preprocessing.body_crop import body_crop
from sammix_core.preprocessing.spec import PreprocessingSpec

SPEC = PreprocessingSpec()
SHAPE, PIXEL_MM = (256, 256), (1.6, 1.6)
WHOLE = (0, 0, *SHAPE)


def a_slice(shape: tuple[int, int] = SHAPE, pixel_mm: tuple[float, float] = PIXEL_MM) -> tuple[np.ndarray, np.ndarray]:
    """HU of a body 330 x 260 mm with a liver on the left of the picture, a spleen and a spine; and the liver's mask."""
    rows, cols = np.meshgrid(
        *((np.arange(n) + 0.5) * mm - n * mm / 2 for n, mm in zip(shape, pixel_mm, strict=True)), indexing="ij"
    )
    hu = np.full(shape, -1000.0)
    hu[(rows / 130) ** 2 + (cols / 165) ** 2 < 1] = -90
    hu[(rows / 115) ** 2 + (cols / 150) ** 2 < 1] = 20
    liver = ((rows + 10) / 75) ** 2 + ((cols + 70) / 60) ** 2 < 1
    hu[liver] = 110
    hu[((rows - 30) / 35) ** 2 + ((cols - 95) / 30) ** 2 < 1] = 130
    hu[(rows - 85) ** 2 + cols**2 < 20**2] = 500
    hu[(abs(rows - 150) < 4) & (abs(cols) < 180)] = 150  # the table
    return hu.astype(np.int16), liver


def view(seed: int, hu: np.ndarray, label: np.ndarray, pixel_mm: tuple[float, float] = PIXEL_MM, slices: int = 1):
    crop = body_crop(hu[None], pixel_mm, 10.0)
    stack = np.repeat(hu[None], slices, axis=0)
    whole = (0, 0, *hu.shape)
    return augmented_view(stack, label, pixel_mm, (whole, crop), SPEC, np.random.default_rng(seed))


def test_the_same_seed_gives_the_same_view_and_another_one_another() -> None:
    hu, liver = a_slice()
    first, again, other = view(3, hu, liver), view(3, hu, liver), view(4, hu, liver)
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != different).any()


def test_the_input_is_not_changed() -> None:
    hu, liver = a_slice()
    before = hu.copy(), liver.copy()
    for seed in range(5):
        view(seed, hu, liver, slices=3)
    np.testing.assert_array_equal(hu, before[0])
    np.testing.assert_array_equal(liver, before[1])


@pytest.mark.parametrize(
    ("shape", "pixel_mm", "slices"), [(SHAPE, PIXEL_MM, 3), ((512, 512), (0.8, 0.8), 1), ((101, 122), (3.0, 3.0), 3)]
)
def test_range_shape_and_type(shape: tuple[int, int], pixel_mm: tuple[float, float], slices: int) -> None:
    hu, liver = a_slice(shape, pixel_mm)
    hu[:3] = -3024
    for seed in range(6):
        for image in view(seed, hu, liver, pixel_mm, slices):
            assert image.shape == (256, 256)
            assert image.dtype == np.float32
            assert np.isfinite(image).all()
            assert image.min() >= -1e-5
            assert image.max() <= 1 + 1e-5


def test_the_label_follows_the_image() -> None:
    """A disc far brighter than all else is where its label is, however a view bends, shifts and scales it."""
    rows, cols = np.mgrid[:256, :256]
    disc = (rows - 110) ** 2 + (cols - 90) ** 2 < 30**2
    hu = np.full(SHAPE, -1000, np.int16)
    hu[(rows - 128) ** 2 + (cols - 128) ** 2 < 110**2] = -120  # black through the window, varied or not
    hu[disc] = 1500
    overlaps = []
    for seed in range(30):
        image, share = view(seed, hu, disc)
        assert share.max() > 0.95
        found, label = image > 0.5, share > 0.5
        overlaps.append(2 * (found & label).sum() / (found.sum() + label.sum()))
    assert min(overlaps) > 0.9
    assert np.mean(overlaps) > 0.95


@pytest.mark.parametrize(
    ("small", "axis"), [((135, 190), 1), ((190, 115), 0)], ids=["left and right", "front and back"]
)
def test_a_view_is_never_mirrored(small: tuple[int, int], axis: int) -> None:
    """Of two discs the large one stays left of, or in front of, the small one; a mean over many views shows a flip."""
    hu, _ = a_slice()
    rows, cols = np.mgrid[:256, :256]
    discs = (rows - 110) ** 2 + (cols - 85) ** 2 < 26**2
    discs |= (rows - small[0]) ** 2 + (cols - small[1]) ** 2 < 13**2
    kept = 0
    for seed in range(40):
        pieces, count = ndimage.label(view(seed, hu, discs)[1] > 0.5)
        if count == 2:  # neither is past the edge of the picture
            kept += 1
            sizes = np.bincount(pieces.ravel())[1:]
            centres = ndimage.center_of_mass(pieces > 0, pieces, [1, 2])
            assert centres[sizes.argmax()][axis] < centres[sizes.argmin()][axis]
    assert kept > 25


def test_most_of_the_liver_stays_in_the_picture() -> None:
    hu, liver = a_slice()
    crop = body_crop(hu[None], PIXEL_MM, 10.0)
    per_mm = 256 / max((crop[2] - crop[0]) * 1.6, (crop[3] - crop[1]) * 1.6)
    expected = liver.sum() * 1.6**2 * per_mm**2
    areas = np.array([view(seed, hu, liver)[1].sum() for seed in range(40)]) / expected
    assert np.median(areas) == pytest.approx(1, abs=0.25)
    assert areas.min() > 0.3


def test_views_differ_in_what_scanners_differ_in() -> None:
    hu, liver = a_slice()
    views = [view(seed, hu, liver) for seed in range(30)]
    brightness = [float(np.median(image[share > 0.9])) for image, share in views]
    assert np.std(brightness) > 0.03
    noise = [float(np.std(image[share > 0.99])) for image, share in views]
    assert min(noise) < 0.02
    assert max(noise) > 0.04


def test_a_slice_without_the_structure_has_an_empty_label() -> None:
    hu, _ = a_slice()
    for seed in range(10):
        image, share = view(seed, hu, np.zeros(SHAPE, bool))
        assert not share.any()
        assert image.max() > 0.5


def test_a_slice_of_air_passes() -> None:
    for seed in range(10):
        image, _ = view(seed, np.full(SHAPE, -1000, np.int16), np.zeros(SHAPE, bool))
        assert image.max() < 0.2
