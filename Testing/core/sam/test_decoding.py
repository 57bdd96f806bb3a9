"""From prompts to one mask a slice: the choice among three, the prompt, the tidying."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sammix_core.errors import InputError
from sammix_core.sam.decoding import (
    DecodedSlices,
    MaskSettings,
    cam_agreement,
    clean_slice,
    decode_slices,
    dense_prompt,
    soft_agreement,
)

EVERYWHERE = (0.0, 0.0, 30.0, 20.0)


def drawn(*rows: str) -> np.ndarray:
    """A mask from a drawing: # is inside."""
    return np.array([[letter == "#" for letter in row] for row in rows])


def shown(mask: np.ndarray) -> list[str]:
    return ["".join(".#"[int(value)] for value in row) for row in mask]


# Tidying one slice


def test_a_mask_ends_at_its_box() -> None:
    mask = np.ones((6, 8), bool)
    assert shown(clean_slice(mask, (2.0, 1.0, 6.0, 4.0), None)) == [
        "........",
        "..####..",
        "..####..",
        "..####..",
        "........",
        "........",
    ]


def test_a_pixel_belongs_to_the_box_that_holds_its_centre() -> None:
    mask = np.ones((1, 6), bool)
    assert shown(clean_slice(mask, (1.4, 0.0, 4.6, 1.0), None)) == [".####."]
    assert shown(clean_slice(mask, (1.6, 0.0, 4.4, 1.0), None)) == ["..##.."]


def test_holes_are_filled_and_bays_are_not() -> None:
    mask = drawn(
        "#######",
        "#.#...#",
        "#.#...#",
        "###.###",
        "..#.#..",
    )
    assert shown(clean_slice(mask, EVERYWHERE, None)) == [
        "#######",
        "###...#",
        "###...#",
        "###.###",
        "..#.#..",
    ]


def two_pieces() -> np.ndarray:
    mask = np.zeros((20, 30), bool)
    mask[2:16, 2:14] = True
    mask[5:12, 18:26] = True
    return mask


def test_a_piece_that_the_map_does_not_support_goes() -> None:
    mask = two_pieces()
    support = np.zeros(mask.shape, bool)
    support[4:14, 4:12] = True
    cleaned = clean_slice(mask, EVERYWHERE, support)
    assert cleaned[:, :15].sum() == 14 * 12
    assert not cleaned[:, 15:].any()


def test_both_pieces_that_the_map_supports_stay() -> None:
    mask = two_pieces()
    np.testing.assert_array_equal(clean_slice(mask, EVERYWHERE, mask), mask)


def test_a_piece_that_the_map_only_grazes_goes() -> None:
    mask = two_pieces()
    support = np.zeros(mask.shape, bool)
    support[2:16, 2:20] = True  # reaches 2 of 8 columns into the smaller piece
    assert clean_slice(mask, EVERYWHERE, support)[:, 18:].any()
    support[:, 19] = False  # 1 of 8: less than a fifth
    assert not clean_slice(mask, EVERYWHERE, support)[:, 18:].any()


def test_a_persons_box_keeps_its_pieces_without_support() -> None:
    mask = two_pieces()
    np.testing.assert_array_equal(clean_slice(mask, EVERYWHERE, None), mask)


def test_specks_go_with_support_and_without() -> None:
    mask = two_pieces()
    mask[18, 28] = True
    for support in (None, mask):
        np.testing.assert_array_equal(clean_slice(mask, EVERYWHERE, support), two_pieces())


def test_support_that_misses_the_mask_takes_nothing_away() -> None:
    """The map may be a little off; an empty mask on a slice with liver would be worse."""
    mask = two_pieces()
    support = np.zeros(mask.shape, bool)
    support[18:, :] = True
    np.testing.assert_array_equal(clean_slice(mask, EVERYWHERE, support), mask)


@pytest.mark.parametrize("support", [None, np.ones((20, 30), bool)])
def test_nothing_stays_nothing(support: np.ndarray | None) -> None:
    empty = np.zeros((20, 30), bool)
    assert not clean_slice(empty, EVERYWHERE, support).any()
    assert not clean_slice(two_pieces(), (27.0, 17.0, 30.0, 20.0), support).any()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.tuples(*[st.floats(-5, 35)] * 4), st.booleans())
