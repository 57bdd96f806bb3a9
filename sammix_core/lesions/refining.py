"""Lesions by M-SAM: one refinement for each lesion, from a click or an existing mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sammix_core.lesions.components import lesion_components
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.refinement.msam.network import MSam
from sammix_core.refinement.msam.refine import CubeRefinement
from sammix_core.refinement.protocol import Ijk
from sammix_core.volume.volume import Volume


def refine_lesions_with_msam(
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
        network: As `load_network` returns it.
        volume: The CT.
        mask: (k, j, i) lesions to begin from, non-zero inside, or None.
        clicks: Voxels (i, j, k) inside lesions that the mask lacks.
        stages: Stages for each lesion.
        progress: Called after each lesion.
        cancel: Polled after each lesion; return True to stop.

    Returns:
        (k, j, i) bool, all lesions together.

    Raises:
        InputError: The mask lies on another grid, or a click outside the CT.
        Cancelled: The user stopped.
    """
    components = np.zeros(volume.array.shape, np.uint8) if mask is None else lesion_components(volume, mask)
    count = int(components.max(initial=0))
    reporter = ProgressReporter("Refining lesions", count + len(clicks), progress, cancel)
    result = np.zeros(volume.array.shape, dtype=bool)
    for number in range(1, count + 1):
        refinement = CubeRefinement(network, volume, components == number)
        for _ in range(stages):
            refinement.refine()
        result |= refinement.mask
        reporter.step()
    for ijk in clicks:
        refinement = CubeRefinement(network, volume)
        refinement.click(ijk)
        for _ in range(stages - 1):
            refinement.refine()
        result |= refinement.mask
        reporter.step()
    return result
