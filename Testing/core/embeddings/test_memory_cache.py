"""The cache of embeddings: its limit, what goes first, and that nothing shows whether it was kept."""

from __future__ import annotations

import numpy as np
import torch

from sammix_core.embeddings.memory_cache import EmbeddingCache

EMBEDDING_BYTES = 8 * 4 * 4 * 2


class Counting:
    """A backend whose embedding of a slice holds numbers that float16 rounds."""

    name = "counting"
    device = torch.device("cpu")
    image_size = 16
    batch = 3
    concurrency = 1

    def __init__(self) -> None:
        self.seen: list[int] = []

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(int(images[0, 0, 0, 0]))
        return (images[:, :, :4, :4] + 1 / 3).expand(-1, 8, -1, -1)

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        raise NotImplementedError


def a_cache(kept: float) -> tuple[EmbeddingCache, Counting]:
    backend = Counting()
    image_of = lambda index: np.full((16, 16), index, np.float32)  # noqa: E731
    return EmbeddingCache(backend, image_of, int(kept * EMBEDDING_BYTES)), backend


def test_a_slice_is_encoded_once() -> None:
    cache, backend = a_cache(10)
    for index in (3, 1, 3, 3, 1):
        assert cache.embedding(index).shape == (1, 8, 4, 4)
    assert backend.seen == [3, 1]
    assert cache.encoded == 2


def test_what_was_not_used_longest_goes_first() -> None:
    cache, backend = a_cache(2)
    for index in (0, 1, 0, 2, 0, 1):  # 1 goes for 2, then 2 for 1
        cache.embedding(index)
    assert backend.seen == [0, 1, 2, 1]
    cache.embedding(0)
    assert backend.seen == [0, 1, 2, 1]
    assert cache.encoded == 4


def test_the_limit_holds_in_bytes() -> None:
    cache, backend = a_cache(2.9)
    for index in (0, 1, 2):
        cache.embedding(index)
    cache.embedding(1)
    cache.embedding(2)
    assert backend.seen == [0, 1, 2]
    cache.embedding(0)
    assert backend.seen == [0, 1, 2, 0]


def test_the_slice_at_hand_is_kept_even_past_the_limit() -> None:
    cache, backend = a_cache(0.1)
    for index in (5, 5, 6, 6, 5):
        cache.embedding(index)
    assert backend.seen == [5, 6, 5]


def test_cached_or_not_the_numbers_are_the_same() -> None:
    """What comes out has passed float16 at the first time already."""
    cache, _ = a_cache(10)
    fresh, kept = cache.embedding(7), cache.embedding(7)
    assert fresh.dtype == kept.dtype == torch.float32
    assert torch.equal(fresh, kept)
    assert torch.equal(fresh, torch.full((1, 8, 4, 4), 7 + 1 / 3).half().float())
    assert not torch.equal(fresh, torch.full((1, 8, 4, 4), 7 + 1 / 3))


def test_the_last_few_are_handed_out_again_until_they_are_dropped_or_replaced() -> None:
    cache, backend = a_cache(10)
    first = cache.embedding(7)
    assert cache.embedding(7) is first
    cache.keep(7, torch.full((1, 8, 4, 4), 0.5, dtype=torch.float16))
    assert torch.equal(cache.embedding(7), torch.full((1, 8, 4, 4), 0.5))
    cache.drop(7)
    assert torch.equal(cache.embedding(7), first)
    for index in range(6):
        cache.embedding(index)
    assert cache.embedding(7) is not first
    assert backend.seen == [7, 7, 0, 1, 2, 3, 4, 5], "all ten are still kept"


def test_an_embedding_put_in_is_used() -> None:
    cache, backend = a_cache(10)
    cache.keep(4, torch.full((1, 8, 4, 4), 0.5, dtype=torch.float16))
    assert torch.equal(cache.embedding(4), torch.full((1, 8, 4, 4), 0.5))
    assert backend.seen == []
    assert cache.encoded == 0


def test_what_is_dropped_or_replaced_frees_its_bytes() -> None:
    cache, backend = a_cache(2)
    for _ in range(5):
        cache.keep(4, torch.zeros(1, 8, 4, 4, dtype=torch.float16))
    cache.embedding(0)
    cache.drop(0)
    cache.drop(0)
    cache.drop(99)
    cache.embedding(1)
    cache.embedding(4)
    assert backend.seen == [0, 1], "slice 4 went although two have room"


def test_all_can_be_forgotten() -> None:
    cache, backend = a_cache(2)
    for index in (0, 1):
        cache.embedding(index)
    cache.clear()
    for index in (0, 1, 0, 1):
        cache.embedding(index)
    assert backend.seen == [0, 1, 0, 1]


def test_the_image_is_what_the_encoder_sees() -> None:
    cache, _ = a_cache(2)
    image = cache.image(3)
    assert image.shape == (1, 1, 16, 16)
    assert image.dtype == torch.float32
    assert (image == 3).all()


def test_several_are_encoded_at_once_and_only_those_that_are_not_kept() -> None:
    cache, backend = a_cache(10)
    cache.embedding(1)
    assert len(list(cache.ahead([0, 1, 2, 2]))) == 2
    assert backend.seen == [1, 0], "slice 0 leads a batch"
    assert cache.encoded == 3
    for index in (0, 1, 2):
        assert torch.equal(cache.embedding(index), torch.full((1, 8, 4, 4), index + 1 / 3).half().float())
    assert cache.encoded == 3
    list(cache.ahead([0, 2]))
    assert backend.seen == [1, 0]
