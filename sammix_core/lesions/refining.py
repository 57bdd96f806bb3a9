"""Lesions by M-SAM: one refinement a lesion, begun by a click or by a mask that is there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sammix_core.lesions.components import lesion_components
from sammix_core.lesions.state import Ijk
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.refinement.msam.network import MSam
from sammix_core.refinement.msam.refine import Refinement
from sammix_core.volume.volume import Volume


def refine_lesions(
    network: MSam,
    volume: Volume,
    mask: np.ndarray | None,
    clicks: Sequence[Ijk],
    stages: int,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> np.ndarray:
    """Refines each component of a mask, and begins a lesion at each click.

    Args:
        network: What `load_network` gave.
        volume: The CT.
        mask: (k, j, i) lesions to begin from, non-zero inside, or None.
        clicks: Voxels (i, j, k) inside lesions that the mask lacks.
        stages: For each lesion.
        progress: Told after each lesion.
        cancel: Asked after each lesion.

    Returns:
        (k, j, i) bool, all lesions together.

    Raises:
        InputError: The mask lies on another grid, or a click outside the CT.
        Cancelled: The user stopped.
    """
    begun = np.zeros(volume.array.shape, np.uint8) if mask is None else lesion_components(volume, mask)
    count = int(begun.max(initial=0))
    stage = ProgressReporter("Refining lesions", count + len(clicks), progress, cancel)
    found = np.zeros(volume.array.shape, dtype=bool)
    for number in range(1, count + 1):
        work = Refinement(network, volume, begun == number)
        for _ in range(stages):
            work.refine()
        found |= work.mask
        stage.step()
    for ijk in clicks:
        work = Refinement(network, volume)
        work.click(ijk)
        for _ in range(stages - 1):
            work.refine()
        found |= work.mask
        stage.step()
    return found
