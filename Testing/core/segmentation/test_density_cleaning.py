"""Masks lose the body's fat and pieces as dark as fluid, and keep everything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fake_network import FakeBackend, a_fake_model

from sammix_core.boxes import Box, BoxSource
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.sam.decoding import MaskSettings
from sammix_core.segmentation.density_cleaning import DensityCleaner
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume.volume import Volume

SLICES, SIDE, MIDDLE = 8, 200, 4
LOBES = (np.s_[60:140, 40:90], np.s_[60:140, 110:160])  # rows, cols
FISSURE, GALLBLADDER, DEPOSIT = np.s_[60:140, 90:110], np.s_[145:165, 92:108], np.s_[90:100, 60:70]


def a_body(liver_hu: float = 110.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(k, j, i) HU of two lobes with fat between them, and (rows, cols) bool: the lobes of a slice."""
    hu = np.full((SLICES, SIDE, SIDE), -1000.0)
    hu[:, 20:180, 20:180] = -100
    lobes = np.zeros((SIDE, SIDE), bool)
    for lobe in LOBES:
        lobes[lobe] = True
    hu[:, lobes] = liver_hu
    hu[(slice(None), *GALLBLADDER)] = 5
    return hu + np.random.default_rng(seed).normal(0, 20, hu.shape), lobes


def volume_of(hu: np.ndarray) -> Volume:
    return Volume(hu.round().astype(np.int16), (1.5, 1.5, 5.0), np.array([3.0, -8.0, 40.0]), np.eye(3))


def cleaner_of(hu: np.ndarray) -> DensityCleaner:
    volume = volume_of(hu)
    return DensityCleaner(AxialSlices.cut(volume, volume.axial_order, PreprocessingSpec(body_crop=False)))


def test_the_fat_of_a_fissure_goes_and_the_lobes_stay() -> None:
    hu, lobes = a_body()
    filled = lobes.copy()
    filled[FISSURE] = True
    cleaned = cleaner_of(hu).without_fat(MIDDLE, filled)
    assert not cleaned[60:140, 93:107].any()
    assert (cleaned & lobes).sum() >= 0.995 * lobes.sum()


def test_fat_that_is_closed_on_the_slice_goes_where_it_is_open_on_another_one() -> None:
    hu, lobes = a_body()
    hu[MIDDLE][FISSURE][:20] = hu[MIDDLE][FISSURE][-20:] = 110  # tissue before and behind the fissure
    filled = lobes.copy()
    filled[FISSURE] = True
    cleaned = cleaner_of(hu).without_fat(MIDDLE, filled)
    assert not cleaned[84:116, 94:106].any()
    assert cleaned[62:76, 92:108].mean() > 0.9


def test_fat_inside_the_organ_stays() -> None:
    hu, lobes = a_body()
    hu[(slice(None), *DEPOSIT)] = -60
    cleaned = cleaner_of(hu).without_fat(MIDDLE, lobes)
    assert cleaned[DEPOSIT].all()


@pytest.mark.parametrize("liver_hu", [-20.0, 0.0, 20.0])
def test_a_fatty_liver_stays_whole(liver_hu: float) -> None:
    hu, lobes = a_body(liver_hu)
    cleaner = cleaner_of(hu)
    assert (cleaner.without_fat(MIDDLE, lobes) == lobes).all()
    assert (cleaner.without_fluid(MIDDLE, lobes) == lobes).all()


def test_the_gallbladder_goes_and_a_second_lobe_stays() -> None:
    hu, lobes = a_body()
    taken = lobes.copy()
    taken[GALLBLADDER] = True
    cleaned = cleaner_of(hu).without_fluid(MIDDLE, taken)
    assert not cleaned[GALLBLADDER].any()
    assert cleaned[lobes].all()


def test_a_cyst_within_a_lobe_stays() -> None:
    hu, lobes = a_body()
    hu[(slice(None), *DEPOSIT)] = 5
    assert (cleaner_of(hu).without_fluid(MIDDLE, lobes) == lobes).all()


def test_an_empty_mask_stays_empty() -> None:
    cleaner, empty = cleaner_of(a_body()[0]), np.zeros((SIDE, SIDE), bool)
    assert not cleaner.without_fat(MIDDLE, empty).any()
    assert not cleaner.without_fluid(MIDDLE, empty).any()


class FillsItsBox(FakeBackend):
    """Takes everything inside a box, as a decoder does that fills a fissure."""

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `SamBackend.decode`."""
        logits, scores = super().decode(embeddings, boxes, None)
        return torch.where(logits == -9.0, logits, 5.0), scores


@pytest.mark.parametrize("cleaned", [True, False])
def test_a_model_says_whether_its_masks_are_cleaned(cleaned: bool) -> None:
    hu, _ = a_body()
    model = a_fake_model(backend=FillsItsBox(), masks=MaskSettings(clean_density=cleaned))
    session = Segmenter(model).open_session(volume_of(hu))
    mask = session.segment_slice(MIDDLE, Box(MIDDLE, 40, 60, 160, 140, BoxSource.EDITED)) > 0
    assert mask[np.s_[65:135, 45:85]].all()
    assert mask[np.s_[65:135, 94:106]].any() != cleaned


@pytest.mark.parametrize("source", [BoxSource.AUTO, BoxSource.EDITED])
def test_fluid_stays_in_a_box_that_a_person_set(source: BoxSource) -> None:
    hu, _ = a_body()
    session = Segmenter(a_fake_model(backend=FillsItsBox(), masks=MaskSettings(clean_density=True))).open_session(
        volume_of(hu)
    )
    mask = session.segment_slice(MIDDLE, Box(MIDDLE, 40, 60, 160, 168, source)) > 0
    assert mask[np.s_[65:135, 45:85]].all()
    assert mask[np.s_[149:161, 96:104]].any() == (source is BoxSource.EDITED)
