"""Dice on slices and volumes: automatic and oracle boxes apart, with a network whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from corrected_slices import a_patient
from fake_network import FakeBackend, a_fake_model

from sammix_core.datasets.cases import LabelledCase
from sammix_core.datasets.correction import Correction, corrections_of_volume
from sammix_core.finetuning import interpolation
from sammix_core.finetuning.candidate import Weights, between
from sammix_core.finetuning.encoded import EncodedSlice, Encoder
from sammix_core.finetuning.part_training import groups_of
from sammix_core.finetuning.samples import Sample
from sammix_core.finetuning.scoring import RememberingBackend, mean_dice, score_slice, score_volume
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.masks.overlap import Overlap
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.preprocessing.window import slice_image
from sammix_core.training.interpolation import Shares
from sammix_core.training.views import CLEAN


def made_of(correction: Correction) -> EncodedSlice:
    model = a_fake_model()
    pixels = slice_image(correction.hu, correction.frame(256), model.preprocessing)
    embedding = model.backend.encode(torch.from_numpy(pixels)[None, None])[0].to(torch.float16).numpy()
    return EncodedSlice(pixels, embedding, np.zeros((256, 256), np.uint8))


def corrections() -> dict[int, Correction]:
    volume, liver = a_patient()
    spec = a_fake_model().preprocessing
    found = corrections_of_volume(volume, None, dict(enumerate(liver)), spec=spec)
    return {one.slice_index: one for one in found}


def test_a_good_model_scores_high_with_both_kinds_of_boxes() -> None:
    one = corrections()[4]
    scores = score_slice(a_fake_model(), one, made_of(one))
    assert scores["auto"].dice > 0.93
    assert scores["oracle"].dice > 0.93
    assert scores["oracle"].total == pytest.approx(2 * one.mask.sum(), rel=0.1)


def test_a_guidance_that_finds_nothing_costs_the_automatic_dice_alone() -> None:
    one = corrections()[4]
    blind = a_fake_model(boxes=BoxSettings(threshold=1000.0))
    scores = score_slice(blind, one, made_of(one))
    assert scores["auto"] == Overlap(0, int(one.mask.sum()))
    assert scores["oracle"].dice > 0.93


def test_a_mask_where_nothing_is_counts_against_the_model() -> None:
    one = corrections()[4]
    empty = replace(one, mask=np.zeros_like(one.mask), box=None)
    scores = score_slice(a_fake_model(), empty, made_of(one))
    assert (scores["auto"].both, scores["auto"].dice) == (0, 0.0)
    assert scores["auto"].total == pytest.approx(one.mask.sum(), rel=0.1)
    assert scores["oracle"].total == 0


def test_dice_is_of_slices_added_up_and_cases_count_the_same() -> None:
    assert (Overlap(1, 4) + Overlap(3, 4)).dice == 1.0
    assert Overlap().dice == 1.0
    cases = {
        "a": {"auto": Overlap(50, 100), "oracle": Overlap()},
        "b": {"auto": Overlap(0, 2), "oracle": Overlap()},
    }
    assert mean_dice(cases, "auto") == 0.5
    assert mean_dice(cases, "oracle") is None


def test_a_volume_is_scored_on_the_slices_that_are_known() -> None:
    volume, liver = a_patient()
    wrong = liver.copy()
    wrong[5] = False  # not known, so it does not count
    case = LabelledCase.from_mask("p0", volume, wrong, labelled=(0, 2, 3, 4))
    scores = score_volume(a_fake_model(), case, lambda: False)
    assert scores["auto"].dice > 0.9
    assert scores["oracle"].dice > 0.9
    assert scores["auto"].total == pytest.approx(2 * liver[2:5].sum(), rel=0.15)


def test_two_models_that_share_an_encoder_encode_once() -> None:
    backend, known = FakeBackend(), {}
    volume, liver = a_patient()
    case = LabelledCase.from_mask("p0", volume, liver)
    for _ in range(2):
        score_volume(a_fake_model(backend=RememberingBackend(backend, known)), case, lambda: False)
    assert backend.encoded == 8
    RememberingBackend(backend, known).forget()
    assert known == {}


def test_the_clean_view_is_what_a_session_sees() -> None:
    volume, _ = a_patient()
    model, one = a_fake_model(), corrections()[3]
    axial = AxialSlices.cut(volume, volume.axial_order, model.preprocessing)
    sample = Sample("case-000000000000", one, False, False, None)  # type: ignore[arg-type]
    image, share = Encoder(model.backend, model.preprocessing, "fake", 0).draw(sample, CLEAN)
    assert np.array_equal(image, axial.image(3))
    assert share.sum() == pytest.approx(one.mask.sum() * axial.frame.scale_x * axial.frame.scale_y, rel=0.02)


def test_part_of_the_way_is_between_the_weights() -> None:
    old = Weights({"a": torch.zeros(2)}, {"b": torch.ones(2)})
    new = Weights({"a": torch.ones(2)}, {"b": torch.full((2,), 3.0)})
    half = between(old, new, Shares(0.5, 0.5))
    assert (half.head["a"].tolist(), half.decoder["b"].tolist()) == ([0.5, 0.5], [2.0, 2.0])
    decoder_alone = between(old, new, Shares(0.0, 1.0))
    assert (decoder_alone.head["a"].tolist(), decoder_alone.decoder["b"].tolist()) == ([0.0, 0.0], [3.0, 3.0])
    head_alone = between(old, new, Shares(1.0, 0.0))
    assert (head_alone.head["a"].tolist(), head_alone.decoder["b"].tolist()) == ([1.0, 1.0], [1.0, 1.0])
    third = Weights({"a": torch.full((1,), 1 / 3)}, {"b": torch.full((1,), 1 / 3)}).stored()
    assert third.head["a"].item() == torch.tensor(1 / 3).half().float().item() != 1 / 3


@pytest.mark.parametrize(
    ("auto_gain", "oracle_gain", "expected"),
    [
        (lambda head, decoder: 0.0, lambda head, decoder: 0.04 * decoder, Shares(0.0, 1.0)),
        (lambda head, decoder: 0.003 * head, lambda head, decoder: 0.0, Shares(0.0, 0.25)),
        (lambda head, decoder: 0.1 * min(head, 0.5), lambda head, decoder: 0.0, Shares(0.5, 0.25)),
        (lambda head, decoder: -0.1 * head, lambda head, decoder: 0.1 * min(decoder, 0.75), Shares(0.0, 0.75)),
    ],
)
def test_the_head_goes_only_where_better_boxes_pay(
    monkeypatch: pytest.MonkeyPatch, auto_gain: Any, oracle_gain: Any, expected: Shares
) -> None:
    """Gains in Dice over 0.8 by how far head and decoder went, and the shares that are to be taken."""

    def scores(weights: Weights, *_: Any) -> dict[str, Any]:
        shares = weights.head["h"].item(), weights.decoder["d"].item()
        dice = {"auto": 0.8 + auto_gain(*shares), "oracle": 0.8 + oracle_gain(*shares)}
        return {"case": {kind: Overlap(round(one * 5e5), 1_000_000) for kind, one in dice.items()}}

    monkeypatch.setattr(interpolation, "score_samples", scores)
    monkeypatch.setattr(interpolation, "with_weights", lambda model, weights, boxes: weights)
    old, new = (Weights({"h": one(1)}, {"d": one(1)}) for one in (torch.zeros, torch.ones))
    endpoints = interpolation.Endpoints(a_fake_model(), old, new, BoxSettings())
    chosen = interpolation.choose_shares(endpoints, (), made_of, lambda: None, new_structure=False)  # type: ignore[arg-type]
    assert chosen == expected
    new_head = interpolation.choose_shares(endpoints, (), made_of, lambda: None, new_structure=True)  # type: ignore[arg-type]
    assert new_head.head == 1.0, "a head for a new structure has no parent's to be mixed with"


def samples(*rows: tuple[str, int, bool]) -> list[Sample]:
    empty = np.zeros((2, 2), bool)
    shown = np.ones((2, 2), bool)
    found = []
    for case, index, positive in rows:
        one = Correction(
            index,
            9,
            empty.astype(np.int16),
            shown if positive else empty,
            (1, 1, 1),
            True,
            (0, 0, 2, 2),
            (0, 0, 2, 2),
            None,
            "label",  # type: ignore[arg-type]
        )
        found.append(Sample(case, one, False, False, None))  # type: ignore[arg-type]
    return found


def test_a_new_structure_is_prompted_by_heads_that_have_not_seen_the_slice() -> None:
    alone = samples(("a", 0, False), ("a", 1, True), ("a", 2, True), ("a", 3, True), ("a", 4, True))
    groups = groups_of(alone, new_structure=True)
    assert [groups[id(one)] for one in alone] == ["group 0", "group 0", "group 0", "group 1", "group 1"]
    several = samples(("a", 0, True), ("b", 0, True), ("b", 1, True), ("c", 0, False))
    groups = groups_of(several, new_structure=True)
    assert [groups[id(one)] for one in several] == ["group 0", "group 1", "group 1", "group 0"]
    assert set(groups_of(samples(("a", 0, True)), new_structure=True).values()) == {"group 0"}
    groups = groups_of(several, new_structure=False)
    assert [groups[id(one)] for one in several] == ["a", "b", "b", "c"]
