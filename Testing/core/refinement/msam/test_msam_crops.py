"""Cubes, axes, values and clicks of M-SAM."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import write_with_itk
from small_msam import BALL_KJI, ball, write_msam_config

from sammix_core.datasets.cases import CaseConfig
from sammix_core.datasets.labels import CaseLabels
from sammix_core.errors import InputError
from sammix_core.refinement.msam.clicks import Clicks, clicks_on_errors
from sammix_core.refinement.msam.crops import HU, NORMALISED, Cube, cut_image, normalised, ras_index, to_axial, to_ras
from sammix_core.refinement.msam.prompt_encoder import ABSENT, NEGATIVE, POSITIVE
from sammix_core.training.msam.cases import CubeSettings, RasCase, draw_cubes, load_ras_case
from sammix_core.training.msam.config import MSamConfig
from sammix_core.volume.axial_order import AxialOrder


def test_ras_and_back() -> None:
    axial = np.arange(24).reshape(2, 3, 4)
    ras = to_ras(axial)
    assert ras.shape == (4, 3, 2)
    # Right, anterior, superior: the last column is the patient's left, the last row posterior.
    assert ras[0, 0, 0] == axial[0, -1, -1]
    assert ras[-1, -1, 1] == axial[1, 0, 0]
    np.testing.assert_array_equal(to_axial(ras), axial)


def test_a_click_goes_where_its_voxel_goes() -> None:
    shape = (3, 4, 5)
    array = np.arange(60).reshape(shape)
    for axes in itertools.permutations((0, 1, 2)):
        for flips in itertools.product((False, True), repeat=3):
            order = AxialOrder(axes, flips)
            ras = to_ras(order.forward(array))
            for i, j, k in ((0, 0, 0), (4, 1, 2), (1, 3, 0)):
                assert ras[ras_index(order, shape, (i, j, k))] == array[k, j, i]


@pytest.mark.parametrize("start", [(0, 0, 0), (-2, 1, 3), (4, -3, 2), (20, 0, 0)])
def test_a_cube_is_cut_and_pasted(start: tuple[int, int, int]) -> None:
    array = np.arange(1, 6 * 5 * 7 + 1).reshape(6, 5, 7)
    cube = Cube(start, 4)
    part = cube.cut(array, fill=-1)
    for index in np.ndindex(4, 4, 4):
        place = tuple(np.add(index, start))
        inside = all(0 <= one < size for one, size in zip(place, array.shape, strict=True))
        assert part[index] == (array[place] if inside else -1)
    blank = np.zeros_like(array)
    cube.paste(part, blank)
    assert ((blank == array) | (blank == 0)).all()
    assert (blank > 0).sum() == (part > 0).sum()


def test_a_cube_lies_round_its_middle() -> None:
    assert Cube.around(np.array([10.0, 10.0, 10.0]), 5).start == (8, 8, 8)
    assert Cube.around(np.array([10.0, 9.5, 0.0]), 4).start == (9, 8, -1)


def test_values_are_clamped_and_standardised_by_what_is_above_zero() -> None:
    crop = np.array([[[-3000, 100, 300, 2000]]], dtype=np.int16)
    seen = np.array([100.0, 300.0, 1000.0])
    expected = (np.array([-1000.0, 100, 300, 1000]) - seen.mean()) / seen.std()
    np.testing.assert_allclose(normalised(crop)[0, 0], expected, rtol=1e-5)
    assert np.isfinite(normalised(np.full((2, 2, 2), -1000))).all()
    own = np.array([[[-2.0, 1.0]]])
    np.testing.assert_array_equal(cut_image(own, Cube((0, 0, 0), 1), NORMALISED), [[[-2.0]]])
    assert cut_image(own, Cube((5, 0, 0), 1), NORMALISED) == -2.0, "beyond the image is what is lowest"


def test_a_case_is_read_along_ras(tmp_path: Path) -> None:
    case = load_ras_case(MSamConfig.read(write_msam_config(tmp_path)).cases[0], HU)
    assert case.mask.sum() == ball().sum()
    assert np.median(case.image[case.mask]) < 70 < np.median(case.image[~case.mask])
    # ITK's own files are LPS with i to the left, so i and j turn round.
    k, j, i = BALL_KJI
    assert case.centres.tolist() == [[23 - i, 19 - j, k]]


def test_specks_are_no_centres_and_the_largest_comes_first(tmp_path: Path) -> None:
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[2:5, 2:5, 2:5] = 1
    mask[10:16, 10:16, 10:16] = 1
    mask[19, 19, 0] = 1
    write_with_itk(tmp_path / "m.nii.gz", mask, (1.0, 1.0, 1.0))
    write_with_itk(tmp_path / "c.nii.gz", np.full(mask.shape, 50, np.int16) - 1050 * (mask == 0), (1.0, 1.0, 1.0))
    case = load_ras_case(CaseConfig("anna", tmp_path / "c.nii.gz", tmp_path / "m.nii.gz"), HU)
    assert case.centres.tolist() == [[6.5, 6.5, 12.5], [16, 16, 3]]
    lone = np.zeros_like(mask)
    lone[4, 4, 4] = 1
    write_with_itk(tmp_path / "lone.nii.gz", lone, (1.0, 1.0, 1.0))
    only = load_ras_case(CaseConfig("anna", tmp_path / "c.nii.gz", tmp_path / "lone.nii.gz"), HU)
    assert len(only.centres) == 1, "where there is nothing else a speck must do"


def test_cases_that_cannot_be_learnt_from(tmp_path: Path) -> None:
    ct = tmp_path / "c.nii.gz"
    write_with_itk(ct, np.random.default_rng(0).integers(-1000, 400, (6, 8, 8)).astype(np.int16), (1.0, 1.0, 1.0))
    for name, mask in (("empty", np.zeros((6, 8, 8), np.uint8)), ("other", np.ones((5, 8, 8), np.uint8))):
        write_with_itk(tmp_path / f"{name}.nii.gz", mask, (1.0, 1.0, 1.0))
    for name, sentence in (("empty", "no voxel of the target"), ("other", "different grids")):
        with pytest.raises(InputError, match=sentence):
            load_ras_case(CaseConfig("anna", ct, tmp_path / f"{name}.nii.gz"), HU)
    some = CaseLabels("anna", "lesion", "Made up.", (6, 8, 8), {2: np.eye(8, dtype=bool)}, frozenset({0, 1}))
    some.write(tmp_path / "some.json")
    with pytest.raises(InputError, match="leaves slices unlabelled"):
        load_ras_case(CaseConfig("anna", ct, tmp_path / "some.json"), HU)


def test_cubes_are_drawn_round_components_and_the_same_again() -> None:
    mask = np.zeros((30, 30, 30), dtype=bool)
    mask[4:8, 4:8, 4:8] = mask[20:26, 20:26, 20:26] = True
    image = np.where(mask, 40, 120).astype(np.int16)
    case = RasCase("anna", image, HU, mask, np.array([[22.5, 22.5, 22.5], [5.5, 5.5, 5.5]]))
    images, targets = draw_cubes([case], 12, CubeSettings(10, flips=True, shift=1), np.random.default_rng(4))
    assert images.shape == targets.shape == (12, 1, 10, 10, 10)
    assert images.dtype == torch.float32
    assert set(targets.flatten(1).sum(1).tolist()) == {64, 216}
    assert (images[targets] < images[~targets].max()).all()
    again = draw_cubes([case], 12, CubeSettings(10, flips=True, shift=1), np.random.default_rng(4))
    assert torch.equal(images, again[0])
    still = draw_cubes([case], 8, CubeSettings(10), np.random.default_rng(4))[1]
    assert len({tuple(one.flatten().tolist()) for one in still}) == 2, "neither moved nor turned"


def test_a_click_lies_where_the_mask_is_wrong() -> None:
    target = torch.zeros(3, 1, 6, 6, 6, dtype=torch.bool)
    target[:, :, 2:4, 2:4, 2:4] = True
    logits = torch.where(target, 1.0, -1.0)
    logits[0, 0, 2, 2, 2] = -1.0  # missed
    logits[1, 0, 5, 0, 1] = 1.0  # too much
    clicks = clicks_on_errors(logits, target, np.random.default_rng(0))
    assert clicks.labels.tolist() == [[POSITIVE], [NEGATIVE], [ABSENT]]
    assert clicks.points[:2, 0].tolist() == [[2, 2, 2], [5, 0, 1]]
    both = Clicks.none(3) + clicks + clicks
    assert both.points.shape == (3, 2, 3)
    empty = clicks_on_errors(torch.full((1, 1, 6, 6, 6), -1.0), target[:1], np.random.default_rng(1))
    assert empty.labels.item() == POSITIVE
    assert target[0, 0][tuple(empty.points[0, 0])]
