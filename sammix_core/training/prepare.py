"""Computes what training needs once: the views of all cases and their embeddings."""

from __future__ import annotations

from sammix_core.datasets.cases import load_case
from sammix_core.progress import CancelCheck, ProgressCallback, ProgressReporter
from sammix_core.sam.backend import SamBackend
from sammix_core.training.config import TrainingConfig
from sammix_core.training.views import View, has_view, make_view, open_view, slice_count, view_names, views_folder


def prepare_views(
    config: TrainingConfig, backend: SamBackend, progress: ProgressCallback | None, cancel: CancelCheck | None
) -> list[View]:
    """Makes the views that are not there yet and opens all.

    Views come first by number, then by case, so that an interrupted run has something of every case.

    Raises:
        Cancelled: The user stopped; views that are complete stay.
    """
    spec = config.preprocessing
    folders = {one.name: views_folder(config.work / "views", one, spec, config.seed) for one in config.cases}
    names = view_names(config.views)
    missing = [(name, one) for name in names for one in config.cases if not has_view(folders[one.name], name)]
    if missing:
        cases = {one.name: load_case(one, spec) for one in config.cases}
        total = sum(slice_count(cases[one.name], name) for name, one in missing)
        stage = ProgressReporter("views", total, progress, cancel)
        for name, one in missing:
            make_view(cases[one.name], name, folders[one.name], backend, spec, config.seed, stage.step)
    return [open_view(one.name, name, folders[one.name]) for one in config.cases for name in names]
