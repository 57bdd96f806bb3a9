"""A whole run: gather, encode, train, go part of the way, score before and after, publish_candidate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from sammix_core.finetuning import recipe as recipes
from sammix_core.finetuning.candidate import Shares, Weights, between, weights_of, with_weights
from sammix_core.finetuning.encoded import EncodedSlice, Encoder, as_views, view_names, within_memory
from sammix_core.finetuning.figures import CHECKING, SCORING, check_figures, slice_figures
from sammix_core.finetuning.gather import Gathered, Sample, gather
from sammix_core.finetuning.lora_part import SETTINGS as LORA
from sammix_core.finetuning.lora_part import adapt, encoder_key
from sammix_core.finetuning.publishing import publish_candidate
from sammix_core.finetuning.reporter import Reporter
from sammix_core.finetuning.result import ONE_SIDED, Figure, FineTuneResult, judge
from sammix_core.finetuning.run_folder import FineTuneRun
from sammix_core.finetuning.scoring import KINDS, RememberingBackend, mean_dice, score_samples
from sammix_core.finetuning.share import choose_shares, shares_tried, slices_for_share
from sammix_core.finetuning.trainings import Trainings, groups_of, out_of_fold_guidance, scaled_boxes, stage_of
from sammix_core.guidance.base import Guidance
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_head import EmbeddingHead
from sammix_core.model_store.activation import check_usable
from sammix_core.model_store.store import resolve
from sammix_core.progress import ProgressReporter
from sammix_core.segmentation.model_loading import LoadedModel, load_model
from sammix_core.training.calibrate import calibrate_boxes
from sammix_core.training.views import CLEAN, View

ENCODING, CHOOSING = "Encoding slices", "Choosing how far to go"


@dataclass(frozen=True)
class _Trained:
    """What the trainings of head and decoder give.

    Attributes:
        weights: Head and decoder.
        boxes: How boxes are made of maps.
        guidance: By the views' case, heads that have not seen it.
        views: What was learnt from.
        images: Of each view.
    """

    weights: Weights
    boxes: BoxSettings
    guidance: dict[str, Guidance]
    views: list[View]
    images: list[np.ndarray]


class FineTuning:
    """One run at work.

    Args:
        run: What is asked.
        reporter: Told of everything, asked whether to stop.

    Raises:
        InputError: The parent cannot be fine-tuned, or there is not enough to learn from.
    """

    def __init__(self, run: FineTuneRun, reporter: Reporter) -> None:
        settings = run.settings
        torch.set_num_threads(settings.threads)
        self._run, self._settings, self._reporter = run, settings, reporter
        self._folder = resolve(settings.parent)
        check_usable(self._folder)
        known = self._folder.manifest
        self._new = settings.target is not None and settings.target != known.target
        self._target = settings.target or known.target
        # The trainings compute on the CPU, where a run takes minutes; with one device nothing has to be moved about.
        self._parent: LoadedModel = load_model(settings.parent, "cpu", None, None, "auto")
        self._weights = weights_of(self._parent)
        spec, cases = self._parent.preprocessing, [] if self._new else known.training_cases
        self._gathered: Gathered = gather(settings, self._target, cases, spec, run.folder)
        self._learnt = sorted(self._gathered.learnt, key=lambda sample: (sample.case, sample.correction.slice_index))
        self._recipe = (recipes.from_scratch if self._new else recipes.gentle)(len(self._learnt))
        self._views = within_memory(self._gathered.samples, settings.views)
        self._encoder = Encoder(self._parent.backend, spec, encoder_key(self._folder), settings.seed)

    def work(self) -> FineTuneResult:
        """Does all of it.

        Raises:
            InputError: Something cannot be used; nothing was written to the store.
            Cancelled: The user stopped; what is done stays for the next start.
        """
        to_share = slices_for_share(self._learnt)
        self._plan(to_share)
        self._encode()
        if not self._new:
            self._curve("start", 0, self._parent)
        trainings = Trainings(
            *(self._parent, self._weights, self._recipe, self._settings.seed, self._run.folder / "checkpoints"),
            *(self._key(), self._reporter, self._curve),
        )
        trained = self._train(trainings)
        stage = self._stage(CHOOSING, shares_tried(self._new) * len(to_share))
        shares = choose_shares(
            *(self._parent, self._weights, trained.weights, to_share, self._clean, stage.step),
            boxes=trained.boxes,
            new_structure=self._new,
        )
        weights = between(self._weights, trained.weights, shares)
        base, encoder, adapter = self._parent, self._encoder, None
        if self._settings.lora:
            adapted = adapt(
                *(trainings, self._folder, self._parent, weights, trained.views, trained.images),
                *(trained.guidance, trained.boxes),
            )
            weights, adapter = adapted.weights, adapted.adapter
            base = replace(self._parent, backend=adapted.backend)
            key = hashlib.sha256(b"".join(one.numpy().tobytes() for one in adapter.values())).hexdigest()[:16]
            encoder = Encoder(adapted.backend, base.preprocessing, key, self._settings.seed)
        weights = weights.stored()
        figures = self._figures(with_weights(base, weights, trained.boxes), encoder)
        return self._offer(weights, adapter, trained.boxes, shares, figures)

    def _train(self, trainings: Trainings) -> _Trained:
        groups = groups_of(self._learnt, self._new)
        views, images = as_views(
            self._learnt,
            lambda sample: view_names(sample, self._views),
            self._encoder,
            lambda sample: groups[id(sample)],
        )
        if self._new:
            head = trainings.head(views, None)
            cams = out_of_fold_guidance(trainings, views, head, self._parent)
            boxes = calibrate_boxes(views, cams, scaled_boxes(BoxSettings(), views))
            guidance: dict[str, Guidance] = {**cams}
        else:
            start = EmbeddingHead()
            start.load_state_dict(dict(self._weights.head))
            head = trainings.head(views, start)
            # The parent's head has not seen the new slices, so its boxes are as wrong as they are for a new patient.
            guidance = {view.case: self._parent.guidance for view in views}
            boxes = self._parent.boxes
        decoder = trainings.decoder(views, guidance, boxes, head)
        return _Trained(Weights(dict(head.state_dict()), decoder), boxes, guidance, views, images)

    def _figures(self, after: LoadedModel, encoder: Encoder) -> list[Figure]:
        before = None if self._new else self._parent
        found = slice_figures(
            *(before, after, self._gathered.held_back, self._clean, lambda sample: encoder.get(sample, CLEAN)),
            self._stage,
        )
        if encoder is self._encoder:
            self._curve("end", 0, after)
        if before is not None and encoder is self._encoder:
            # Both see the same embeddings, so each slice is encoded once.
            known: dict[bytes, torch.Tensor] = {}
            before = replace(before, backend=RememberingBackend(before.backend, known))
            after = replace(after, backend=RememberingBackend(after.backend, known))
        learnt = {sample.case for sample in self._learnt}
        return found + check_figures(before, after, self._settings, learnt, self._stage, self._reporter.asked)

    def _offer(
        self,
        weights: Weights,
        adapter: dict[str, torch.Tensor] | None,
        boxes: BoxSettings,
        shares: Shares,
        figures: list[Figure],
    ) -> FineTuneResult:
        verdict, sentence = judge(figures, self._new)
        if not self._new and shares.head > 0 and all(sample.positive for sample in self._learnt):
            sentence = f"{sentence} {ONE_SIDED}"
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
            held_back_slices=len(self._gathered.held_back),
            notes=self._gathered.notes,
        )
        cases = list(dict.fromkeys(sample.case for sample in self._learnt))
        made = publish_candidate(
            *(self._folder, weights, adapter, boxes, self._target, cases, result),
            new_structure=self._new,
        )
        result = replace(result, folder=made.path)
        self._run.write_result(result)
        return result

    def _clean(self, sample: Sample) -> EncodedSlice:
        return self._encoder.get(sample, CLEAN)

    def _curve(self, part: str, step: int, model: LoadedModel) -> None:
        shown = sorted(self._gathered.held_back, key=lambda sample: not sample.positive)[: recipes.MOST_FOR_CURVE]
        scores = score_samples(model, shown, self._clean, lambda: None)
        self._reporter.tell_dice(part, step, *(mean_dice(scores, kind) for kind in KINDS))

    def _missing(self) -> list[tuple[Sample, str]]:
        """Views that are not on disk, clean ones first."""
        wanted = [(sample, view) for sample in self._gathered.samples for view in view_names(sample, self._views)]
        wanted.sort(key=lambda pair: pair[1] != CLEAN)
        return [pair for pair in wanted if not self._encoder.is_done(*pair)]

    def _encode(self) -> None:
        missing = self._missing()
        if not missing:
            return  # and no stage of no steps is told of
        stage = self._stage(ENCODING, len(missing))
        for sample, view in missing:
            self._encoder.get(sample, view)
            stage.step()

    def _stage(self, name: str, total: int) -> ProgressReporter:
        return ProgressReporter(name, total, self._reporter.tell, self._reporter.asked)

    def _plan(self, to_share: Sequence[Sample]) -> None:
        """Steps, and seconds a step as measured on two cores; the run's own pace corrects them."""
        head, decoder = self._recipe.head.steps, self._recipe.decoder.steps
        plan = {
            ENCODING: (len(self._missing()), 1.1),
            stage_of("head"): (head, 0.5),
            stage_of("decoder"): (decoder, 1.3),
            CHOOSING: (shares_tried(self._new) * len(to_share), 0.5),
            SCORING: ((1 if self._new else 2) * len(self._gathered.held_back), 0.5),
        }
        groups = set(groups_of(self._learnt, self._new).values())
        if self._new and len(groups) > 1:
            plan.update({stage_of(f"head without {group}"): (head, 0.5) for group in groups})
        if self._settings.lora:
            plan[stage_of("lora")] = (LORA.steps, 8.0)
        if self._settings.check is not None:
            plan[CHECKING] = (1 if self._new else 2, 120.0)
        self._reporter.plan(plan)

    def _key(self) -> str:
        """Changes with what is learnt from, so that a resumed run goes on only where it was with the same slices."""
        parts = [
            (one.case, one.correction.slice_index, one.correction.hu_sha256, one.held_back, one.earlier)
            for one in self._gathered.samples
        ]
        masks = hashlib.sha256(b"".join(one.correction.mask.tobytes() for one in self._gathered.samples))
        return hashlib.sha256(json.dumps([sorted(parts), masks.hexdigest(), self._views]).encode()).hexdigest()
