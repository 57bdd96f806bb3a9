"""Segments a case as the product does, with automatic and with oracle boxes, and scores the whole volume."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import nn

from sammix_core.evaluation.metrics import score_masks
from sammix_core.evaluation.oracle import oracle_boxes
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.slice_sampling import EVERY_SLICE
from sammix_core.training.semi_supervised.bank import WEAK, Bank
from sammix_core.volume.volume import Volume

from .baselines import segment_with
from .cases import TestCase
from .cells import Cell
from .rows import Row

AUTO, ORACLE = "auto", "oracle"


@dataclass(frozen=True)
class Loaded:
    """A test case in memory.

    Attributes:
        case: Which.
        volume: Its CT.
        label: (k, j, i) bool.
        known: (k, 1, 1) bool, slices whose label is known; the others are not scored.
    """

    case: TestCase
    volume: Volume
    label: np.ndarray
    known: np.ndarray


def load(case: TestCase) -> Loaded:
    """Reads a case."""
    return Loaded(case, *case.load())


def boxes_of(method_network: str) -> tuple[str, ...]:
    """The kinds of boxes that a method has; a network that makes masks at once has the automatic ones alone."""
    return (AUTO, ORACLE) if method_network == "sammix" else (AUTO,)


@dataclass(frozen=True)
class Training:
    """What rows say of the training that they come from.

    Attributes:
        cell: The training.
        masks: How many masks it was given.
    """

    cell: Cell
    masks: int


def rows_with_boxes(
    model: LoadedModel, loaded: Loaded, training: Training, encoded: Bank | None = None
) -> Iterator[Row]:
    """Rows of a SAM: automatic boxes, then the label's own.

    Args:
        model: The model.
        loaded: The case.
        training: Where the model comes from.
        encoded: Plain views of the case by the model's encoder, where it has been a training case; others are encoded.
    """
    session = Segmenter(model).open_session(loaded.volume, sampling=EVERY_SLICE)
    for index in () if encoded is None else encoded.slices:
        session.preload(index, encoded.embedding(index, (WEAK, 0)))
    start = time.monotonic()
    session.find_boxes()
    mask = session.segment_boxes().mask
    yield row_of(mask, loaded, training, AUTO, time.monotonic() - start)
    start = time.monotonic()
    session.boxes = oracle_boxes(loaded.volume, loaded.label)
    mask = session.segment_boxes().mask
    yield row_of(mask, loaded, training, ORACLE, time.monotonic() - start)


def rows_without_boxes(
    network: nn.Module, loaded: Loaded, training: Training, spec: PreprocessingSpec
) -> Iterator[Row]:
    """The row of a network that makes masks at once."""
    start = time.monotonic()
    mask = segment_with(network, loaded.volume, spec)
    yield row_of(mask, loaded, training, AUTO, time.monotonic() - start)


def row_of(mask: np.ndarray, loaded: Loaded, training: Training, boxes: str, seconds: float) -> Row:
    """Scores a mask (k, j, i)."""
    known = np.broadcast_to(loaded.known, loaded.label.shape)
    volume, cell = loaded.volume, training.cell
    spacing = volume.spacing if volume.spacing_known else None
    scores = score_masks((mask > 0) & known, loaded.label & known, spacing)
    return Row(
        method=cell.method,
        labelled_slices=training.masks,
        seed=cell.draw,
        case=loaded.case.name,
        label_origin=loaded.case.label_origin,
        boxes=boxes,
        dice=scores.dice,
        hd95_mm=scores.hd95_mm,
        surface_dice_2mm=scores.surface_dice_2mm,
        seconds=round(seconds, 1),
        protocol=cell.protocol,
        patients_labelled=cell.patients_labelled,
        draw=cell.draw,
    )
