"""The store of views on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sammix_core.embeddings.view_store import EMBEDDINGS, IMAGES, ViewStore, encode_images, key_of
from sammix_core.errors import InputError


class Doubles:
    """An encoder whose embedding is twice the image."""

    device = torch.device("cpu")
    batch = 1
    concurrency = 1

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return 2 * images


def test_arrays_come_back_as_they_were_and_mapped(tmp_path: Path) -> None:
    store = ViewStore(tmp_path / "views")
    assert not store.has("clean", (EMBEDDINGS,))
    embeddings = np.random.default_rng(0).random((2, 3, 4, 4)).astype(np.float16)
    store.write("clean", {EMBEDDINGS: embeddings, IMAGES: np.zeros(2)})
    assert store.has("clean", (EMBEDDINGS, IMAGES))
    assert not store.has("clean", (EMBEDDINGS, "shares"))
    mapped = store.open("clean", EMBEDDINGS)
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(mapped, embeddings)
    assert not list((tmp_path / "views").glob(".*")), "nothing half-written is left"


def test_what_is_damaged_or_missing_is_read_as_nothing(tmp_path: Path) -> None:
    store = ViewStore(tmp_path)
    assert store.read("clean", EMBEDDINGS) is None
    store.write("clean", {EMBEDDINGS: np.arange(1000)})
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:500])
    assert store.read("clean", EMBEDDINGS) is None
    file.write_bytes(b"")
    assert store.read("clean", EMBEDDINGS) is None


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        ViewStore(tmp_path / "file" / "views").write("clean", {IMAGES: np.zeros(1)})


def test_the_folder_changes_with_what_the_views_depend_on(tmp_path: Path) -> None:
    first, other = (ViewStore.keyed(tmp_path, "anna", [seed, {"size": 256}]) for seed in (1, 2))
    assert first.folder != other.folder
    assert first.folder == ViewStore.keyed(tmp_path, "anna", [1, {"size": 256}]).folder
    assert first.folder.name.startswith("anna-")
    assert len(key_of(["a"], digits=64)) == 64


def test_images_are_encoded_one_by_one_to_half_precision() -> None:
    calls: list[int] = []
    images = [np.full((4, 4), value, np.float32) for value in (0.25, 0.5)]
    embeddings = encode_images(Doubles(), images, lambda: calls.append(1))
    assert (embeddings.shape, embeddings.dtype) == ((2, 1, 4, 4), np.float16)
    assert embeddings[:, 0, 0, 0].tolist() == [0.5, 1.0]
    assert len(calls) == 2
