"""Samples of views: patients are drawn alike, and what is drawn is what is read."""

from __future__ import annotations

import numpy as np
import pytest
from training_views import a_view

from sammix_core.training.views import ViewSamples


def test_patients_are_drawn_alike_and_slices_by_share() -> None:
    views = [
        a_view("many", "clean", [40] * 30 + [0] * 20),
        a_view("few", "clean", [40, 0]),
        a_view("none", "clean", [0]),
    ]
    samples = ViewSamples(views, np.random.default_rng(0))
    drawn = [pair for _ in range(300) for pair in samples.draw(10)]
    positive = [(view, index) for view, index in drawn if views[view].shares[index].any()]
    assert len(positive) == 2100  # 7 of 10
    share = np.mean([view == 0 for view, _ in positive])
    assert share == pytest.approx(0.5, abs=0.05)
    negative = [view for view, index in drawn if not views[view].shares[index].any()]
    assert np.bincount(negative) / len(negative) == pytest.approx([1 / 3] * 3, abs=0.06)


def test_the_clean_view_counts_four_times() -> None:
    views = [a_view("a", "clean", [40]), a_view("a", "view-00", [40])]
    drawn = [view for view, _ in ViewSamples(views, np.random.default_rng(0)).draw(2000, positive_share=1.0)]
    assert drawn.count(0) / 2000 == pytest.approx(0.8, abs=0.04)


def test_a_sliver_is_neither_with_nor_without() -> None:
    """Less than a cell of the map: nothing to be learnt from."""
    samples = ViewSamples([a_view("a", "clean", [40, 3, 0])], np.random.default_rng(0))
    assert {index for _, index in samples.draw(200)} == {0, 2}


def test_what_was_drawn_is_what_is_read() -> None:
    samples = ViewSamples([a_view("a", "clean", [40, 20, 0])], np.random.default_rng(0))
    pairs = [(0, 2), (0, 1)]
    assert samples.embeddings(pairs)[:, 0, 0, 0].tolist() == [2, 1]
    assert samples.shares(pairs).sum((1, 2, 3)).tolist() == [0, 400]
    assert samples.shares(pairs).shape == (2, 1, 256, 256)
