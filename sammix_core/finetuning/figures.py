"""Dice before and after: on slices held back, on earlier cases, and on a folder of the user's choice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from sammix_core.datasets.case_folder import check_case_folder, read_case
from sammix_core.datasets.correction import case_key
from sammix_core.errors import InputError
from sammix_core.finetuning.encoded import EncodedSlice
from sammix_core.finetuning.result import Figure
from sammix_core.finetuning.samples import Sample
from sammix_core.finetuning.scoring import KINDS, RememberingBackend, Scores, score_samples, score_volume
from sammix_core.finetuning.settings import FineTuneSettings
from sammix_core.progress import CancelCheck, ProgressReporter
from sammix_core.segmentation.model_loading import LoadedModel

SCORING, CHECKING = "Scoring", "Checking the folder"
Encoded = Callable[[Sample], EncodedSlice]
MakeStage = Callable[[str, int], ProgressReporter]


def slice_figures(
    before: LoadedModel | None,
    after: LoadedModel,
    held_back: Sequence[Sample],
    clean_before: Encoded,
    clean_after: Encoded,
    make_stage: MakeStage,
) -> list[Figure]:
    """Figures on slices that were not learnt from, those of earlier cases apart.

    Args:
        before: The parent, or None where it does not know the structure.
        after: The new version.
        held_back: The slices.
        clean_before: Gives a slice as the parent's encoder sees it.
        clean_after: As the new version's does.
        make_stage: Makes a stage of so many steps.
    """
    stage = make_stage(SCORING, len(held_back) * (2 if before else 1))
    old = {} if before is None else score_samples(before, held_back, clean_before, stage.step)
    new = score_samples(after, held_back, clean_after, stage.step)
    figures = []
    for case, scores in new.items():
        samples = [sample for sample in held_back if sample.case == case]
        group = "earlier" if samples[0].earlier else "held_back"
        figures += _figures(group, case, len(samples), old.get(case), scores)
    return figures


def check_figures(
    before: LoadedModel | None,
    after: LoadedModel,
    settings: FineTuneSettings,
    learnt: Collection[str],
    make_stage: MakeStage,
    cancel: CancelCheck,
) -> list[Figure]:
    """Figures on whole volumes of the check folder; nothing without one.

    Args:
        before: The parent, or None where it does not know the structure.
        after: The new version.
        settings: Name folder and label.
        learnt: Keys of the cases that are learnt from.
        make_stage: Makes a stage of so many steps.
        cancel: Polled now and then; return True to stop.

    Raises:
        InputError: A case cannot be used, or is learnt from.
    """
    if settings.check is None:
        return []
    pairs = check_case_folder(settings.check)
    stage = make_stage(CHECKING, len(pairs) * (2 if before else 1))
    figures = []
    for pair in pairs:
        case = read_case(pair, settings.label, sparse=False, values_are_hu=settings.values_are_hu)
        key = case_key(case.volume)
        if key in learnt:
            raise InputError(
                f"The case {pair.name} of the check folder is also learnt from, so a check on it says nothing; take it "
                "out of one of the two."
            )
        old = None
        if before is not None:
            old = score_volume(before, case, cancel)
            stage.step()
        new = score_volume(after, case, cancel)
        stage.step()
        for model in (before, after):
            if model is not None and isinstance(model.backend, RememberingBackend):
                model.backend.forget()  # the next volume is another one
        figures += _figures("check", key, int(case.labelled.sum()), old, new)
    return figures


def _figures(group: str, case: str, slices: int, old: Scores | None, new: Scores) -> list[Figure]:
    return [
        Figure(
            group,
            case,
            slices,
            kind,
            None if old is None else round(old[kind].dice, 4),
            round(new[kind].dice, 4),
        )
        for kind in KINDS
        if new[kind].total or (old is not None and old[kind].total)
    ]