def test_what_is_added_fills_holes_and_all_lies_in_the_box(
    seed: int, box: tuple[float, float, float, float], with_support: bool
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((20, 30)) < 0.6
    before = mask.copy()
    cleaned = clean_slice(mask, box, rng.random(mask.shape) < 0.5 if with_support else None)
    rows, cols = np.mgrid[:20, :30] + 0.5
    inside = (cols > box[0]) & (cols < box[2]) & (rows > box[1]) & (rows < box[3])
    assert not cleaned[~inside].any()
    np.testing.assert_array_equal(mask, before)
    if (mask & inside).any():
        assert cleaned.any()


# The choice among three


class Three:
    """A backend with three flat masks at -1, 3 and 1 and the given scores; it remembers its prompts."""

    name = "three"
    device = torch.device("cpu")
    image_size = 16
    batch = 1
    concurrency = 1

    def __init__(self, *scores: tuple[float, float, float]) -> None:
        self._scores = torch.tensor(scores)
        self.boxes: list[torch.Tensor] = []
        self.prompts: list[torch.Tensor | None] = []

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.boxes.append(boxes)
        self.prompts.append(mask_logits)
        flat = torch.tensor([-1.0, 3.0, 1.0])[None, :, None, None]
        return flat.expand(len(boxes), 3, 16, 16).clone() + len(self.prompts) - 1, self._scores


EMBEDDINGS = torch.zeros(2, 8, 4, 4)
BOXES = np.array([[1, 2, 9, 10], [0, 0, 16, 16.0]])
SCORES = ((0.2, 0.3, 0.9), (0.8, 0.7, 0.1))


def decoded(backend: Three, cam: np.ndarray | None = None, **changes: object) -> DecodedSlices:
    settings = MaskSettings(**changes)  # type: ignore[arg-type]
    return decode_slices(backend, EMBEDDINGS, BOXES, cam, settings)


@pytest.mark.parametrize(
    ("choice", "values", "chosen"),
    [("score", [1, -1], [2, 0]), ("first", [-1, -1], [0, 0]), ("mean", [1, 1], [-1, -1])],
)
def test_the_choice(choice: str, values: list[float], chosen: list[int]) -> None:
    found = decoded(Three(*SCORES), choice=choice)
    assert found.logits.shape == (2, 16, 16)
    assert found.logits[:, 0, 0].tolist() == values
    assert found.chosen.tolist() == chosen
    np.testing.assert_allclose(found.scores, SCORES)


def test_all_three_are_kept_for_uncertainty() -> None:
    found = decoded(Three(*SCORES))
    assert found.all_logits.shape == (2, 3, 16, 16)
    assert found.all_logits[0, :, 0, 0].tolist() == [-1, 3, 1]


def test_agreement_is_what_all_three_share() -> None:
    logits = np.full((2, 3, 4, 5), -1.0)
    logits[0, 0, :, :2] = logits[0, 1, :, :4] = logits[0, 2, :, 1:3] = 1  # share column 1 of columns 0 to 3
    found = DecodedSlices(logits[:, 0], logits, np.zeros((2, 3)), np.zeros(2, int))
    assert found.agreement(0) == 0.25
    assert found.agreement(1) == 1.0


def test_disagreement_is_the_spread_of_the_three_probabilities() -> None:
    logits = np.zeros((1, 3, 1, 3))
    logits[0, :, 0, 0] = 2.0  # all agree
    logits[0, :, 0, 1] = -40.0, 0.0, 40.0
    logits[0, :, 0, 2] = 0.0, np.log(3), 0.0  # 0.5, 0.75, 0.5
    found = DecodedSlices(logits[:, 0], logits, np.zeros((1, 3)), np.zeros(1, int))
    np.testing.assert_allclose(found.disagreement(0), [[0.0, 1.0, 0.25]], atol=1e-6)


class Halves(Three):
    """Its masks fill the left half, the right half and everything; the first scores best."""

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        masks = torch.full((len(boxes), 3, 16, 16), -9.0)
        masks[:, 0, :, :8] = masks[:, 1, :, 8:] = masks[:, 2] = 9.0
        return masks, self._scores


@pytest.mark.parametrize(("columns", "chosen"), [(slice(0, 2), 0), (slice(2, 4), 1), (slice(0, 4), 2)])
def test_the_choice_by_the_map_takes_the_mask_that_agrees_with_it(columns: slice, chosen: int) -> None:
    cam = np.full((2, 4, 4), -9.0, np.float32)
    cam[:, :, columns] = 9.0
    scores = ((0.9, 0.5, 0.1),) * 2
    found = decoded(Halves(*scores), cam, choice="cam")
    assert found.chosen.tolist() == [chosen, chosen]
    np.testing.assert_array_equal(found.logits, found.all_logits[:, chosen])
    assert decoded(Halves(*scores), cam, choice="score").chosen.tolist() == [0, 0]


def test_without_a_map_the_choice_by_it_is_the_one_by_score() -> None:
    assert decoded(Three(*SCORES), choice="cam").chosen.tolist() == [2, 0]


def test_agreement_with_the_map_is_soft_dice() -> None:
    masks = torch.tensor([-40.0, 40.0]).repeat(1, 1, 2, 1)  # the right column of 2 x 2 pixels
    cam = torch.full((1, 1, 1, 1), 0.0)  # 0.5 everywhere
    assert soft_agreement(masks, cam).item() == pytest.approx(2 * (2 * 0.5) / (2 + 4 * 0.5))


def test_masks_coarser_than_the_image_are_enlarged_and_prompts_are_not() -> None:
    backend = Three(*SCORES)
    backend.image_size = 64
    found = decoded(backend, np.full((2, 4, 4), 2.0, np.float32), second_pass=True)
    assert found.logits.shape == (2, 64, 64)
    assert found.all_logits.shape == (2, 3, 64, 64)
    assert [None if prompt is None else prompt.shape[-1] for prompt in backend.prompts] == [16, 16]


def test_boxes_reach_the_decoder_as_they_are() -> None:
    backend = Three(*SCORES)
    decoded(backend)
    assert backend.boxes[0].dtype == torch.float32
    np.testing.assert_array_equal(backend.boxes[0].numpy(), BOXES)


def test_a_second_pass_is_prompted_with_the_chosen_mask() -> None:
    backend = Three(*SCORES)
    found = decoded(backend, second_pass=True, prompt_limit=0.5)
    assert backend.prompts[0] is None
    assert backend.prompts[1] is not None
    assert backend.prompts[1].shape == (2, 1, 16, 16)
    assert backend.prompts[1][:, 0, 0, 0].tolist() == [0.5, -0.5]  # 1 and -1, clipped
    assert found.logits[:, 0, 0].tolist() == [2, 0]


# The dense prompt


def test_the_map_is_the_prompt_unless_switched_off() -> None:
    cam = np.full((2, 4, 4), 2.0, np.float32)
    backend = Three(*SCORES)
    decoded(backend, cam)
    decoded(backend, cam, mask_prompt=False)
    decoded(backend, None)
    assert backend.prompts[0] is not None
    assert backend.prompts[0].shape == (2, 1, 16, 16)
    assert (backend.prompts[0] == 2).all()
    assert backend.prompts[1:] == [None, None]


def test_the_prompt_is_scaled_and_clipped() -> None:
    cam = np.repeat(np.array([-9.0, -1.0, 0.5, 30.0], np.float32), 4).reshape(1, 4, 4)
    prompt = dense_prompt(cam, 16, MaskSettings(prompt_gain=2.0, prompt_limit=8.0))
    assert prompt.shape == (1, 1, 16, 16)
    assert prompt.min() == -8
    assert prompt.max() == 8
    assert prompt[0, 0, 0, 0] == -8
    # Scaled, then enlarged, then clipped: row 5 lies 7/8 of the way from the first row of cells to the second.
    assert prompt[0, 0, 5, 0] == pytest.approx(2 * (-9 / 8 - 7 / 8))
    assert prompt[0, 0, 15, 15] == 8


def test_a_prompt_within_the_limit_is_not_touched() -> None:
    cam = np.full((3, 8, 8), -1.25, np.float32)
    assert (dense_prompt(cam, 32, MaskSettings()) == -1.25).all()


# Settings


def test_settings_go_through_a_manifest() -> None:
    chosen = MaskSettings(mask_prompt=False, prompt_gain=0.5, choice="mean", second_pass=True, box_margin=0.0)
    assert MaskSettings.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen
    assert MaskSettings.from_dict({}) == MaskSettings()


def test_unknown_settings_and_choices_are_refused() -> None:
    with pytest.raises(InputError, match="The model's mask section has the unknown key 'blur'"):
        MaskSettings.from_dict({"blur": 1})
    with pytest.raises(InputError, match="mask choice 'best' is not known"):
        MaskSettings.from_dict({"choice": "best"})


# Map and mask


def test_a_map_and_a_mask_agree_by_their_dice() -> None:
    cam = np.array([[2.0, 2.0], [-1.0, -1.0]])
    for mask, dice in (
        ([[1, 1], [0, 0]], 1.0),
        ([[1, 0], [0, 0]], 2 / 3),
        ([[1, 1], [1, 1]], 2 / 3),
        ([[0, 0], [1, 1]], 0.0),
    ):
        assert cam_agreement(cam, np.array(mask, dtype=bool)) == pytest.approx(dice)
    assert cam_agreement(-cam * 0, np.zeros((2, 2), dtype=bool)) == 1.0
