"""How far a map bears out a box, and what a person's box is answered with where it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fake_network import FakeBackend, FakeGuidance, a_fake_model
from hypothesis import given
from hypothesis import strategies as st

from sammix_core.boxes import Box, BoxSource
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.sam.decoding import MaskSettings
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.slice_decoder import map_coverage
from sammix_core.volume.volume import Volume

LIVER_HU, FAT_HU = 110, -90


def a_map(rows: slice, cols: slice) -> np.ndarray:
    """(64, 64) logits, above 0 in some cells."""
    logits = np.full((64, 64), -4.0, np.float32)
    logits[rows, cols] = 4.0
    return logits


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((40.0, 40.0, 120.0, 120.0), 1.0),
        ((40.0, 40.0, 200.0, 120.0), 0.5),
        ((40.0, 0.0, 200.0, 160.0), 0.25),
        ((130.0, 130.0, 200.0, 200.0), 0.0),
        ((300.0, 40.0, 320.0, 60.0), 0.0),  # beside the image
        ((-20.0, 40.0, 120.0, 120.0), 2 / 3),  # what reaches past the image does not count
    ],
)
def test_the_share_of_a_box_that_the_map_fills(box: tuple[float, float, float, float], share: float) -> None:
    assert map_coverage(a_map(slice(10, 30), slice(10, 30)), box, 256) == pytest.approx(share, abs=0.03)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 64), st.integers(1, 64))
def test_it_is_a_share(row: int, col: int, width: int, height: int) -> None:
    logits = a_map(slice(row, row + 4), slice(col, col + 4))
    assert 0 <= map_coverage(logits, (8.0, 8.0, 8.0 + 3 * width, 8.0 + 3 * height), 256) <= 1


class HalfBlind(FakeGuidance):
    """Sees nothing of the right half of a slice, and is sure of that."""

    def maps(self, images: torch.Tensor, embeddings: torch.Tensor) -> GuidanceMaps:
        """See `Guidance.maps`."""
        found = super().maps(images, embeddings)
        found.cam_logits[..., 32:] = -90.0
        return found


class Listening(FakeBackend):
    """Does what its mask prompt says, and remembers whether there was one.

    Attributes:
        prompted: For each decoded batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.prompted: list[bool] = []

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `SamBackend.decode`."""
        self.prompted.append(mask_logits is not None)
        return super().decode(embeddings, boxes, None if mask_logits is None else 20 * mask_logits)


@pytest.fixture
def volume() -> Volume:
    """Liver from column 8 to 56 of 64, a third of it where the guidance is blind."""
    axial = np.full((3, 64, 64), FAT_HU, np.int16)
    axial[:, 16:48, 8:56] = LIVER_HU
    return Volume(axial, (2.0, 2.0, 5.0), np.zeros(3), np.eye(3))


def dice_at(settings: MaskSettings, volume: Volume, box: Box) -> tuple[float, bool]:
    """Dice of a box's mask with the drawn liver inside the box, and whether the map was heard."""
    backend = Listening()
    session = Segmenter(a_fake_model(guidance=HalfBlind(), backend=backend, masks=settings)).open_session(volume)
    mask = session.segment_slice(box.slice_index, box).astype(bool)
    label = volume.array[box.slice_index] == LIVER_HU
    label[:, : box.i_min] = label[:, box.i_max :] = False
    return 2 * (mask & label).sum() / (mask.sum() + label.sum()), backend.prompted[-1]


def test_a_persons_box_round_what_the_map_missed_is_answered_without_the_map(volume: Volume) -> None:
    missed = Box(1, 36, 16, 56, 48, BoxSource.EDITED)
    stubborn, heard = dice_at(MaskSettings(least_cover=0.0), volume, missed)
    assert heard
    assert stubborn < 0.5
    listening, heard = dice_at(MaskSettings(), volume, missed)
    assert not heard
    assert listening > 0.95


def test_a_persons_box_that_the_map_bears_out_keeps_its_prompt(volume: Volume) -> None:
    assert dice_at(MaskSettings(), volume, Box(1, 8, 16, 32, 48, BoxSource.EDITED))[1]


def test_an_automatic_box_is_the_maps_own_and_keeps_its_prompt(volume: Volume) -> None:
    assert dice_at(MaskSettings(), volume, Box(1, 36, 16, 56, 48, BoxSource.AUTO))[1]


def test_a_checkpoint_of_training_is_not_named_by_what_is_only_used_afterwards() -> None:
    assert MaskSettings(least_cover=0.1).trained_with() == MaskSettings().trained_with()
    assert MaskSettings(prompt_gain=0.1).trained_with() != MaskSettings().trained_with()
