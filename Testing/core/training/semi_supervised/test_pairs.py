"""Both views of a pair and the mask fit."""

from __future__ import annotations

import numpy as np

from sammix_core.training.semi_supervised.pairs import moved, pair, strengthened


def test_both_views_and_the_mask_have_one_geometry() -> None:
    image = np.zeros((128, 128), np.float32)
    image[30:60, 20:80] = 0.8
    mask = (image > 0.5).astype(np.float32)
    assert np.array_equal(moved(image, 0, 5), image), "the first view is the slice as it is"
    weak, strong = pair(image, 1, 5)
    shown = moved(mask, 1, 5) > 0.5
    assert not np.array_equal(shown, mask > 0.5)
    np.testing.assert_array_equal(weak > 0.4, shown)
    assert strong[shown].mean() > strong[~shown].mean() + 0.2
    again = pair(image, 1, 5)
    assert np.array_equal(weak, again[0])
    assert np.array_equal(strong, again[1])


def test_no_view_is_a_mirror_image() -> None:
    image = np.zeros((128, 128), np.float32)
    image[40:90, 10:40] = 1.0
    for seed in range(20):
        columns = np.flatnonzero(moved(image, 1, seed).sum(0) > 10)
        assert columns.mean() < 50


def test_strong_views_differ_and_stay_images() -> None:
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    views = [strengthened(image, seed) for seed in range(12)]
    assert all(view.min() >= 0 and view.max() <= 1 and view.dtype == np.float32 for view in views)
    assert all(np.abs(view - image).mean() > 0.005 for view in views)
