"""What the guidance found, as bytes and back."""

from __future__ import annotations

import numpy as np
import pytest

from sammix_core.errors import InputError
from sammix_core.guidance.boxes_from_cam import GuidedBoxes
from sammix_core.guidance.saved_guidance import SavedGuidance
from sammix_core.volume.axial_order import AxialOrder


def a_guidance() -> SavedGuidance:
    logits = np.random.default_rng(0).normal(size=(3, 4, 4)).astype(np.float32)
    guided = GuidedBoxes(
        cam_logits=logits,
        probabilities=np.array([0.25, 1.0, 0.5], np.float32),
        support=logits > 0,
        boxes=[(), ((1.0, 2.5, 30.25, 40.0), (50.0, 3.0, 60.0, 9.5)), ()],
        scores=np.array([0, 0.75, 0], np.float32),
    )
    return SavedGuidance("liver/1.0.0", AxialOrder((1, 2, 0), (True, False, True)), guided, ("Turned.",))


def test_it_comes_back_as_it_was():
    saved = a_guidance()
    again = SavedGuidance.from_bytes(saved.to_bytes())

    assert (again.model, again.order, again.notes) == (saved.model, saved.order, saved.notes)
    assert again.guided.boxes == saved.guided.boxes
    for name in ("cam_logits", "probabilities", "support", "scores"):
        there, back = getattr(saved.guided, name), getattr(again.guided, name)
        np.testing.assert_array_equal(back, there)
        assert back.dtype == there.dtype


def test_a_volume_without_slices_with_liver_comes_back_too():
    saved = a_guidance()
    empty = SavedGuidance(saved.model, saved.order, GuidedBoxes(**{**vars(saved.guided), "boxes": [()] * 3}), ())
    assert SavedGuidance.from_bytes(empty.to_bytes()).guided.boxes == [()] * 3


@pytest.mark.parametrize("content", [b"", b"no archive", a_guidance().to_bytes()[:-40]])
def test_damaged_bytes_are_a_sentence(content):
    with pytest.raises(InputError, match="cannot be read"):
        SavedGuidance.from_bytes(content)
