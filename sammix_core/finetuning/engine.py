"""A whole run: collect, encode, train, go part of the way, score before and after, publish."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch

from sammix_core.embeddings.view_store import key_of
from sammix_core.finetuning import recipe as recipes
from sammix_core.finetuning.candidate import Weights, head_from, weights_of, with_weights
from sammix_core.finetuning.encoded import EncodedSlice, Encoder, as_views, view_names, within_memory
from sammix_core.finetuning.figures import (
    CHECKING,
    SCORING,
    SCORING_PACK,
    Version,
    check_figures,
    pack_figures,
    slice_figures,
)
from sammix_core.finetuning.interpolation import (
    Endpoints,
    choose_shares,
    kept_shares,
    shares_tried,
    slices_for_share,
)
from sammix_core.finetuning.lora_part import SETTINGS as LORA
from sammix_core.finetuning.lora_part import adapt, encoder_key
from sammix_core.finetuning.pack import open_pack
from sammix_core.finetuning.pack_scoring import score_pack
from sammix_core.finetuning.part_training import (
    LearningMaterial,
    Parent,
    PartTrainer,
    groups_of,
    out_of_fold_guidance,
    rehearsed,
    scaled_boxes,
    stage_of,
)
from sammix_core.finetuning.publishing import Candidate, publish_candidate
from sammix_core.finetuning.reporter import Reporter
from sammix_core.finetuning.result import ONE_SIDED, Figure, FineTuneResult, judge
from sammix_core.finetuning.run_folder import FineTuneRun
from sammix_core.finetuning.samples import Sample, collect_samples
from sammix_core.finetuning.scoring import KINDS, RememberingBackend, mean_dice, score_samples
from sammix_core.finetuning.unlabelled_part import LABEL as UNLABELLED
from sammix_core.finetuning.unlabelled_part import (
    UnlabelledBatches,
    learn_from_unlabelled,
    training_settings,
    views_needed,
)
from sammix_core.finetuning.unlabelled_slices import absent_for_share, collect_unlabelled, notes_on
from sammix_core.guidance.base import Guidance
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.model_store.activation import check_usable
from sammix_core.model_store.manifest import PACK_FILE
from sammix_core.model_store.store import resolve
from sammix_core.progress import ProgressReporter
from sammix_core.segmentation.default_refiner import default_refiner
from sammix_core.segmentation.model_loading import LoadedModel, load_model
from sammix_core.segmentation.slice_decoder import MaskRefiner
from sammix_core.training.calibrate import calibrate_boxes
from sammix_core.training.interpolation import Shares
from sammix_core.training.views import CLEAN, View

ENCODING, CHOOSING, KEEPING = "Encoding slices", "Choosing how far to go", "Comparing with other patients"
REFINING = "Trying the refiner"
UNCHECKED = "LoRA has changed the encoder, so the new version could not be checked on the training patients."


@dataclass(frozen=True)
class _Trained:
    """What training head and decoder gives.

    Attributes:
        weights: Head and decoder.
        material: What was learnt from.
    """

    weights: Weights
    material: LearningMaterial


class FineTuning:
    """One run at work.

    Args:
        run: Its folder and settings.
        reporter: Reports everything; polled whether to stop.

    Raises:
        InputError: The parent cannot be fine-tuned, or there is not enough to learn from.
    """

    def __init__(self, run: FineTuneRun, reporter: Reporter) -> None:
        settings = run.settings
        torch.set_num_threads(settings.threads)
        self._run, self._settings, self._reporter = run, settings, reporter
        self._folder = resolve(settings.parent)
        check_usable(self._folder)
        manifest = self._folder.manifest
        self._new = settings.target is not None and settings.target != manifest.target
        self._target = settings.target or manifest.target
        # The trainings compute on the CPU, where a run takes minutes; with one device nothing has to be moved about.
        model = load_model(settings.parent, "cpu", None, None, "auto")
        self._parent = Parent(model, weights_of(model))
        spec, earlier_cases = model.preprocessing, [] if self._new else manifest.training_cases
        self._samples = collect_samples(settings, self._target, earlier_cases, spec, run.folder)
        self._learnt = sorted(self._samples.learnt, key=lambda sample: (sample.case, sample.correction.slice_index))
        # What goes with the parent knows its structure and its encoder alone.
        self._pack = None if self._new else open_pack(self._folder)
        self._refiner = None if self._new else default_refiner(model)
        self._recipe = (recipes.from_scratch if self._new else recipes.gentle)(len(self._learnt))
        labelled = {sample.case for sample in self._samples.samples}
        self._unlabelled = collect_unlabelled(settings, self._target, labelled, spec, run.cts_folder)
        self._views = within_memory(self._samples.samples, settings.views)
        self._encoder = Encoder(model.backend, spec, encoder_key(self._folder), settings.seed)

    def work(self) -> FineTuneResult:
        """Does all of it.

        Raises:
            InputError: Something cannot be used; nothing was written to the store.
            Cancelled: The user stopped; what is done stays for the next start.
        """
        to_share = slices_for_share(self._learnt)
        compared = [*to_share, *absent_for_share(self._unlabelled, to_share)]
        self._plan(compared)
        self._encode()
        model = self._parent.model
        if not self._new:
            self._curve("start", 0, model)
        trainer = PartTrainer(
            parent=self._parent,
            recipe=self._recipe,
            seed=self._settings.seed,
            folder=self._run.folder / "checkpoints",
            key=self._key(),
            reporter=self._reporter,
            curve=self._curve,
        )
        trained = self._train(trainer)
        material = trained.material
        stage = self._stage(CHOOSING, shares_tried(self._new) * len(compared))
        endpoints = Endpoints(model, self._parent.weights, trained.weights, material.boxes)
        shares = choose_shares(endpoints, compared, self._clean, stage.step, new_structure=self._new)
        shares = self._kept(endpoints, shares)
        weights, adapter, encoder = endpoints.between(shares), None, self._encoder
        if self._settings.lora:
            adapted = adapt(trainer, self._folder, model, weights, material)
            weights, adapter = adapted.weights, adapted.adapter
            model = replace(model, backend=adapted.backend)
            key = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in adapter.values())).hexdigest()[:16]
            encoder = Encoder(adapted.backend, model.preprocessing, key, self._settings.seed)
        weights = weights.stored()
        made = with_weights(model, weights, material.boxes)
        refiner = None if self._new or adapter is not None else self._refiner_for(made, compared)
        figures = self._figures(Version(made, refiner), encoder)
        candidate = Candidate(weights, adapter, material.boxes, self._target, self._new, refiner)
        return self._publish(candidate, shares, figures)

    def _train(self, trainer: PartTrainer) -> _Trained:
        groups = groups_of(self._learnt, self._new)
        views, images = as_views(
            self._learnt,
            lambda sample: view_names(sample, self._views),
            self._encoder,
            lambda sample: groups[id(sample)],
        )
        model = self._parent.model
        memory: list[View] = []
        if self._pack is not None and self._settings.rehearse:
            memory = rehearsed(self._pack, set(groups.values()))
        if self._new:
            head = trainer.head(views, None)
            cams = out_of_fold_guidance(trainer, views, head, model.device)
            boxes = calibrate_boxes(views, cams, scaled_boxes(BoxSettings(), views))
            guidance: dict[str, Guidance] = {**cams}
        else:
            head = trainer.head([*views, *memory], head_from(self._parent.weights.head))
            # The parent's head has not seen the new slices, so its boxes are as wrong as they are for a new patient.
            guidance = {view.patient: model.guidance for view in (*views, *memory)}
            boxes = model.boxes
        material = LearningMaterial(views, images, guidance, boxes)
        decoder = trainer.decoder(replace(material, views=[*views, *memory]), head)
        weights = Weights(dict(head.state_dict()), decoder)
        if self._unlabelled:
            settings, known = training_settings(self._recipe), [*views, *memory]
            batches = UnlabelledBatches(known, self._unlabelled, self._encoder, settings, self._settings.seed)
            weights = learn_from_unlabelled(trainer, self._parent, weights, boxes, batches)
        return _Trained(weights, material)

    def _kept(self, endpoints: Endpoints, shares: Shares) -> Shares:
        """Shares with which the training patients lose next to nothing, on the slices that may be learnt from."""
        pack = self._pack
        if pack is None:
            return shares
        known = pack.side(checked=False)

        def dice(model: LoadedModel) -> list[float]:
            scores = score_pack(model, pack, known, self._stage(KEEPING, len(known)).step)
            return [mean_dice(scores, kind) or 0.0 for kind in KINDS]

        before = dice(self._parent.model)

        def lost(tried: Shares) -> float:
            after = dice(with_weights(endpoints.model, endpoints.between(tried), endpoints.boxes))
            return max(old - new for old, new in zip(before, after, strict=True))

        return kept_shares(shares, lost)

    def _refiner_for(self, made: LoadedModel, samples: Sequence[Sample]) -> MaskRefiner | None:
        """The parent's refiner, where it makes the new version's masks no worse on the slices that are learnt from."""
        refiner, pack = self._refiner, self._pack
        if refiner is None:
            return None
        known = [] if pack is None else pack.side(checked=False)
        stage = self._stage(REFINING, 2 * (len(samples) + len(known)))

        def dice(tried: MaskRefiner | None) -> float:
            cases = score_samples(made, samples, self._clean, stage.step, tried)
            others = {} if pack is None else score_pack(made, pack, known, stage.step, tried)
            return fmean(mean_dice(of_cases, KINDS[0]) or 0.0 for of_cases in (cases, others) if of_cases)

        return refiner if dice(refiner) >= dice(None) else None

    def _figures(self, after: Version, encoder: Encoder) -> list[Figure]:
        before = None if self._new else Version(self._parent.model, self._refiner)
        held_back = self._samples.held_back
        figures = slice_figures(
            before, after, held_back, self._clean, lambda sample: encoder.get(sample, CLEAN), self._stage
        )
        if encoder is self._encoder:
            self._curve("end", 0, after.model)
        if before is not None and encoder is self._encoder:
            if self._pack is not None:
                figures += pack_figures(before, after, self._pack, self._stage)
            # Both see the same embeddings, so each slice is encoded once.
            embeddings: dict[bytes, torch.Tensor] = {}
            before, after = (
                replace(one, model=replace(one.model, backend=RememberingBackend(one.model.backend, embeddings)))
                for one in (before, after)
            )
        learnt = {sample.case for sample in self._learnt} | {case.key for case in self._unlabelled}
        return figures + check_figures(before, after, self._settings, learnt, self._stage, self._reporter.should_stop)

    def _publish(self, candidate: Candidate, shares: Shares, figures: list[Figure]) -> FineTuneResult:
        verdict, sentence = judge(figures, self._new)
        is_one_sided = all(sample.positive for sample in self._learnt) and not any(c.absent for c in self._unlabelled)
        # A pack has slices without the structure, and those are checked.
        if not self._new and self._pack is None and shares.head > 0 and is_one_sided:
            sentence = f"{sentence} {ONE_SIDED}"
        unchecked = [UNCHECKED] if self._pack is not None and candidate.adapter is not None else []
        result = FineTuneResult(
            model=self._settings.name,
            parent=self._folder.spec,
            folder=self._folder.path,
            verdict=verdict,
            sentence=sentence,
            figures=tuple(figures),
            head_share=shares.head,
            decoder_share=shares.decoder,
            seconds=round(self._reporter.seconds, 1),
            train_slices=len(self._learnt),
            held_back_slices=len(self._samples.held_back),
            notes=(*self._samples.notes, *notes_on(self._unlabelled), *unchecked),
        )
        cases = list(dict.fromkeys(sample.case for sample in self._learnt))
        published = publish_candidate(self._folder, candidate, cases, result)
        result = replace(result, folder=published.path)
        self._run.write_result(result)
        shutil.rmtree(self._run.cts_folder, ignore_errors=True)
        return result

    def _clean(self, sample: Sample) -> EncodedSlice:
        return self._encoder.get(sample, CLEAN)

    def _curve(self, part: str, step: int, model: LoadedModel) -> None:
        shown = sorted(self._samples.held_back, key=lambda sample: not sample.positive)[: recipes.MOST_FOR_CURVE]
        scores = score_samples(model, shown, self._clean, lambda: None)
        auto, oracle = (mean_dice(scores, kind) for kind in KINDS)
        self._reporter.report_dice(part, step, auto, oracle)

    def _missing(self) -> list[tuple[Sample, str]]:
        """Views that are not on disk, clean ones first."""
        needed = [(sample, view) for sample in self._samples.samples for view in view_names(sample, self._views)]
        needed += views_needed(self._unlabelled)
        needed.sort(key=lambda pair: pair[1] != CLEAN)
        return [(sample, view) for sample, view in needed if not self._encoder.is_done(sample, view)]

    def _encode(self) -> None:
        missing = self._missing()
        if not missing:
            return  # no stage of no steps is reported
        stage = self._stage(ENCODING, len(missing))
        for sample, view in missing:
            self._encoder.get(sample, view)
            stage.step()

    def _stage(self, name: str, total: int) -> ProgressReporter:
        return ProgressReporter(name, total, self._reporter.report, self._reporter.should_stop)

    def _plan(self, to_share: Sequence[Sample]) -> None:
        """Steps, and seconds a step as measured on two cores; the run's own pace corrects them."""
        head, decoder = self._recipe.head.steps, self._recipe.decoder.steps
        plan = {
            ENCODING: (len(self._missing()), 1.1),
            stage_of("head"): (head, 0.5),
            stage_of("decoder"): (decoder, 1.3),
            CHOOSING: (shares_tried(self._new) * len(to_share), 0.5),
            SCORING: ((1 if self._new else 2) * len(self._samples.held_back), 0.5),
        }
        known = 0 if self._pack is None else len(self._pack.side(checked=False))
        if self._refiner is not None:
            plan[REFINING] = (2 * (len(to_share) + known), 0.5)
        if self._pack is not None:
            plan[KEEPING] = (2 * known, 0.5)
            plan[SCORING_PACK] = (2 * len(self._pack.side(checked=True)), 0.5)
        if self._unlabelled:
            plan[stage_of(UNLABELLED)] = (training_settings(self._recipe).steps, 2.0)
        groups = set(groups_of(self._learnt, self._new).values())
        if self._new and len(groups) > 1:
            plan.update({stage_of(f"head without {group}"): (head, 0.5) for group in groups})
        if self._settings.lora:
            plan[stage_of("lora")] = (LORA.steps, 8.0)
        if self._settings.check is not None:
            plan[CHECKING] = (1 if self._new else 2, 120.0)
        self._reporter.plan(plan)

    def _key(self) -> str:
        """Changes with what is learnt from, so that a run resumes a checkpoint only with the same slices."""
        samples = self._samples.samples
        parts = sorted(
            (
                sample.case,
                sample.correction.slice_index,
                sample.correction.hu_sha256,
                sample.held_back,
                sample.earlier,
            )
            for sample in samples
        )
        masks = hashlib.sha256(b"".join(sample.correction.mask.tobytes() for sample in samples))
        memory = self._folder.manifest.files[PACK_FILE] if self._pack is not None and self._settings.rehearse else ""
        return key_of([parts, masks.hexdigest(), self._views, memory], digits=64)
