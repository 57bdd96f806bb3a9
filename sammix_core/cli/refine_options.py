"""`--refine N`: masks refined slice by slice, stage by stage. Experimental."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

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
    """How `sammix segment` refines masks.

    Attributes:
        refine: Stages; None for the model's default.
        refiner: Name or folder of a refiner; None for the shipped one.
    """

    refine: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=20,
            help="Stages in which the target's masks are refined; by default one of the liver's, and 0 for none.",
        ),
    ] = None
    refiner: Annotated[str | None, typer.Option(help="A refiner of your own: name or folder.")] = None

    def chosen(self, target: str, device: str) -> ChosenRefiner | None:
        """The refiner that these options choose; None without stages.

        Args:
            target: See `open_refiner`.
            device: "auto", "cpu" or "cuda".

        Raises:
            InputError: The options do not fit each other, or there is no such refiner.
        """
        if not self.refine:
            if self.refiner is not None:
                raise InputError("--refiner goes with --refine N, the number of stages.")
            return None
        return ChosenRefiner(self.refine, open_refiner(self.refiner, target), device)


@dataclass(frozen=True)
class ChosenRefiner:
    """A refiner, and how it is run.

    Attributes:
        stages: Stages for each mask, 1 or more.
        folder: The refiner's model.
        device: "auto", "cpu" or "cuda".
    """

    stages: int
    folder: ModelFolder
    device: str

    def check_fits(self, model: ModelFolder) -> None:
        """Refuses a model whose slices the refiner was not trained on.

        Raises:
            InputError: The model prepares its slices in another way.
        """
        from sammix_core.preprocessing.spec import PreprocessingSpec

        check_slices(self.folder, PreprocessingSpec.from_dict(model.manifest.preprocessing))

    @property
    def note(self) -> str:
        """The note on a result that was refined."""
        stages = "one stage" if self.stages == 1 else f"{self.stages} stages"
        small = "; small lesions stay as they were" if self.folder.manifest.target == LESION else ""
        return f"The masks were refined by {self.folder.spec} in {stages} (experimental){small}."

    def organ(self, segmenter: Segmenter) -> OrganRefiner:
        """The refiner for the masks of an organ; with --refine it refines those of edited boxes too."""
        from sammix_core.segmentation.default_refiner import organ_refiner

        return organ_refiner(segmenter.model, self.folder, self.stages, every_box=True)

    def lesions(
        self,
        session: SegmentationSession,
        mask: np.ndarray,
        liver: np.ndarray | None,
        progress: ProgressCallback | None,
        cancel: CancelCheck | None,
    ) -> np.ndarray:
        """Refines a mask of lesions, (k, j, i) bool, one by one on a session's embeddings."""
        from sammix_core.refinement.model import load_refiner
        from sammix_core.refinement.volume import refine_lesions

        refiner = load_refiner(self.folder, session.axial.preprocessing, self.device)
        return refine_lesions(refiner, session, mask, liver, self.stages, progress, cancel)
