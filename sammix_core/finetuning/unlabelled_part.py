"""Learning from CTs without masks: head and decoder together, by the loss of the semi-supervised training.

Image-level labels of their slices teach the head; slices known to be free of the structure also have a mask, an empty
one. For the others, the model's mask of a slice as it is becomes the target for the slice with another contrast, kernel
and noise, where mask, map and box agree and the mask is sure. Network and losses are those of
`sammix_core.training.semi_supervised`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch

from sammix_core.datasets.sampling import PatientSampler
from sammix_core.finetuning.candidate import Weights
from sammix_core.finetuning.encoded import SAME_PLACE, Encoder, as_views
from sammix_core.finetuning.part_training import Parent, PartTrainer
from sammix_core.finetuning.recipe import Recipe
from sammix_core.finetuning.samples import Sample
from sammix_core.finetuning.unlabelled_slices import UnlabelledCase
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.training.loop import LoopSettings, RatedParameters, one_cycle, train_steps
from sammix_core.training.semi_supervised.guides import DROPPED_CHANNELS
from sammix_core.training.semi_supervised.network import NO_FOLD, Batch, SamMix
from sammix_core.training.semi_supervised.settings import SamMixTraining
from sammix_core.training.views import CLEAN, View, ViewSamples

LABEL = "model on CTs without labels"
STEPS = 100
_POSITIVE_SHARE = 2 / 3
_MAX_GRADIENT_NORM = 5.0
_CHECKPOINT_EVERY = 40


def training_settings(recipe: Recipe) -> SamMixTraining:
    """The semi-supervised training's own settings, with the rates of the run."""
    return SamMixTraining(
        steps=STEPS,
        warm_up=0,  # head and decoder have learnt from the masks already
        guidance_rate=recipe.head.learning_rate,
        decoder_rate=recipe.decoder.learning_rate,
        agreement=True,
    )


def views_needed(cases: Sequence[UnlabelledCase]) -> list[tuple[Sample, str]]:
    """The views that have to be encoded."""
    samples = [(sample, CLEAN) for case in cases for sample in (*case.without_mask, *case.absent)]
    return samples + [(sample, SAME_PLACE) for case in cases for sample in case.without_mask]


def learn_from_unlabelled(
    trainer: PartTrainer, parent: Parent, trained: Weights, boxes: BoxSettings, batches: UnlabelledBatches
) -> Weights:
    """Trains head and decoder further, resuming from the checkpoint to the same result.

    Args:
        trainer: Knows where checkpoints are kept and reports each step.
        parent: The model that the run begins with.
        trained: Head and decoder after learning from the masks; what to begin with.
        boxes: How boxes are made of maps.
        batches: What is learnt from.

    Raises:
        Cancelled: The user stopped; the next call resumes.
    """
    settings = batches.settings
    context = trainer.context(LABEL, [batches.key(), asdict(settings), boxes.to_dict()], settings.steps)
    torch.manual_seed(context.seed)
    network = SamMix(parent.backend.network, settings)
    network.masks = parent.model.masks
    network.guide.boxes = boxes
    network.guide.load_state_dict({f"head.{name}": tensor for name, tensor in trained.head.items()})
    network.decoder.load_state_dict(dict(trained.decoder), strict=False)  # buffers are those of the base model
    network.train()
    parts: list[RatedParameters] = [
        (network.guide.parameters(), settings.guidance_rate),
        (network.decoder.parameters(), settings.decoder_rate),
    ]
    learning = one_cycle(parts, settings.weight_decay, settings.steps)
    loop = LoopSettings(settings.steps, settings.steps // 3, _MAX_GRADIENT_NORM, _CHECKPOINT_EVERY)
    average: SamMix = train_steps(network, learning, batches, network, loop, context)
    head = {name.removeprefix("head."): tensor for name, tensor in average.guide.state_dict().items()}
    return Weights(head, {name: tensor.detach() for name, tensor in average.decoder.named_parameters()})


class UnlabelledBatches:
    """Makes the batch of a step: labelled slices, and slices without masks in two views of the same geometry.

    Args:
        views: The labelled slices.
        cases: The CTs without masks, which all count alike.
        encoder: Has the embeddings of the views.
        settings: How many of each kind.
        seed: Of the draws.

    Attributes:
        settings: As given.
    """

    def __init__(
        self,
        views: Sequence[View],
        cases: Sequence[UnlabelledCase],
        encoder: Encoder,
        settings: SamMixTraining,
        seed: int,
    ) -> None:
        absent = [sample for case in cases for sample in case.absent]
        empty, _images = as_views(absent, lambda _sample: [CLEAN], encoder, lambda sample: sample.case)
        self._labelled = ViewSamples([*views, *empty], np.random.default_rng(seed))
        self._pairs = self._labelled.draws(settings.steps, settings.batch, _POSITIVE_SHARE)
        self._cases, self._encoder, self._seed = cases, encoder, seed
        self.settings = settings
        self._others = PatientSampler(
            (sample.case, sample.case, (sample, present))
            for case in cases
            for samples, present in ((case.present, 1.0), (case.unknown, float("nan")))
            for sample in samples
        )

    def key(self) -> list[list[object]]:
        """Hashes of the slices, in kinds: another choice of slices, or another word on them, gives another key."""
        kinds = [(one.present, one.unknown, one.absent) for one in self._cases]
        return [[sample.correction.hu_sha256 for sample in kind] for kinds_of_one in kinds for kind in kinds_of_one]

    def __call__(self, step: int) -> Batch:
        """The batch of a step, from its number alone."""
        rng = np.random.default_rng([self._seed, step])
        pairs = self._pairs[step]
        shares, embeddings = self._labelled.shares(pairs), self._labelled.embeddings(pairs)
        others = self._others.draw(self.settings.unlabelled_batch, rng) if len(self._others) else []
        channels, height, width = embeddings.shape[1:]
        # The head on the embedding looks at no image; only its size matters.
        images = torch.zeros_like(shares[:1])
        of_others = images.expand(len(others), -1, -1, -1)
        return Batch(
            images=images.expand(len(pairs), -1, -1, -1),
            embeddings=embeddings,
            shares=shares,
            present=shares.flatten(1).any(1).float(),
            weak_images=of_others,
            weak_embeddings=self._embeddings(others, CLEAN, embeddings),
            strong_images=of_others,
            strong_embeddings=self._embeddings(others, SAME_PLACE, embeddings),
            unlabelled_present=torch.tensor([present for _, present in others]),
            kept=torch.from_numpy(rng.random((len(pairs) + len(others), channels)) >= DROPPED_CHANNELS),
            seed=torch.tensor([self._seed, step, 0]),
            folds=torch.full((len(pairs),), NO_FOLD),
            # Slices are spread, so those beside one are mostly not encoded.
            neighbours=torch.full((1,), torch.nan).expand(len(others), 2, channels, height, width),
            positions=torch.zeros(1).expand(len(others), height, width, 2),
        )

    def _embeddings(self, others: Sequence[tuple[Sample, float]], view: str, like: torch.Tensor) -> torch.Tensor:
        """(slices, c, h, w) float32 of slices in one of their views; c, h and w are those of `like`."""
        if not others:
            return like[:0]
        return torch.from_numpy(np.stack([self._encoder.get(sample, view).embedding for sample, _ in others])).float()
