"""`--refine N`: masks refined slice by slice, stage by stage. Experimental."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sammix_core.errors import InputError
from sammix_core.refinement.folder import LESION, check_slices, open_refiner

if TYPE_CHECKING:
    import numpy as np

    from sammix_core.model_store.store import ModelFolder
    from sammix_core.progress import CancelCheck, ProgressCallback
    from sammix_core.refinement.organ import OrganRefiner
    from sammix_core.segmentation.segmenter import Segmenter
    from sammix_core.segmentation.session import SegmentationSession


@dataclass(frozen=True)
class RefineOptions:
    """How masks are to be refined.

    Attributes:
        stages: How many.
        folder: The refiner.
        device: "auto", "cpu" or "cuda".
    """

    stages: int
    folder: ModelFolder
    device: str

    @classmethod
    def of(cls, stages: int, refiner: str | None, target: str, device: str) -> RefineOptions | None:
        """The wish of a command line; None where nothing is to be refined.

        Args:
            stages: 0 for none.
            refiner: Its name or folder; None for the shipped one.
            target: See `open_refiner`.
            device: See above.

        Raises:
            InputError: The options do not fit each other, or there is no such refiner.
        """
        if not stages:
            if refiner is not None:
                raise InputError("--refiner goes with --refine N, the number of stages.")
            return None
        return cls(stages, open_refiner(refiner, target), device)

    def check_fits(self, model: ModelFolder) -> None:
        """Refuses a model whose slices the refiner cannot be used on.

        Raises:
            InputError: They are prepared otherwise than those that it was trained on.
        """
        from sammix_core.preprocessing.spec import PreprocessingSpec

        check_slices(self.folder, PreprocessingSpec.from_dict(model.manifest.preprocessing))

    @property
    def note(self) -> str:
        """What is said of a mask that was refined."""
        stages = "one stage" if self.stages == 1 else f"{self.stages} stages"
        small = "; small lesions stay as they were" if self.folder.manifest.target == LESION else ""
        return f"The masks were refined by {self.folder.spec} in {stages} (experimental){small}."

    def organ(self, segmenter: Segmenter) -> OrganRefiner:
        """What refines the masks of an organ on their way; asked for by number, those of edited boxes too."""
        from sammix_core.segmentation.default_refiner import organ_refiner

        return organ_refiner(segmenter.model, self.folder, self.stages, every_box=True)

    def lesions(
        self,
        session: SegmentationSession,
        found: np.ndarray,
        liver: np.ndarray | None,
        progress: ProgressCallback | None,
        cancel: CancelCheck | None,
    ) -> np.ndarray:
        """Refines a mask of lesions, (k, j, i) bool, one by one on a session's embeddings."""
        from sammix_core.refinement.model import load_refiner
        from sammix_core.refinement.volume import refined_lesions

        refiner = load_refiner(self.folder, session.axial.preprocessing, self.device)
        return refined_lesions(refiner, session, found, liver, self.stages, progress, cancel)
