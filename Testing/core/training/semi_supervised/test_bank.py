"""Views of a case: drawn and encoded once, some slices alone, and what is encoded elsewhere not again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from synthetic_ct import synthetic_ct
from torch.nn import functional

from sammix_core.datasets.cases import LabelledCase
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.training.semi_supervised.bank import STRONG, WEAK, BankMaker, frame_of
from sammix_core.training.semi_supervised.pairs import moved, view_seed
from sammix_core.volume.volume import Volume

SPEC = PreprocessingSpec(size=64)


class Counting:
    """An encoder that halves the size and counts."""

    device = torch.device("cpu")
    batch = concurrency = 1

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        self.encoded += len(images)
        return functional.avg_pool2d(images, 2)


def a_case() -> LabelledCase:
    ct = synthetic_ct((5, 40, 48))
    volume = Volume(ct, (6.0, 6.0, 6.0), (10.0, -20.0, 30.0), np.eye(3))
    return LabelledCase.from_mask("anna", volume, ct > 1000)


def test_some_slices_alone_and_none_twice(tmp_path: Path) -> None:
    case, encoder = a_case(), Counting()
    bank = BankMaker(tmp_path, SPEC, encoder).make(case, 2, slices=[1, 3])
    assert (encoder.encoded, bank.slices) == (2 * 2 * 2, (1, 3))
    assert [bank.has(index) for index in range(5)] == [False, True, False, True, False]
    again = BankMaker(tmp_path, SPEC, encoder).make(case, 2, slices=[1, 3])
    assert encoder.encoded == 8
    assert np.array_equal(again.embedding(3, (STRONG, 1)), bank.embedding(3, (STRONG, 1)))
    BankMaker(tmp_path, SPEC, encoder, identity="int8").make(case, 1, slices=[1, 3])
    assert encoder.encoded == 8 + 4, "another encoder's embeddings are not these"
    whole = BankMaker(tmp_path, SPEC, encoder).make(case, 1)
    assert np.array_equal(whole.image(3, (WEAK, 0)), bank.image(3, (WEAK, 0)))


def test_plain_views_of_another_training_are_used_where_they_show_the_same(tmp_path: Path) -> None:
    case, encoder = a_case(), Counting()
    theirs = np.full((5, 1, 32, 32), 7, np.float16)
    frame = frame_of(case, SPEC)
    bank = BankMaker(tmp_path, SPEC, encoder).make(case, 1, clean=(frame, theirs))
    assert encoder.encoded == 5
    assert (bank.embedding(2, (WEAK, 0)) == 7).all()
    other = BankMaker(tmp_path, SPEC, encoder).make(case, 1, clean=(frame_of(case, PreprocessingSpec()), theirs))
    assert encoder.encoded == 10
    assert not (other.embedding(2, (WEAK, 0)) == 7).any()


def test_positions_say_where_a_view_lies_on_the_plain_slice(tmp_path: Path) -> None:
    case = a_case()
    bank = BankMaker(tmp_path, SPEC, None).make(case, 2)
    plain = np.zeros((64, 64), np.float32)
    plain[20:40, 10:30] = 1
    for number in (0, 1):
        grid = torch.from_numpy(bank.positions(2, number, 64))[None]
        seen = functional.grid_sample(torch.from_numpy(plain)[None, None], grid, align_corners=False)[0, 0].numpy()
        np.testing.assert_allclose(seen, moved(plain, number, view_seed("anna", 2, number)), atol=0.02)
