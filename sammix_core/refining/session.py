"""Refines the masks of a session in place: the edges of the organ itself."""

from __future__ import annotations

import numpy as np

from sammix_core.progress import CancelCheck, ProgressCallback
from sammix_core.refining.network import SliceRefiner
from sammix_core.refining.volume import refined
from sammix_core.session import SegmentationSession


def refine_session(
    refiner: SliceRefiner,
    session: SegmentationSession,
    stages: int,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> None:
    """Refines every mask that the session made; what a person corrected stays.

    A slice's scores stay those of the masks that it was refined from.

    Args:
        refiner: What `load_refiner` gave.
        session: With masks.
        stages: How many.
        progress: Told after each slice of a stage.
        cancel: Asked after each slice.

    Raises:
        Cancelled: The user stopped; the masks are as they were.
    """
    axial, store = session.axial, session.slices
    made = axial.order.forward(store.mask())
    for index in range(len(made)):
        if axial.slice_index(index) in store.corrected:
            made[index] = 0
    found = axial.order.forward(refined(refiner, session, axial.order.back(made), stages, progress, cancel))
    for filled in np.flatnonzero(made.any((1, 2))):
        place = axial.slice_index(int(filled))
        store.write(place, found[filled], store.scores(place))
