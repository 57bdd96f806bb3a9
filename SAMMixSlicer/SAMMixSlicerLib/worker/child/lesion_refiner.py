"""One stage of the 2-D refiner on a lesion of an open volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from sammix_core.errors import InputError
from sammix_core.progress import CancelCheck, Progress

if TYPE_CHECKING:
    from sammix_core.preprocessing.spec import PreprocessingSpec
    from sammix_core.refinement.network import SliceRefiner
    from sammix_core.segmentation.session import SegmentationSession

_TOO_SMALL = "The lesion is too small to refine: the network sees too little of it. It stays as it is."


class LesionRefiner:
    """Refines lesions; loads the network on first use and keeps it."""

    def __init__(self) -> None:
        self._loaded: tuple[PreprocessingSpec, SliceRefiner] | None = None

    def refine(
        self,
        session: SegmentationSession,
        mask: np.ndarray,
        liver: np.ndarray,
        progress: Callable[[Progress], None],
        cancel: CancelCheck,
    ) -> np.ndarray:
        """Refines a mask by one stage.

        Args:
            session: Session of the volume, for its embeddings.
            mask: (k, j, i) bool, the lesion.
            liver: (k, j, i), non-zero inside; the lesion does not grow beyond it.
            progress: Called after each slice.
            cancel: Polled after each slice; return True to stop.

        Returns:
            (k, j, i) bool.

        Raises:
            InputError: The lesion is too small, or the refiner does not fit the model's preprocessing.
            Cancelled: The user stopped.
        """
        from sammix_core.refinement.volume import LEAST_LESION_SIDE, lesion_from, longer_side, refine_mask

        if longer_side(session.axial, mask) < LEAST_LESION_SIDE:
            raise InputError(_TOO_SMALL)
        refined_mask = refine_mask(self._refiner(session), session, mask, 1, progress, cancel)
        return lesion_from(refined_mask, mask, (liver != 0) | mask)

    def _refiner(self, session: SegmentationSession) -> SliceRefiner:
        preprocessing = session.axial.preprocessing
        if self._loaded is None or self._loaded[0] != preprocessing:
            from sammix_core.refinement.folder import LESION, open_refiner
            from sammix_core.refinement.model import load_refiner

            refiner = load_refiner(open_refiner(None, LESION), preprocessing, session.device)
            self._loaded = preprocessing, refiner
        return self._loaded[1]
