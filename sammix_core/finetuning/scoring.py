"""Dice of a model on single slices and on whole volumes, with automatic and with oracle boxes apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import torch

from sammix_core.boxes import Box, BoxSource, tight_box
from sammix_core.datasets.cases import LabelledCase
from sammix_core.datasets.correction import Correction
from sammix_core.evaluation.oracle import oracle_boxes
from sammix_core.finetuning.encoded import EncodedSlice
from sammix_core.finetuning.samples import Sample
from sammix_core.guidance.boxes_from_cam import BoxSettings, GuidedBoxes, boxes_from_cam
from sammix_core.masks.overlap import Overlap
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.progress import CancelCheck
from sammix_core.sam.backend import SamBackend, WrappedBackend
from sammix_core.segmentation.following.follow import follow
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.segmentation.slice_decoder import MaskRefiner, SliceDecoder
from sammix_core.volume.axial_order import AxialOrder

KINDS = ("auto", "oracle")
_CANONICAL = AxialOrder((2, 1, 0), (False, False, False))
# A single slice has no neighbours whose support could be added, as in a volume.
_LEAST_SUPPORT_ALONE = 2.0


Scores = dict[str, Overlap]


def score_slice(
    model: LoadedModel, correction: Correction, encoded: EncodedSlice, refiner: MaskRefiner | None = None
) -> Scores:
    """Overlaps of one slice with automatic and with oracle boxes.

    Args:
        model: The model.
        correction: The slice and its mask.
        encoded: The slice as the model's encoder sees it.
        refiner: Refines the masks of automatic boxes.
    """
    frame = correction.frame(model.preprocessing.size)
    shape = (1, *correction.hu.shape)
    slices = AxialSlices(_CANONICAL, correction.hu[None], 1.0, frame, model.preprocessing, shape)
    embedding = torch.from_numpy(np.array(encoded.embedding)).float()[None].to(model.device)
    decoder = SliceDecoder(model.backend, model.masks, slices, lambda _index: encoded.image, lambda _index: embedding)
    guided = _guided(model, decoder)
    scores: Scores = {}
    for kind in KINDS:
        boxes = _auto(guided, slices) if kind == "auto" else _oracle(correction)
        if not boxes:
            scores[kind] = Overlap.of(np.zeros_like(correction.mask), correction.mask)
            continue
        cam = guided.cam_logits[0]
        supports = [guided.support[0] if kind == "auto" else None] * len(boxes)
        decoded = decoder.decode_boxes(boxes, cam, [refiner if kind == "auto" else None] * len(boxes))
        mask = decoder.slice_mask(decoded, boxes, cam, supports).mask
        scores[kind] = Overlap.of(mask, correction.mask)
    return scores


def score_samples(
    model: LoadedModel,
    samples: Sequence[Sample],
    encoded: Callable[[Sample], EncodedSlice],
    on_slice: Callable[[], None],
    refiner: MaskRefiner | None = None,
) -> dict[str, Scores]:
    """Overlaps by case: those of its slices added up.

    Args:
        model: The model.
        samples: The slices.
        encoded: Gives a slice as the model's encoder sees it.
        on_slice: Called after each slice; may raise to stop.
        refiner: See `score_slice`.
    """
    scored = ((sample.case, score_slice(model, sample.correction, encoded(sample), refiner)) for sample in samples)
    return added_up(scored, on_slice)


def added_up(scored: Iterable[tuple[str, Scores]], on_slice: Callable[[], None]) -> dict[str, Scores]:
    """Overlaps by case or patient: those of its slices added up.

    Args:
        scored: The name and the overlaps of each slice.
        on_slice: Called after each slice; may raise to stop.
    """
    sums: dict[str, Scores] = {}
    for name, scores in scored:
        before = sums.setdefault(name, {kind: Overlap() for kind in KINDS})
        for kind in KINDS:
            before[kind] = before[kind] + scores[kind]
        on_slice()
    return sums


def mean_dice(cases: Mapping[str, Scores], kind: str) -> float | None:
    """Mean Dice over cases, each counting the same; None where no case has anything to score."""
    dices = [scores[kind].dice for scores in cases.values() if scores[kind].total]
    return fmean(dices) if dices else None


def score_volume(
    model: LoadedModel, case: LabelledCase, cancel: CancelCheck, refiner: MaskRefiner | None = None
) -> Scores:
    """Overlaps of a whole volume, as a user would segment it; slices whose mask is not known do not count.

    Raises:
        Cancelled: The user stopped.
    """
    session = SegmentationSession(model, case.volume)
    session.set_refiner(refiner)
    session.find_boxes(cancel=cancel)
    label, labelled = case.mask_volume(), case.labelled
    scores: Scores = {}
    for kind in KINDS:
        if kind == "oracle":
            session.boxes = oracle_boxes(case.volume, case.order.back(label))
        mask = case.order.forward(session.segment_boxes(cancel=cancel).mask.astype(bool))
        scores[kind] = Overlap.of(mask[labelled], label[labelled])
    return scores


class RememberingBackend(WrappedBackend):
    """A backend that encodes each image once, for models that share an encoder to be scored on one volume.

    Args:
        backend: Encodes and decodes.
        embeddings: What was encoded, shared with the other model's.
    """

    batch = 1  # an image is found again whichever others were asked for with it
    concurrency = 1

    def __init__(self, backend: SamBackend, embeddings: dict[bytes, torch.Tensor]) -> None:
        super().__init__(backend)
        self._embeddings = embeddings

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """See `SamBackend.encode`; what is remembered has half precision, as in a session."""
        key = hashlib.sha256(images.cpu().numpy().tobytes()).digest()
        if key not in self._embeddings:
            self._embeddings[key] = self.backend.encode(images).to(torch.float16).cpu()
        return self._embeddings[key].to(self.device, torch.float32)

    def forget(self) -> None:
        """Gives the memory back."""
        self._embeddings.clear()


def for_one_slice(boxes: BoxSettings) -> BoxSettings:
    """How boxes are made of the map of a slice that has no neighbours."""
    return replace(
        boxes,
        least_support=min(boxes.least_support, _LEAST_SUPPORT_ALONE),
        probability_high=(boxes.probability_high + boxes.probability_low) / 2,
    )


def _guided(model: LoadedModel, decoder: SliceDecoder) -> GuidedBoxes:
    """The guidance's boxes for one slice, refitted as in a volume."""
    size = model.preprocessing.size
    maps = model.guidance.maps(torch.from_numpy(decoder.image(0))[None, None], decoder.embedding(0))
    guided = boxes_from_cam(maps, 1.0, size, for_one_slice(model.boxes))
    return follow(guided, decoder, 1.0, size, replace(model.following, follow_mm=0.0, break_mm=0.0))


def _auto(guided: GuidedBoxes, slices: AxialSlices) -> list[Box]:
    every = [slices.to_voxels(box) for box in guided.boxes[0]]
    return [Box(0, *edges, BoxSource.AUTO, part=part) for part, edges in enumerate(every) if edges is not None]


def _oracle(correction: Correction) -> list[Box]:
    edges = tight_box(correction.mask)
    return [] if edges is None else [Box(0, *edges, BoxSource.EDITED)]
