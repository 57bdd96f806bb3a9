"""Part of the way: the smallest shares that cost nothing, the decoder's first."""

from __future__ import annotations

import torch

from sammix_core.training.interpolation import FROM_THE_BEGINNING, Shares, choose_shares, mixed


def chosen(score: dict[str, float]) -> Shares:
    """Shares where each step of head and decoder is worth so much."""
    return choose_shares(
        lambda shares: score["head"] * shares.head + score["decoder"] * shares.decoder,
        heads=FROM_THE_BEGINNING,
        decoders=FROM_THE_BEGINNING,
        head=1.0,
    )


def test_what_pays_goes_all_the_way_and_what_does_not_stays_where_it_began() -> None:
    assert chosen({"head": 0.1, "decoder": -0.1}) == Shares(1.0, 0.0)
    assert chosen({"head": -0.1, "decoder": 0.1}) == Shares(0.0, 1.0)
    assert chosen({"head": 0.001, "decoder": 0.004}) == Shares(0.0, 0.25), "little is not worth forgetting for"


def test_tensors_lie_between() -> None:
    part = mixed({"a": torch.zeros(2), "b": torch.ones(1)}, {"a": torch.ones(2, dtype=torch.float16)}, 0.25)
    assert list(part) == ["a"]
    assert part["a"].tolist() == [0.25, 0.25]
