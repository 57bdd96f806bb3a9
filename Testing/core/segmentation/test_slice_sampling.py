"""Slices that go without the encoder: which they are, what they get instead, and when they are encoded after all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from fake_network import FakeBackend, a_fake_model, turned_volume
from synthetic_ct import synthetic_ct

from sammix_core.boxes import Box, BoxSource
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.segmentation.result import SegmentationResult
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_sampling import (
    DEFAULT_SAMPLING,
    EVERY_SLICE,
    SliceSampling,
    interpolate_maps,
    sample_slices,
)
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

CANONICAL = AxialOrder((2, 1, 0), (False, False, False))


def a_volume(slice_mm: float, slices: int = 41, empty: int = 0) -> Volume:
    """The made CT with as many slices without liver below and above it as are asked for."""
    axial = synthetic_ct((slices, 75, 100))
    nothing = np.repeat(np.where(axial[:1] > -500, -80, axial[:1]).astype(axial.dtype), empty, axis=0)
    return turned_volume(np.concatenate([nothing, axial, nothing]), CANONICAL, (slice_mm, 1.6, 1.1))


def opened(volume: Volume, sampling: SliceSampling) -> tuple[SegmentationSession, FakeBackend]:
    model = a_fake_model()
    assert isinstance(model.backend, FakeBackend)
    return SegmentationSession(model, volume, sampling=sampling), model.backend


def segmented(volume: Volume, sampling: SliceSampling) -> tuple[SegmentationResult, FakeBackend, SegmentationSession]:
    session, backend = opened(volume, sampling)
    session.find_boxes()
    return session.segment_boxes(), backend, session


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize(
    ("slice_mm", "stride"),
    [(0.5, 6), (1.0, 3), (1.25, 2), (1.6, 2), (1.60000002, 2), (2.0, 1), (2.4, 1), (2.5, 1), (3.0, 1), (5.0, 1)],
)
def test_thin_slices_are_encoded_every_three_millimetres_or_so(slice_mm: float, stride: int) -> None:
    assert DEFAULT_SAMPLING.stride(slice_mm, spacing_known=True) == stride


def test_nothing_is_thin_where_the_spacing_was_lost() -> None:
    assert DEFAULT_SAMPLING.stride(1.0, spacing_known=False) == 1
    assert EVERY_SLICE.stride(0.5, spacing_known=True) == EVERY_SLICE.step(0.5, spacing_known=True) == 1


def test_the_search_goes_on_as_long_as_it_finds_something_and_looks_once() -> None:
    looked: list[int] = []

    def look(indices: Sequence[int]) -> list[float]:
        looked.extend(indices)
        return [0.9 if 13 <= index <= 22 else 0.0 for index in indices]

    seen = sample_slices(60, 5, look)
    assert len(looked) == len(set(looked))
    assert set(looked) == seen == {*range(0, 60, 5), 59, *range(8, 28)}


def test_maps_between_are_linear() -> None:
    seen = {
        place: GuidanceMaps(np.full((1, 2, 2), float(place), np.float32), np.array([place / 10], np.float32))
        for place in (0, 4, 6)
    }
    maps = interpolate_maps(seen, 7)
    np.testing.assert_allclose(maps.cam_logits[:, 0, 0], range(7))
    np.testing.assert_allclose(maps.probabilities, np.arange(7) / 10, rtol=1e-6)


def test_far_slices_are_not_encoded_and_the_mask_is_the_same() -> None:
    volume = a_volume(4.0, slices=13, empty=30)
    full, every, _ = segmented(volume, EVERY_SLICE)
    sparse, some, _ = segmented(volume, DEFAULT_SAMPLING)
    assert every.encoded == full.slices_encoded == 73
    assert some.encoded == sparse.slices_encoded < 42
    assert full.mask.any()
    np.testing.assert_array_equal(sparse.mask, full.mask)


def test_thin_slices_cost_a_part_of_the_encoding_and_no_slice_is_missed() -> None:
    """Counted work of the usual way; it may become less, and more is a step back."""
    volume = a_volume(1.0, slices=81)
    full, every, whole = segmented(volume, EVERY_SLICE)
    sparse, some, session = segmented(volume, DEFAULT_SAMPLING)
    assert (every.encoded, whole.decoded) == (81, 57)
    assert some.encoded <= 30
    assert session.decoded <= 25
    missed = full.mask.any((1, 2)) & ~sparse.mask.any((1, 2))
    assert not missed.any()
    assert dice(full.mask > 0, sparse.mask > 0) > 0.965


def test_a_thin_slice_that_is_edited_is_encoded_and_stands_for_itself() -> None:
    volume = a_volume(1.0)
    session, backend = opened(volume, DEFAULT_SAMPLING)
    session.find_boxes()
    session.segment_boxes()
    skipped = next(k for k in range(15, 25) if session._finder.anchors_of(k) is not None)
    before, encoded = session.slices.mask().copy(), backend.encoded
    (found,) = session.boxes[skipped]
    edited = Box(skipped, found.i_min, found.j_min, found.i_max, found.j_max, BoxSource.EDITED)
    session.segment_slice(skipped, edited)
    assert backend.encoded == encoded + 1
    after = session.slices.mask()
    assert not np.array_equal(after[skipped], before[skipped])
    np.testing.assert_array_equal(np.delete(after, skipped, 0), np.delete(before, skipped, 0))
    # As if every slice had been encoded from the start.
    whole, _ = opened(volume, EVERY_SLICE)
    whole.find_boxes()
    assert dice(whole.segment_slice(skipped, edited) > 0, after[skipped] > 0) > 0.99


def test_a_skipped_slice_is_encoded_when_it_is_prepared() -> None:
    session, backend = opened(a_volume(4.0, slices=13, empty=30), DEFAULT_SAMPLING)
    session.find_boxes()
    encoded = backend.encoded
    session.prepare_slice(2)
    session.prepare_slice(2)
    assert backend.encoded == encoded + 1


def test_twice_is_the_same_mask() -> None:
    volume = a_volume(1.0)
    np.testing.assert_array_equal(
        segmented(volume, DEFAULT_SAMPLING)[0].mask, segmented(volume, DEFAULT_SAMPLING)[0].mask
    )
