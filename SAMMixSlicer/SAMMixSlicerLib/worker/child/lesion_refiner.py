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

_TOO_SMALL = "The lesion is too small to be refined: the network sees too little of it, so it stays as it is."


class LesionRefiner:
    """Refines lesions; the network is loaded when it is first wanted, and kept."""

    def __init__(self) -> None:
        self._loaded: tuple[PreprocessingSpec, SliceRefiner] | None = None

    def refined(
        self,
        session: SegmentationSession,
        mask: np.ndarray,
        liver: np.ndarray,
        tell: Callable[[Progress], None],
        cancel: CancelCheck,
    ) -> np.ndarray:
        """One stage more.

        Args:
            session: Of the volume, for its embeddings.
            mask: (k, j, i) bool, the lesion.
            liver: (k, j, i), non-zero inside: the lesion grows no further.
            tell: Told after each slice.
            cancel: Asked after each slice.

        Returns:
            (k, j, i) bool.

        Raises:
            InputError: It is too small, or the model's slices are not those that the refiner knows.
            Cancelled: The user stopped.
        """
        from sammix_core.refinement.volume import LEAST_LESION_SIDE, lesion_from, longer_side, refined

        if longer_side(session.axial, mask) < LEAST_LESION_SIDE:
            raise InputError(_TOO_SMALL)
        found = refined(self._refiner(session), session, mask, 1, tell, cancel)
        return lesion_from(found, mask, (liver != 0) | mask)

    def _refiner(self, session: SegmentationSession) -> SliceRefiner:
        preprocessing = session.axial.preprocessing
        if self._loaded is None or self._loaded[0] != preprocessing:
            from sammix_core.refinement.folder import LESION, open_refiner
            from sammix_core.refinement.model import load_refiner

            refiner = load_refiner(open_refiner(None, LESION), preprocessing, session.device)
            self._loaded = preprocessing, refiner
        return self._loaded[1]
