"""Polygons filled by the even-odd rule, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from sammix_core.volume_io.polygon_fill import fill_even_odd


def a_square(low: float, high: float) -> np.ndarray:
    return np.array([(low, low), (high, low), (high, high), (low, high)])


def as_text(mask: np.ndarray) -> list[str]:
    return ["".join(".#"[int(pixel)] for pixel in row) for row in mask]


RING = ["######", "######", "##..##", "##..##", "######", "######"]


def test_a_hole_and_an_island_in_it() -> None:
    ring = [a_square(-0.5, 6.5), a_square(0.5, 5.5), a_square(1.5, 4.5)]
    assert as_text(fill_even_odd(ring, (7, 7))) == [
        "#######",
        "#.....#",
        "#.###.#",
        "#.###.#",
        "#.###.#",
        "#.....#",
        "#######",
    ]


def test_the_channel_of_a_keyhole_leaves_no_trace() -> None:
    """One contour: round the outline, in through a channel, round the hole, and out the same way."""
    outline, hole = a_square(-0.5, 5.5), a_square(1.5, 3.5)[::-1]
    for start, (x, y) in enumerate(hole):
        for corner, (from_x, from_y) in enumerate(outline):
            keyhole = np.concatenate(
                [
                    np.roll(outline, -corner, axis=0),
                    [(from_x, from_y)],
                    np.roll(hole, -start, axis=0),
                    [(x, y)],
                ]
            )
            assert as_text(fill_even_odd([keyhole], (6, 6))) == RING


@pytest.mark.parametrize("turned", [False, True])
def test_a_channel_along_centres_of_pixels_leaves_no_trace(turned: bool) -> None:
    keyhole = np.array(
        [(-0.5, -0.5), (5.5, -0.5), (5.5, 5.5), (-0.5, 5.5), (-0.5, 2), (1.5, 2), (1.5, 3.5), (3.5, 3.5), (3.5, 1.5),
         (1.5, 1.5), (1.5, 2), (-0.5, 2)]
    )  # fmt: skip
    assert as_text(fill_even_odd([keyhole[:, ::-1] if turned else keyhole], (6, 6))) == RING


def test_squares_side_by_side_share_no_pixel() -> None:
    left, right = a_square(0, 3), a_square(0, 3) + np.array([3, 0])
    masks = [fill_even_odd([square], (3, 6)) for square in (left, right)]
    np.testing.assert_array_equal(masks[0].astype(int) + masks[1], np.ones((3, 6)))


def test_both_ways_round_are_the_same() -> None:
    rng = np.random.default_rng(0)
    angles = np.sort(rng.random(40) * 2 * np.pi)
    star = np.column_stack([20 + 15 * rng.random(40) * np.cos(angles), 20 + 15 * rng.random(40) * np.sin(angles)])
    filled = fill_even_odd([star], (40, 40))
    np.testing.assert_array_equal(fill_even_odd([star[::-1]], (40, 40)), filled)
    # Against the definition, one ray a pixel.
    for row, column in np.ndindex(40, 40):
        crossed = 0
        for (x, y), (next_x, next_y) in zip(star, np.roll(star, -1, axis=0), strict=True):
            if (y < row) != (next_y < row):
                crossed += column > x + (row - y) / (next_y - y) * (next_x - x)
        assert filled[row, column] == crossed % 2


def test_what_lies_outside_is_cut_off() -> None:
    assert fill_even_odd([a_square(-9, 99)], (4, 5)).all()
    assert not fill_even_odd([a_square(20, 30)], (4, 5)).any()
    assert not fill_even_odd([], (4, 5)).any()
