"""HU window, body crop and resize, and the way back: what training and inference share."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sammix_core.errors import InputError
from sammix_core.preprocessing.body_crop import body_crop, volume_frame
from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.window import AIR_HU, slice_image, window

SPEC = PreprocessingSpec()
SIZE = SPEC.size


@st.composite
def frames(draw: st.DrawFn) -> tuple[Frame, tuple[int, int]]:
    """A frame on a crop that may reach past its slice, and the slice's shape."""
    shape = draw(st.tuples(st.integers(1, 600), st.integers(1, 600)))
    edges = [sorted(draw(st.tuples(st.integers(-50, n + 49), st.integers(1, n + 50)))) for n in shape]
    crop = (edges[0][0], edges[1][0], max(edges[0][1], edges[0][0] + 1), max(edges[1][1], edges[1][0] + 1))
    pixel_mm = draw(st.tuples(st.floats(0.3, 6.0), st.floats(0.3, 6.0)))
    return Frame.for_crop(crop, pixel_mm, SIZE), shape


@given(frames(), st.tuples(*[st.floats(-700, 700)] * 4))
def test_boxes_come_back_exactly(frame_and_shape: tuple[Frame, tuple[int, int]], box: tuple[float, ...]) -> None:
    frame, _ = frame_and_shape
    assert frame.box_to_slice(frame.box_to_network(box)) == pytest.approx(box, abs=1e-6)  # type: ignore[arg-type]
    assert frame.box_to_network(frame.box_to_slice(box)) == pytest.approx(box, abs=1e-6)  # type: ignore[arg-type]


def test_boxes_written_out() -> None:
    frame = Frame.for_crop((0, 0, 512, 512), (0.8, 0.8), 256)
    assert frame.box_to_network((100, 60, 300, 200)) == (50, 30, 150, 100)
    # 20 rows of 2 mm and 40 columns of 1 mm are a square; half as many columns are padded on both sides.
    assert Frame.for_crop((10, 5, 30, 45), (2, 1), 256).box_to_network((5, 10, 45, 30)) == (0, 0, 256, 256)
    assert Frame.for_crop((10, 5, 30, 25), (2, 1), 256).box_to_network((5, 10, 25, 30)) == (64, 0, 192, 256)


@given(frames())
def test_the_crop_fills_the_network_image_one_way_and_is_centred_the_other(
    frame_and_shape: tuple[Frame, tuple[int, int]],
) -> None:
    frame, _ = frame_and_shape
    crop = (frame.col0, frame.row0, frame.col0 + frame.cols, frame.row0 + frame.rows)
    x_min, y_min, x_max, y_max = frame.box_to_network(crop)
    assert max(x_max - x_min, y_max - y_min) == pytest.approx(SIZE)
    assert x_min + x_max == pytest.approx(SIZE)
    assert y_min + y_max == pytest.approx(SIZE)
    assert min(x_min, y_min) > -1e-6


def disc(shape: tuple[int, int], pixel_mm: tuple[float, float], centre_mm: tuple[float, float], radius_mm: float):
    rows, cols = ((np.arange(n) + 0.5) * mm - c for n, mm, c in zip(shape, pixel_mm, centre_mm, strict=True))
    return rows[:, None] ** 2 + cols[None, :] ** 2 < radius_mm**2


@pytest.mark.parametrize("pixel_mm", [(1.0, 1.0), (2.0, 0.7), (0.7, 2.0), (5.0, 0.8)])
def test_a_disc_in_millimetres_is_a_disc_for_the_network(pixel_mm: tuple[float, float]) -> None:
    shape = tuple(round(300 / mm) for mm in pixel_mm)
    image = disc(shape, pixel_mm, (140, 120), 80).astype(np.float32)
    frame = Frame.for_crop((0, 0, *shape), pixel_mm, SIZE)
    network = frame.to_network(image, 0.0)
    rows, cols = np.mgrid[:SIZE, :SIZE] + 0.5
    centre = [(network * place).sum() / network.sum() for place in (rows, cols)]
    assert centre == pytest.approx([140 / 300 * SIZE, 120 / 300 * SIZE], abs=1.5)
    spread = [
        math.sqrt((network * (place - c) ** 2).sum() / network.sum())
        for place, c in zip((rows, cols), centre, strict=True)
    ]
    # A disc's spread along any direction is half its radius.
    assert spread == pytest.approx([40 / 300 * SIZE] * 2, rel=0.03)


