"""The refiner that belongs to a model, chosen by default or by the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.refinement.folder import SHIPPED, open_refiner
from sammix_core.refinement.model import load_refiner
from sammix_core.refinement.organ import OrganRefiner
from sammix_core.refinement.stage import stage_of
from sammix_core.sam.litemedsam import LiteMedSam

if TYPE_CHECKING:
    from sammix_core.model_store.store import ModelFolder
    from sammix_core.refinement.network import SliceRefiner
    from sammix_core.segmentation.model_loading import LoadedModel


def organ_refiner(model: LoadedModel, folder: ModelFolder, stages: int, every_box: bool) -> OrganRefiner:
    """A refiner of a model's masks, run as its encoder is.

    Args:
        model: The model.
        folder: What `open_refiner` returned.
        stages: Number of stages.
        every_box: See `MaskRefiner`.

    Raises:
        InputError: The refiner was trained on other slices, or its files do not fit each other.
    """
    refiner = load_refiner(folder, model.preprocessing, model.device.type)
    stage = stage_of(refiner, model.backend.engine_name, model.precision)
    return OrganRefiner(folder.spec, stage, stages, every_box)


def default_refiner(model: LoadedModel) -> OrganRefiner | None:
    """The shipped refiner in one stage, for automatic boxes of the model that it was trained on.

    Fine-tuned versions have it where it was found to make their masks no worse, and its newer versions as well; see
    docs/decisions/forgets-nobody.md. None for other models.

    Raises:
        InputError: Its files are damaged.
    """
    folder = _shipped_refiner(model)
    if folder is None:
        return None
    goes_along = model.refiner.partition("/")[0] == folder.manifest.name
    if folder.manifest.guidance.get("decoder") != model.spec and not goes_along:
        return None
    return organ_refiner(model, folder, 1, every_box=False)


def click_refiner(model: LoadedModel) -> SliceRefiner | None:
    """The shipped refiner for a person's clicks on masks of a model, its fine-tuned versions included.

    None for a model of another target or on another encoder than LiteMedSAM.

    Raises:
        InputError: Its files are damaged.
    """
    folder = _shipped_refiner(model) if model.backend.name == LiteMedSam.name else None
    return None if folder is None else load_refiner(folder, model.preprocessing, model.device.type)


def _shipped_refiner(model: LoadedModel) -> ModelFolder | None:
    """The shipped refiner of a model's target, if it was trained on slices that are prepared as the model's are."""
    if model.target not in SHIPPED:
        return None
    folder = open_refiner(None, model.target)
    fits = PreprocessingSpec.from_dict(folder.manifest.preprocessing) == model.preprocessing
    return folder if fits else None
