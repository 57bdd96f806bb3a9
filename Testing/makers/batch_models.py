"""A model for batches that loads in no time and needs no weights; workers in other processes find it by its name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sammix_core.batch.settings import SegmentationSettings
    from sammix_core.segmentation.result import SegmentationResult
    from sammix_core.segmentation.segmenter import Segmenter
    from sammix_core.volume.volume import Volume

FOLDER_VARIABLE = "SAMMIX_TEST_BATCH"  # a folder in which workers leave marks for the test
# The first voxel of a volume says what its worker does.
DIES_ONCE, SLEEPS = -901, -902


class MarkedSegmenter:
    """Obeys the first voxel of a volume, and segments what is as bright as liver."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def segment_volume(self, volume: Volume, **options: Any) -> SegmentationResult:
        """See `Segmenter.segment_volume`."""
        order = int(volume.array[0, 0, 0])
        marks = Path(os.environ[FOLDER_VARIABLE])
        if order == DIES_ONCE and not (marks / "died").exists():
            (marks / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if order == SLEEPS:
            (marks / "asleep").touch()
            signal.pause()
        return self._segmenter.segment_volume(volume, **options)


def load(settings: SegmentationSettings) -> Any:
    """Loads the model, and leaves a mark for each time."""
    # Here, so that a driver that names this function starts without torch.
    from fake_network import a_fake_model

    from sammix_core.segmentation.segmenter import Segmenter

    marks = Path(os.environ[FOLDER_VARIABLE])
    (marks / f"loaded-{os.getpid()}-{time.monotonic_ns()}").touch()
    return MarkedSegmenter(Segmenter(a_fake_model()))


def with_order(array: np.ndarray, order: int) -> np.ndarray:
    """A copy of a volume whose first voxel is an order."""
    changed = array.copy()
    changed[0, 0, 0] = order
    return changed
