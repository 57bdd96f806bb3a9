"""How far the three masks are apart: on the volume's own grid, where masks are, only when asked for, and in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from fake_network import FakeBackend, FakeGuidance, a_fake_model, turned_volume
from image_files import itk_geometry, rotation, write_with_itk
from made_results import a_volume
from scipy.special import expit
from synthetic_ct import synthetic_ct

from sammix_core.boxes import BoxTrack
from sammix_core.errors import InputError
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.sam.decoding import MaskSettings
from sammix_core.segmentation.review import VolumeReviewer
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume_io import MAP_SUFFIXES, check_map_output, read_volume, write_percent_map

CANONICAL = AxialOrder((2, 1, 0), (False, False, False))
TURNED = AxialOrder((2, 0, 1), (True, False, True))
CT = synthetic_ct((6, 64, 80))


def segmenter() -> Segmenter:
    return Segmenter(a_fake_model(masks=MaskSettings(mask_prompt=False)))


def test_it_costs_nothing_unless_it_is_asked_for() -> None:
    result = segmenter().segment_volume(turned_volume(CT, CANONICAL))
    assert result.mask.any()
    assert result.uncertainty is None


@pytest.fixture
def no_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three masks alone."""
    monkeypatch.setattr(VolumeReviewer, "doubts", lambda _: {})


def test_what_the_review_doubts_shows_in_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    doubt = np.zeros(CT.shape[1:], np.float32)
    doubt[3, 50] = 0.75
    monkeypatch.setattr(VolumeReviewer, "doubts", lambda _: {TURNED.slice_index(2, TURNED.back(CT).shape): doubt})
    turned = segmenter().segment_volume(turned_volume(CT, TURNED), uncertainty=True)
    assert turned.uncertainty is not None
    assert TURNED.forward(turned.uncertainty)[2, 3, 50] == 75


@pytest.mark.usefixtures("no_doubts")
def test_it_is_the_spread_of_the_three_masks_near_the_boxes() -> None:
    volume = turned_volume(CT, CANONICAL)
    result = segmenter().segment_volume(volume, uncertainty=True)
    percent = result.uncertainty
    assert percent is not None
    assert percent.shape == result.mask.shape
    assert percent.dtype == np.uint8
    assert percent.max() <= 100
    without = [k for k in range(len(CT)) if k not in result.boxes]
    assert without
    assert not percent[without].any()
    # The network's three masks are 1 apart in logits: most where the middle one is near 0.
    assert 25 < percent.max() <= round(100 * float(expit(1.0) - expit(-1.0)))
    for k, (box,) in result.boxes.items():
        i_min, j_min, i_max, j_max = box.edges
        rows, cols = np.nonzero(percent[k])
        near = 8
        assert j_min - near <= rows.min() <= rows.max() < j_max + near
        assert i_min - near <= cols.min() <= cols.max() < i_max + near


def test_it_lies_on_the_users_grid_however_a_volume_is_stored() -> None:
    straight = segmenter().segment_volume(turned_volume(CT, CANONICAL), uncertainty=True)
    turned = segmenter().segment_volume(turned_volume(CT, TURNED), uncertainty=True)
    assert straight.uncertainty is not None
    assert turned.uncertainty is not None
    assert straight.uncertainty.any()
    np.testing.assert_array_equal(TURNED.forward(turned.uncertainty), straight.uncertainty)
    np.testing.assert_array_equal(TURNED.forward(turned.mask), straight.mask)


@pytest.mark.usefixtures("no_doubts")
def test_a_slice_without_its_box_is_not_uncertain_any_more() -> None:
    session = segmenter().open_session(turned_volume(CT, CANONICAL), keep_uncertainty=True)
    session.find_boxes()
    session.segment_boxes()
    first = next(iter(session.boxes))
    session.boxes = BoxTrack(session.boxes.shape, session.boxes.slice_axis, session.boxes.every_box[1:])
    percent = session.segment_boxes().uncertainty
    assert percent is not None
    assert not percent[first].any()
    assert percent.any()


def test_every_segmented_slice_says_how_far_its_masks_agree() -> None:
    result = segmenter().segment_volume(turned_volume(CT, CANONICAL))
    for entry in result.slices:
        assert (entry.scores.agreement is None) == (not entry.boxes)
        assert entry.scores.agreement is None or 0.5 < entry.scores.agreement < 1


# A guidance that looks at images alone


class ByImage(FakeGuidance):
    needs_embeddings = False

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        assert embeddings.numel() == 0
        return super().maps(images, FakeBackend().encode(images))


def test_slices_without_a_box_are_not_encoded_for_such_a_guidance() -> None:
    volume = turned_volume(CT, CANONICAL)
    usual = Segmenter(a_fake_model()).segment_volume(volume)
    model = a_fake_model(guidance=ByImage())
    session = SegmentationSession(model, volume)
    session.find_boxes()
    assert model.backend.encoded == 0  # type: ignore[attr-defined]
    result = session.segment_boxes()
    np.testing.assert_array_equal(result.mask, usual.mask)
    assert result.slices_encoded == len(result.boxes) < usual.slices_encoded == len(CT)


# Files


@pytest.mark.parametrize("suffix", MAP_SUFFIXES)
def test_a_map_is_written_on_the_grid_of_its_volume(tmp_path: Path, suffix: str) -> None:
    path = write_with_itk(tmp_path / f"ct{suffix}", CT, (0.7, 0.8, 2.5), direction=rotation())
    volume = read_volume(path)
    percent = np.random.default_rng(0).integers(0, 101, CT.shape).astype(np.uint8)
    write_percent_map(percent, volume, tmp_path / f"u{suffix}")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"u{suffix}"))), percent)
    assert itk_geometry(tmp_path / f"u{suffix}") == itk_geometry(path)


@pytest.mark.parametrize(("name", "match"), [("u.seg.nrrd", "use .nrrd"), ("u.png", "use .nii.gz, .nii, .nrrd, .mha")])
def test_formats_that_are_refused(tmp_path: Path, name: str, match: str) -> None:
    with pytest.raises(InputError, match=match):
        check_map_output(tmp_path / name)


def test_what_is_no_map_of_this_volume_is_a_programmers_error(tmp_path: Path) -> None:
    volume = a_volume()
    for wrong in (
        np.zeros((1, 2, 3), np.uint8),
        np.zeros(volume.array.shape),
        np.full(volume.array.shape, 101, np.uint8),
    ):
        with pytest.raises(ValueError, match=r"shape|percentages"):
            write_percent_map(wrong, volume, tmp_path / "u.nrrd")
    assert list(tmp_path.iterdir()) == []