@settings(max_examples=30, deadline=None)
@given(frames(), st.floats(-5, 5))
def test_a_constant_slice_stays_constant_up_to_its_borders(
    frame_and_shape: tuple[Frame, tuple[int, int]], value: float
) -> None:
    frame, shape = frame_and_shape
    network = frame.to_network(np.full(shape, value, np.float32), fill=value)
    np.testing.assert_allclose(network, value, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(frames())
def test_outside_the_slice_is_fill_and_the_edge_lies_between(frame_and_shape: tuple[Frame, tuple[int, int]]) -> None:
    frame, shape = frame_and_shape
    network = frame.to_network(np.ones(shape, np.float32), fill=0.0)
    assert network.min() > -1e-5
    assert network.max() < 1 + 1e-5
    x_min, y_min, x_max, y_max = frame.box_to_network((0, 0, shape[1], shape[0]))
    # The filter reaches one slice pixel, or one network pixel where that is larger.
    reach_x, reach_y = max(1, frame.scale_x) + 0.5, max(1, frame.scale_y) + 0.5
    centres = np.arange(SIZE) + 0.5
    inside = ((centres > y_min + reach_y) & (centres < y_max - reach_y))[:, None] & (
        (centres > x_min + reach_x) & (centres < x_max - reach_x)
    )
    outside = ((centres < y_min - reach_y) | (centres > y_max + reach_y))[:, None] | (
        (centres < x_min - reach_x) | (centres > x_max + reach_x)
    )
    np.testing.assert_allclose(network[inside], 1, atol=1e-5)
    np.testing.assert_allclose(network[outside], 0, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(frames(), st.sampled_from([1, 64, 256]))
def test_a_constant_map_stays_constant_and_fills_the_rest(
    frame_and_shape: tuple[Frame, tuple[int, int]], resolution: int
) -> None:
    frame, shape = frame_and_shape
    found = frame.to_slice(np.full((resolution, resolution), 3.5, np.float32), shape, fill=-7.0)
    assert found.shape == shape
    assert (np.isclose(found, 3.5, atol=1e-5) | (found == -7)).all()
    rows, cols = (
        slice(max(0, low), max(0, low + n)) for low, n in ((frame.row0, frame.rows), (frame.col0, frame.cols))
    )
    assert (found[rows, cols] > 0).all(), "a pixel of the crop got no value"


@pytest.mark.parametrize(
    ("shape", "pixel_mm"),
    [
        ((512, 512), (0.8, 0.8)),
        ((768, 768), (0.57, 0.57)),
        ((101, 122), (3.0, 3.0)),
        ((128, 512), (3.2, 0.8)),
        ((400, 200), (1.0, 2.0)),
    ],
)
def test_a_mask_comes_back_from_the_network(shape: tuple[int, int], pixel_mm: tuple[float, float]) -> None:
    """Two thirds of the way across a slice of about 400 mm: a large lobe with a bay, as livers have."""
    rows, cols = ((np.arange(n) + 0.5) * mm for n, mm in zip(shape, pixel_mm, strict=True))
    lobe = ((rows[:, None] - 150) / 70) ** 2 + ((cols[None, :] - 130) / 90) ** 2 < 1
    mask = lobe & ~disc(shape, pixel_mm, (190, 190), 40)
    height, width = (n * mm for n, mm in zip(shape, pixel_mm, strict=True))
    crop = (int(10 / pixel_mm[0]), 0, int((height - 20) / pixel_mm[0]), int(width / pixel_mm[1]))
    frame = Frame.for_crop(crop, pixel_mm, SIZE)
    back = frame.to_slice(frame.to_network(mask.astype(np.float32), 0.0), shape, fill=-1.0) > 0.5
    dice = 2 * (back & mask).sum() / (back.sum() + mask.sum())
    assert dice > 0.97


def test_a_mask_is_looked_up_at_the_centres_of_cells() -> None:
    """Four cells over a crop of 8 x 4 pixels that reaches two rows past the slice: written out."""
    frame = Frame.for_crop((2, 0, 10, 4), (1.0, 1.0), SIZE)  # eight rows, so four columns lie in the middle half
    mask = np.zeros((8, 4), dtype=bool)
    mask[3] = mask[:, 3] = True
    # Cells are two pixels; their centres lie on the pixel edges 3, 5, 7, 9 and -1, 1, 3, 5.
    expected = [[False, True, True, False], [False, False, True, False], [False, False, True, False], [False] * 4]
    assert frame.at_cells(mask, 4).tolist() == expected


def test_looking_a_mask_up_agrees_with_averaging_it() -> None:
    rows, cols = np.mgrid[:400, :512]
    mask = ((rows - 180) / 120) ** 2 + ((cols - 200) / 150) ** 2 < 1
    frame = Frame.for_crop((20, 10, 380, 500), (0.9, 0.7), SIZE)
    averaged = frame.to_network(mask.astype(np.float32), 0.0).reshape(64, 4, 64, 4).mean((1, 3)) > 0.5
    found = frame.at_cells(mask, 64)
    assert 2 * (averaged & found).sum() / (averaged.sum() + found.sum()) > 0.98


def test_the_window() -> None:
    hu = np.array([-3024, -2048, -1024, -160, -60, 40, 240, 3071], np.int16)
    assert window(hu, SPEC).tolist() == [0, 0, 0, 0, 0.25, 0.5, 1, 1]
    assert window(hu, SPEC).dtype == np.float32


def test_padding_outside_the_scan_circle_ends_at_0_and_bleeds_nowhere() -> None:
    """Windowed before it is resized, -3024 counts as much as air does."""
    circle = disc((200, 200), (2, 2), (200, 200), 190)
    body = disc((200, 200), (2, 2), (200, 200), 120)
    plain = np.where(body, 60, AIR_HU).astype(np.int16)
    padded = np.where(circle, plain, -3024).astype(np.int16)
    frames = [volume_frame(one[None], (2.0, 2.0), SPEC) for one in (plain, padded)]
    assert frames[0] == frames[1]
    images = [slice_image(one, frames[0], SPEC) for one in (plain, padded)]
    np.testing.assert_array_equal(images[0], images[1])
    assert images[1][0, 0] == 0


# The body crop


def phantom(
    pixel_mm: float,
    body_mm: tuple[float, float] = (260.0, 360.0),
    centre_mm: tuple[float, float] = (230.0, 250.0),
    field_mm: float = 500.0,
    table: bool = True,
    arms_mm: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """HU of one slice (row, col) and the trunk's mask: an ellipse, with a table below it and arms beside it."""
    count = round(field_mm / pixel_mm)
    rows, cols = np.meshgrid(*[(np.arange(count) + 0.5) * pixel_mm] * 2, indexing="ij")
    trunk = ((rows - centre_mm[0]) / body_mm[0]) ** 2 + ((cols - centre_mm[1]) / body_mm[1]) ** 2 < 0.25
    hu = np.where(trunk, 40.0, -1000.0)
    below = centre_mm[0] + body_mm[0] / 2 + 15
    if table:  # a curved shell of 5 mm, and the mattress, too light to count
        height = below + (cols - centre_mm[1]) ** 2 / 1500
        hu[(rows > height) & (rows < height + 5) & (abs(cols - centre_mm[1]) < 220)] = 200
    for side in (-1, 1):
        if arms_mm:
            place = centre_mm[1] + side * (body_mm[1] / 2 + 8 + arms_mm / 2)
            hu[(rows - centre_mm[0]) ** 2 + (cols - place) ** 2 < arms_mm**2 / 4] = 50
    return hu.astype(np.int16), trunk


def tight(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1


def holds(crop: tuple[int, ...], box: tuple[int, ...]) -> bool:
    return crop[0] <= box[0] and crop[1] <= box[1] and crop[2] >= box[2] and crop[3] >= box[3]


@pytest.mark.parametrize("pixel_mm", [0.6, 0.98, 3.0])
def test_the_body_is_found_without_its_table(pixel_mm: float) -> None:
    hu, trunk = phantom(pixel_mm)
    crop = body_crop(hu[None], (pixel_mm, pixel_mm), 10.0)
    box = tight(trunk)
    assert holds(crop, box)
    # 10 mm of margin, and what the coarse grid on which the body is looked for adds
    assert holds(tuple(edge + d for edge, d in zip(box, np.array([-1, -1, 1, 1]) * 20 / pixel_mm, strict=True)), crop)


@settings(max_examples=40, deadline=None)
@given(
    pixel_mm=st.sampled_from([0.6, 0.8, 0.98, 1.5, 3.0]),
    body=st.tuples(st.floats(120, 300), st.floats(160, 420)),
    centre=st.tuples(st.floats(160, 260), st.floats(180, 320)),
    table=st.booleans(),
    arms=st.sampled_from([0.0, 70.0, 110.0]),
)
def test_the_body_is_never_cut(
    pixel_mm: float, body: tuple[float, float], centre: tuple[float, float], table: bool, arms: float
) -> None:
    """Bodies that reach past the field of view included."""
    hu, trunk = phantom(pixel_mm, body, centre, table=table, arms_mm=arms)
    crop = body_crop(np.stack([np.full_like(hu, -1000), hu]), (pixel_mm, pixel_mm), 10.0)
    assert holds(crop, tight(trunk))
    assert holds((0, 0, *hu.shape), crop)


def test_a_trunk_in_two_pieces_is_kept_whole() -> None:
    left, one = phantom(1.5, body_mm=(160, 150), centre_mm=(230, 140), table=False)
    right, other = phantom(1.5, body_mm=(150, 130), centre_mm=(240, 370), table=False)
    crop = body_crop(np.maximum(left, right)[None], (1.5, 1.5), 10.0)
    assert holds(crop, tight(one | other))


def test_one_crop_holds_the_body_of_all_slices() -> None:
    slices = [phantom(2.0, centre_mm=(200 + 2 * k, 220 + 3 * k)) for k in range(12)]
    crop = body_crop(np.stack([hu for hu, _ in slices]), (2.0, 2.0), 10.0)
    assert all(holds(crop, tight(trunk)) for _, trunk in slices)


def test_only_air_and_a_table_keep_the_whole_slice() -> None:
    empty = np.full((3, 80, 100), -1000, np.int16)
    assert body_crop(empty, (3.0, 3.0), 10.0) == (0, 0, 80, 100)
    table = empty.copy()
    table[:, 70:72] = 100
    assert body_crop(table, (3.0, 3.0), 10.0) == (0, 0, 80, 100)


def test_a_model_may_want_no_crop() -> None:
    hu, _ = phantom(2.0)
    frame = volume_frame(hu[None], (2.0, 2.0), PreprocessingSpec(body_crop=False))
    assert frame == Frame.for_crop((0, 0, *hu.shape), (2.0, 2.0), SIZE)
    assert volume_frame(hu[None], (2.0, 2.0), SPEC) != frame


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 300), (1, 300, 1), (3, 2, 300), (2, 300, 2), (1, 5, 5)])
@pytest.mark.parametrize("hu", [-1000, 40])
def test_thin_slices_pass(shape: tuple[int, int, int], hu: int) -> None:
    axial = np.full(shape, hu, np.int16)
    frame = volume_frame(axial, (0.7, 1.1), SPEC)
    image = slice_image(axial[0], frame, SPEC)
    assert image.shape == (SIZE, SIZE)
    # A line thinner than a network pixel is mixed with the air beside it, but does not vanish.
    assert (0.05 < image.max() < 0.5 + 1e-5) if hu == 40 else image.max() == 0
    back = frame.to_slice(image, shape[1:], fill=-1.0)
    assert back.shape == shape[1:]
    assert back.min() >= 0


def test_the_same_slice_in_another_memory_order_gives_the_same_image() -> None:
    """Volumes are turned by views; the image must not depend on how a slice lies in memory."""
    hu = np.random.default_rng(0).integers(-200, 300, (90, 70)).astype(np.int16)
    frame = Frame.for_crop((3, 2, 85, 70), (1.0, 1.3), SIZE)
    expected = slice_image(hu, frame, SPEC)
    turned = np.ascontiguousarray(hu.T).T
    mirrored = np.ascontiguousarray(hu[::-1, ::-1])[::-1, ::-1]
    for same in (turned, mirrored):
        np.testing.assert_array_equal(slice_image(same, frame, SPEC), expected)


def test_the_spec_goes_through_a_manifest() -> None:
    spec = PreprocessingSpec(window_level=50.0, body_crop=False)
    assert PreprocessingSpec.from_dict(spec.to_dict()) == spec
    with pytest.raises(InputError, match="The model's preprocessing has the unknown key 'gamma'"):
        PreprocessingSpec.from_dict({**spec.to_dict(), "gamma": 2})


def test_a_ct_cut_close_is_padded_to_the_least_extent_evenly() -> None:
    hu = np.full((3, 100, 80), 40, dtype=np.int16)
    spec = PreprocessingSpec(body_crop=False, least_extent_mm=300.0)
    frame = volume_frame(hu, (2.0, 2.0), spec)
    assert (frame.row0, frame.col0, frame.rows, frame.cols) == (-25, -25, 150, 130)
    assert frame.scale_y == pytest.approx(256 / 150)
    wide = volume_frame(hu, (4.0, 4.0), spec)
    assert (wide.row0, wide.col0, wide.rows, wide.cols) == (0, 0, 100, 80)


@pytest.mark.parametrize(("cut_edges", "rows"), [(0, 100), (1, 100), (2, 150), (4, 150)])
def test_without_spacing_a_body_cut_by_two_edges_is_padded_by_half(cut_edges: int, rows: int) -> None:
    hu = np.full((3, 100, 100), -1000, dtype=np.int16)
    hu[:, 20:80, 20:80] = 40
    reach = [np.s_[:, :20, 20:80], np.s_[:, 80:, 20:80], np.s_[:, 20:80, :20], np.s_[:, 20:80, 80:]]
    for place in reach[:cut_edges]:
        hu[place] = 40
    frame = volume_frame(hu, (1.0, 1.0), PreprocessingSpec(body_crop=False), spacing_known=False)
    assert frame.rows == rows
