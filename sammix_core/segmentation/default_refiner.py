"""The refiner that belongs to a model, chosen by default or by the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.refinement.folder import SHIPPED, open_refiner
from sammix_core.refinement.model import load_refiner
from sammix_core.refinement.organ import OrganRefiner
from sammix_core.refinement.stage import stage_of

if TYPE_CHECKING:
    from sammix_core.model_store.store import ModelFolder
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
    """The shipped refiner in one stage, for automatic boxes of the model that it was trained and measured on.

    None for other models: a fine-tuned version draws edges as its user wants them, which the refiner does not know.

    Raises:
        InputError: Its files are damaged.
    """
    if model.target not in SHIPPED:
        return None
    folder = open_refiner(None, model.target)
    manifest = folder.manifest
    fits = PreprocessingSpec.from_dict(manifest.preprocessing) == model.preprocessing
    if not fits or manifest.guidance.get("decoder") != model.spec:
        return None
    return organ_refiner(model, folder, 1, every_box=False)
