"""Embeddings on disk: found again by what the encoder saw, by nobody else, and never more than the limit."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_network import FakeBackend, a_fake_model, turned_volume
from synthetic_ct import synthetic_ct

from sammix_core.embeddings.disk_store import EmbeddingStore
from sammix_core.engines.cache_folder import CacheFolder
from sammix_core.segmentation.result import SegmentationResult
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_sampling import EVERY_SLICE
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

IMAGE = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
EMBEDDING = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(0)).half()


def a_store(path: Path, encoder: str = "an encoder", limit: int = 10**6) -> EmbeddingStore:
    return EmbeddingStore(encoder, CacheFolder(path, limit))


def test_what_was_kept_comes_back_bit_for_bit(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    assert store.get(IMAGE) is None
    store.put(IMAGE, EMBEDDING)
    found = a_store(tmp_path).get(IMAGE.clone())
    assert found is not None
    assert found.dtype == torch.float16
    assert torch.equal(found, EMBEDDING)


def test_another_image_or_encoder_does_not_find_it(tmp_path: Path) -> None:
    a_store(tmp_path).put(IMAGE, EMBEDDING)
    other = IMAGE.clone()
    other[0, 0, 3, 5] += 1e-6
    assert a_store(tmp_path).get(other) is None
    assert a_store(tmp_path).get(IMAGE.reshape(1, 1, 8, 32)) is None
    assert a_store(tmp_path, "the same encoder in int8").get(IMAGE) is None


def test_another_version_does_not_find_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_store(tmp_path).put(IMAGE, EMBEDDING)
    monkeypatch.setattr("sammix_core.embeddings.disk_store.__version__", "99")
    assert a_store(tmp_path).get(IMAGE) is None


def test_damage_is_noticed(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    store.put(IMAGE, EMBEDDING)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert store.get(IMAGE) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        a_store(tmp_path / "here").put(IMAGE, EMBEDDING)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "here").stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "here").iterdir()] == [0o600]


def test_the_disk_is_not_filled(tmp_path: Path) -> None:
    one = EMBEDDING.nbytes + 16 + 32
    store = a_store(tmp_path, limit=2 * one)
    for value in range(5):
        store.put(torch.full_like(IMAGE, value), EMBEDDING)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2 * one
    assert store.get(torch.full_like(IMAGE, 4)) is not None


def segmented(volume: Volume, path: Path) -> tuple[SegmentationResult, FakeBackend]:
    model = a_fake_model()
    session = SegmentationSession(model, volume, sampling=EVERY_SLICE, store=a_store(path, limit=10**9))
    session.find_boxes()
    assert isinstance(model.backend, FakeBackend)
    return session.segment_boxes(), model.backend


def test_a_second_session_encodes_nothing_and_gives_the_same_mask(tmp_path: Path) -> None:
    volume = turned_volume(synthetic_ct((7, 75, 100)), AxialOrder((2, 1, 0), (False, False, False)))
    first, encoder = segmented(volume, tmp_path)
    assert encoder.encoded == first.slices_encoded == 7
    second, encoder = segmented(volume, tmp_path)
    assert encoder.encoded == second.slices_encoded == 0
    assert first.mask.any()
    np.testing.assert_array_equal(second.mask, first.mask)


def test_one_changed_slice_is_encoded_again_alone(tmp_path: Path) -> None:
    order = AxialOrder((2, 1, 0), (False, False, False))
    axial = synthetic_ct((7, 75, 100))
    segmented(turned_volume(axial, order), tmp_path)
    axial[2, 30:40, 30:40] += 50
    _, encoder = segmented(turned_volume(axial, order), tmp_path)
    assert encoder.encoded == 1
