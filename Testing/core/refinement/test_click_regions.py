"""What belongs to a click, on drawn slices: a missing half, a piece too much, two sides of a vessel, other clicks."""

from __future__ import annotations

import itertools

import numpy as np

from sammix_core.refinement.click_regions import PixelClick, apply_clicks

MM = (0.8, 0.8)
LIVER, STOMACH, FAT, VESSEL = 110, 45, -100, 190


def disc(row: float, col: float, radius: float, size: int = 200) -> np.ndarray:
    rows, cols = np.indices((size, size))
    return (rows - row) ** 2 + (cols - col) ** 2 < radius**2


ORGAN, OTHER = disc(100, 80, 45), disc(100, 150, 30)


def a_slice() -> tuple[np.ndarray, np.ndarray]:
    """HU of an organ beside another one, with noise, and logits of a network that is not sure of anything."""
    hu = np.full((200, 200), FAT, float)
    hu[OTHER] = STOMACH
    hu[ORGAN] = LIVER
    noise = np.random.default_rng(0).normal(0, 12, hu.shape)
    return hu + noise, np.where(ORGAN, 0.5, -1.5)


def test_an_include_adds_the_missing_piece_and_an_exclude_takes_the_wrong_one() -> None:
    hu, logits = a_slice()
    lacking = ORGAN.copy()
    lacking[100:, 95:] = False
    missing = ORGAN & ~lacking
    mask = apply_clicks(lacking, logits, hu, [PixelClick(117, 108, True)], MM)
    assert (mask & missing).sum() > 0.7 * missing.sum()
    assert (mask & ~ORGAN).sum() < 0.1 * missing.sum()
    assert mask[lacking].all()

    piece = disc(95, 138, 14) & OTHER & ~ORGAN
    mask = apply_clicks(ORGAN | piece, logits, hu, [PixelClick(95, 138, False)], MM)
    assert (mask & piece).sum() < 0.3 * piece.sum()
    assert (ORGAN & ~mask).sum() < 0.1 * piece.sum()


def test_clicks_on_both_sides_of_a_vessel_act_apart() -> None:
    hu, logits = a_slice()
    rows = np.indices(hu.shape)[0]
    vessel = ORGAN & (abs(rows - 100) < 4)
    hu[vessel] += VESSEL - LIVER
    nothing = np.zeros_like(ORGAN)
    above, below = PixelClick(80, 80, True), PixelClick(120, 80, False)
    one = apply_clicks(nothing, logits, hu, [above], MM)
    kept_off = apply_clicks(nothing, logits, hu, [above, below], MM)
    assert (kept_off & (rows < 96)).sum() > 0.9 * (one & (rows < 96)).sum() > 500
    assert (kept_off & (rows > 104)).sum() < 0.05 * (ORGAN & (rows > 104)).sum()
    taken = apply_clicks(ORGAN, logits, hu, [above, below], MM)
    assert (taken & (rows > 104)).sum() < 0.6 * (ORGAN & (rows > 104)).sum()
    assert (taken & (rows < 96)).sum() > 0.9 * (ORGAN & (rows < 96)).sum()


def test_an_exclude_keeps_an_include_off_where_no_edge_does() -> None:
    hu, logits = a_slice()
    rows = np.indices(hu.shape)[0]
    nothing = np.zeros_like(ORGAN)
    above, below = PixelClick(80, 80, True), PixelClick(120, 80, False)
    one = apply_clicks(nothing, logits, hu, [above], MM)
    kept_off = apply_clicks(nothing, logits, hu, [above, below], MM)
    assert (one & (rows > 104)).sum() > 200
    assert (kept_off & (rows > 104)).sum() < 0.5 * (one & (rows > 104)).sum()
    assert (kept_off & (rows < 96)).sum() > 0.9 * (one & (rows < 96)).sum()


def test_the_order_of_clicks_does_not_matter_and_each_point_is_as_clicked() -> None:
    hu, logits = a_slice()
    mask = ORGAN.copy()
    mask[:90, :70] = False
    clicks = [
        PixelClick(75, 60, True),
        PixelClick(78, 64, False),
        PixelClick(100, 80, True),
        PixelClick(102, 80, False),
        PixelClick(100, 150, True),
        PixelClick(0, 199, True),
        PixelClick(0, 198, False),
    ]
    orders = itertools.islice(itertools.permutations(clicks), 0, None, 800)
    results = [apply_clicks(mask, logits, hu, order, MM) for order in orders]
    for result in results:
        np.testing.assert_array_equal(result, results[0])
    assert [bool(results[0][click.row, click.col]) for click in clicks] == [click.inside for click in clicks]


def test_what_is_far_from_a_click_stays() -> None:
    hu, logits = a_slice()
    hu[:] = LIVER  # nothing tells one pixel from another
    mask = disc(100, 20, 15)
    changed = apply_clicks(mask, np.zeros_like(logits), hu, [PixelClick(100, 60, True)], MM) != mask
    rows, cols = np.nonzero(changed)
    assert len(rows)
    assert np.hypot(rows - 100, cols - 60).max() * MM[0] <= 61
