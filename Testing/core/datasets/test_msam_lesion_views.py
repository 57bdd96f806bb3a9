"""Views of the liver as views of lesions: the same image, with lesions as its label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sammix_core.datasets.augmentation import HARD, Strength, augmented_view
from sammix_core.preprocessing.body_crop import body_crop
from sammix_core.preprocessing.spec import PreprocessingSpec

PIXEL_MM = (1.6, 1.6)
ALWAYS = replace(HARD, lesions=1.0, noise_hu=4.0)


def a_slice() -> tuple[np.ndarray, np.ndarray]:
    """HU of a body with a liver in it, and the liver's mask."""
    rows, cols = np.indices((200, 240)) - np.array([100, 120])[:, None, None]
    hu = np.full((200, 240), -1000)
    hu[(rows / 75) ** 2 + (cols / 100) ** 2 < 1] = 20
    liver = ((rows + 10) / 45) ** 2 + ((cols + 40) / 38) ** 2 < 1
    hu[liver] = 110
    return hu.astype(np.int16), liver


def drawn(seed: int, strength: Strength, lesions: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    hu, liver = a_slice()
    crops = ((0, 0, *hu.shape), body_crop(hu[None], PIXEL_MM, 10.0))
    return augmented_view(
        hu[None], liver, PIXEL_MM, crops, PreprocessingSpec(), np.random.default_rng(seed), strength, lesions
    )


def test_asking_for_lesions_changes_no_image() -> None:
    none = np.zeros(a_slice()[1].shape, dtype=bool)
    for seed in range(4):
        (image, liver), (same, lesions) = drawn(seed, ALWAYS, None), drawn(seed, ALWAYS, none)
        np.testing.assert_array_equal(image, same)
        assert 0 < lesions.sum() < liver.sum()
        assert (lesions <= liver + 0.05).all(), "lesions are drawn into the liver"


def test_drawn_lesions_lie_where_they_are_seen() -> None:
    plain = replace(ALWAYS, lesions=0.0)
    none = np.zeros(a_slice()[1].shape, dtype=bool)
    contrasts = []
    for seed in range(12):
        image, lesions = drawn(seed, ALWAYS, none)
        _, liver = drawn(seed, ALWAYS, None)
        inside, beside = lesions > 0.9, (liver > 0.9) & (lesions < 0.1)
        if inside.sum() > 20 and beside.sum() > 20:
            contrasts.append(abs(image[inside].mean() - image[beside].mean()))
    assert len(contrasts) > 6
    assert np.median(contrasts) > 0.03
    assert drawn(0, plain, none)[1].max() == 0, "without drawn lesions there are none"


def test_a_persons_lesions_move_with_the_image() -> None:
    _, liver = a_slice()
    own = liver.copy()
    own[:, : own.shape[1] // 3] = False
    _, share = drawn(1, replace(ALWAYS, lesions=0.0), own)
    _, whole = drawn(1, replace(ALWAYS, lesions=0.0), liver)
    _, same = drawn(1, replace(ALWAYS, lesions=0.0), None)
    assert 0 < share.sum() < whole.sum()
    np.testing.assert_allclose(whole, same, atol=1e-6)
