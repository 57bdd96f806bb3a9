"""Dice before and after: on slices held back, on earlier cases, on the model's own slices and on a folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sammix_core.datasets.case_folder import check_case_folder, read_case
from sammix_core.datasets.correction import case_key
from sammix_core.errors import InputError
from sammix_core.finetuning.encoded import EncodedSlice
from sammix_core.finetuning.pack import Pack
from sammix_core.finetuning.pack_scoring import score_pack
from sammix_core.finetuning.result import PACK, Figure
from sammix_core.finetuning.samples import Sample
from sammix_core.finetuning.scoring import KINDS, RememberingBackend, Scores, score_samples, score_volume
from sammix_core.finetuning.settings import FineTuneSettings
from sammix_core.progress import CancelCheck, ProgressReporter
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.segmentation.slice_decoder import MaskRefiner

SCORING, SCORING_PACK, CHECKING = "Scoring", "Scoring other patients", "Checking the folder"
Encoded = Callable[[Sample], EncodedSlice]
MakeStage = Callable[[str, int], ProgressReporter]


@dataclass(frozen=True)
class Version:
    """A model as it is used.

    Attributes:
        model: The model.
        refiner: Refines the masks of its automatic boxes, or None.
    """

    model: LoadedModel
    refiner: MaskRefiner | None = None


def slice_figures(
    before: Version | None,
    after: Version,
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
    old = {} if before is None else score_samples(before.model, held_back, clean_before, stage.step, before.refiner)
    new = score_samples(after.model, held_back, clean_after, stage.step, after.refiner)
    figures = []
    for case, scores in new.items():
        samples = [sample for sample in held_back if sample.case == case]
        group = "earlier" if samples[0].earlier else "held_back"
        figures += _figures(group, case, len(samples), old.get(case), scores)
    return figures


def pack_figures(before: Version, after: Version, pack: Pack, make_stage: MakeStage) -> list[Figure]:
    """Figures on the slices that go with the model and are never learnt from, by patient.

    Args:
        before: The parent.
        after: The new version, on the same encoder.
        pack: The slices.
        make_stage: Makes a stage of so many steps.
    """
    checked = pack.side(checked=True)
    stage = make_stage(SCORING_PACK, 2 * len(checked))
    old, new = (score_pack(one.model, pack, checked, stage.step, one.refiner) for one in (before, after))
    figures = []
    for patient, scores in new.items():
        slices = sum(f"patient {pack.patients[index]}" == patient for index in checked)
        figures += _figures(PACK, patient, slices, old[patient], scores)
    return figures


def check_figures(
    before: Version | None,
    after: Version,
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
            old = score_volume(before.model, case, cancel, before.refiner)
            stage.step()
        new = score_volume(after.model, case, cancel, after.refiner)
        stage.step()
        for version in (before, after):
            if version is not None and isinstance(version.model.backend, RememberingBackend):
                version.model.backend.forget()  # the next volume is another one
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
