"""A new version in the store: offered with its parent and both figures, and used by nobody until it is activated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch

from sammix_core.engines.int8 import RANGES_FILE
from sammix_core.evaluation.report import RESEARCH_ONLY
from sammix_core.finetuning.candidate import Weights
from sammix_core.finetuning.result import FineTuneResult
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import NAME as EMBEDDING_CAM
from sammix_core.model_store.manifest import PACK_FILE, REFINER, WEIGHTS_FILE, Manifest
from sammix_core.model_store.store import ModelFolder, user_models_folder
from sammix_core.model_store.weights import load_model_weights, write_model
from sammix_core.sam import lora
from sammix_core.sam.options import encoder_ranges
from sammix_core.segmentation import plausibility
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.slice_decoder import MaskRefiner

_CARD = """# {spec}

Made on this machine by fine-tuning [{parent}] on {slices} slices of {cases}. {research}

{sentence}

| Dice | before | after |
| --- | --- | --- |
{rows}

The slices that these figures are on were not learnt from. {notes}

Target: {target}. Weights: {decoder_share:.0%} of the way from the parent's to the trained ones, the guidance head's
{head_share:.0%}.
"""


@dataclass(frozen=True)
class Candidate:
    """What becomes the new version.

    Attributes:
        weights: Head and decoder.
        adapter: LoRA on the encoder, the parent's included, or None where it is the parent's own.
        boxes: How boxes are made of maps.
        target: What it segments.
        new_structure: Whether the parent does not know the structure.
        refiner: What refines the masks of its automatic boxes, or None.
    """

    weights: Weights
    adapter: Mapping[str, torch.Tensor] | None
    boxes: BoxSettings
    target: str
    new_structure: bool
    refiner: MaskRefiner | None = None


def publish_candidate(
    parent: ModelFolder, candidate: Candidate, cases: Sequence[str], result: FineTuneResult
) -> ModelFolder:
    """Writes the new version to the user's models; the folder appears when it is complete.

    Args:
        parent: The model that it was made of.
        candidate: Weights and settings.
        cases: Keys of the cases that were learnt from.
        result: Its figures; its name and version among them.

    Raises:
        InputError: That version is there by now, or the disk is full.
    """
    name, _, version = result.model.partition("/")
    old = parent.manifest
    guidance = {**old.guidance, "name": EMBEDDING_CAM, "boxes": candidate.boxes.to_dict()}
    if candidate.new_structure:
        guidance = {"name": EMBEDDING_CAM, "boxes": candidate.boxes.to_dict(), "following": FollowSettings().to_dict()}
    elif candidate.adapter is not None:
        # It compares embeddings with the parent's, and this encoder makes others.
        guidance.pop(plausibility.NAME, None)
    # Another structure may hold fat, or be fat.
    masks = {**old.postprocessing, **({"clean_density": False} if candidate.new_structure else {})}
    guidance.pop(REFINER, None)
    if candidate.refiner is not None:
        guidance[REFINER] = candidate.refiner.spec
    # A second guidance of the parent's knows the parent's structure alone.
    kept = [
        file
        for file in old.files
        if file not in (WEIGHTS_FILE, RANGES_FILE)
        and not (candidate.new_structure and file != lora.WEIGHTS_FILE)
        and not (candidate.adapter is not None and file in (plausibility.WEIGHTS_FILE, PACK_FILE))
    ]
    more: dict[str, Mapping[str, torch.Tensor]] = {file: load_model_weights(parent, file) for file in kept}
    if candidate.adapter is not None:
        more[lora.WEIGHTS_FILE] = candidate.adapter
    # The int8 ranges belong to the parent's encoder: another LoRA computes in float32.
    ranges = encoder_ranges(parent) if candidate.adapter is None else None
    figures = {key: value for key, value in result.to_json().items() if key != "folder"}
    manifest = replace(
        old,
        name=name,
        version=version,
        target=candidate.target,
        created=datetime.now(UTC).date().isoformat(),
        guidance=guidance,
        postprocessing=masks,
        metrics={"finetuning": figures},
        training_cases=list(dict.fromkeys([*([] if candidate.new_structure else old.training_cases), *cases])),
        parent=old.spec,
    )
    return write_model(
        user_models_folder(),
        manifest,
        candidate.weights.state(),
        _card(manifest, cases, result),
        more=more,
        copies={} if ranges is None else {RANGES_FILE: ranges},
        exact=(plausibility.WEIGHTS_FILE,),
    )


def _card(manifest: Manifest, cases: Sequence[str], result: FineTuneResult) -> str:
    rows = "\n".join(
        f"| {label} | {'-' if before is None else f'{before:.3f}'} | {after:.3f} |"
        for label, before, after in result.table()
    )
    return _CARD.format(
        spec=manifest.spec,
        parent=manifest.parent,
        slices=result.train_slices,
        cases="one case" if len(cases) == 1 else f"{len(cases)} cases",
        research=RESEARCH_ONLY,
        sentence=result.sentence,
        rows=rows,
        notes=" ".join(result.notes),
        target=manifest.target,
        decoder_share=result.decoder_share,
        head_share=result.head_share,
    )
