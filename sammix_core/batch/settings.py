"""How every study of a batch is segmented; goes to each worker."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sammix_core.model_store.manifest import MANIFEST_FILE
from sammix_core.model_store.organs import DEFAULT_MODEL
from sammix_core.model_store.store import resolve, user_models_folder
from sammix_core.refinement.folder import SHIPPED, open_refiner

if TYPE_CHECKING:
    from sammix_core.segmentation.segmenter import Segmenter


@dataclass(frozen=True)
class SegmentationSettings:
    """How every study of a batch is segmented.

    Attributes:
        model: Name, name and version, or folder, as `Segmenter.load` takes it.
        device: "auto", "cpu" or "cuda".
        guidance: How boxes are found; None for the model's own way.
        precision: The encoder's.
        every_slice: Whether no slice is skipped.
        values_are_hu: Whether values are taken as Hounsfield units, whatever they look like.
        seed: Set before each study, so that the order of studies does not matter.
        mask_suffix: The masks' format, one of `LABELMAP_SUFFIXES`.
    """

    model: str = DEFAULT_MODEL
    device: str = "auto"
    guidance: str | None = None
    precision: str = "default"
    every_slice: bool = False
    values_are_hu: bool = False
    seed: int = 0
    mask_suffix: str = ".nii.gz"

    def pinned(self) -> SegmentationSettings:
        """These settings with the model's version or absolute folder, the same for all workers wherever they run.

        Raises:
            InputError: There is no such model.
        """
        folder = resolve(self.model)
        named = folder.shipped or folder.path.is_relative_to(user_models_folder())
        return replace(self, model=folder.spec if named else str(folder.path))

    def model_hash(self) -> str:
        """A hash of all that decides how a mask looks besides its CT: weights, refiner, settings.

        Not among it: SAMMix's version, the device and the number of threads, which change single voxels.

        Raises:
            InputError: There is no such model.
        """
        folder = resolve(self.model)
        target = folder.manifest.target
        refiner = [open_refiner(None, target).path] if target in SHIPPED else []
        # A manifest has the SHA-256 of each of its files, which are checked when they are loaded.
        manifests = [(path / MANIFEST_FILE).read_text(encoding="utf-8") for path in (folder.path, *refiner)]
        settings = [self.guidance, self.precision, self.every_slice, self.values_are_hu, self.seed]
        return hashlib.sha256(json.dumps([manifests, settings]).encode()).hexdigest()


def load_segmenter(settings: SegmentationSettings) -> Segmenter:
    """Loads the model that a worker keeps.

    Raises:
        InputError: Model, weights, device or guidance are not there or do not fit each other.
    """
    from sammix_core.segmentation.segmenter import Segmenter

    named = Path(settings.model).is_absolute()
    return Segmenter.load(
        Path(settings.model) if named else settings.model,
        device=settings.device,
        guidance=settings.guidance,
        precision=settings.precision,
    )
