"""The images of views, for what is trained on images and not on embeddings.

Views keep embeddings and labels alone. Their images are drawn again from the same seeds, which takes a fraction of what
encoding took, and are kept beside them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sammix_core.datasets.cases import Case, load_case
from sammix_core.errors import InputError
from sammix_core.files import atomic_path
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.training.config import TrainingConfig
from sammix_core.training.views import View, draw_slice, views_folder


def prepare_images(
    config: TrainingConfig, views: Sequence[View], progress: ProgressCallback | None, cancel: CancelCheck | None
) -> list[np.ndarray]:
    """Draws the images that are not there yet and opens all.

    Args:
        config: The configuration that the views were made from.
        views: The views.
        progress: Told after each image.
        cancel: Asked after each image.

    Returns:
        For each view (n, size, size) float16 in [0, 1], memory-mapped.

    Raises:
        InputError: A view was drawn in another way than this version draws.
        Cancelled: The user stopped; files that are complete stay.
    """
    spec = config.preprocessing
    cases = {one.name: one for one in config.cases}
    folders = {name: views_folder(config.work / "views", one, spec, config.seed) for name, one in cases.items()}
    files = [folders[view.case] / f"{view.name}.images.npy" for view in views]
    missing = [(view, file) for view, file in zip(views, files, strict=True) if not file.is_file()]
    if missing:
        loaded = {name: load_case(cases[name], spec) for name in {view.case for view, _ in missing}}
        stage = ProgressReporter("images of the views", sum(len(view.slices) for view, _ in missing), progress, cancel)
        for view, file in missing:
            images = _draw(config, loaded[view.case], view, stage)
            with atomic_path(file) as path, path.open("wb") as stream:
                np.save(stream, images)
    return [np.load(file, mmap_mode="r") for file in files]


def _draw(config: TrainingConfig, case: Case, view: View, stage: ProgressReporter) -> np.ndarray:
    images = []
    for index, known in zip(view.slices, view.shares, strict=True):
        image, share = draw_slice(case, view.name, int(index), config.preprocessing, config.seed)
        if not np.array_equal(np.round(share * 255).astype(np.uint8), known):
            raise InputError(
                f"The view {view.name} of {case.name} was drawn in another way than now; "
                f"delete {config.work / 'views'}."
            )
        images.append(image.astype(np.float16))
        stage.step()
    return np.stack(images)
