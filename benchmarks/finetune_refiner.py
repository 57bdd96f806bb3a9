"""Whether the parent's refiner goes with a version whose decoder has learnt from a user.

    python benchmarks/finetune_refiner.py --refiner FOLDER [--table]

The parent is the fold of `benchmarks/liver_model/config.yaml` without hcc009 (and hcc002 and acrin_flt_breast_001), and
FOLDER the refiner that `benchmarks/refiner/train_refiner.py liver --without hcc009` made on its decoder. The decoder
learns from 24 slices of hcc002 as fine-tuning trains it, and is tested on hcc009, whom neither has seen, on
acrin_flt_breast_001 ("others", whom the refiner has seen) and on other slices of hcc002 ("own", likewise): without a
refiner, with the parent's as it is, and with the parent's moved by what the decoder has learnt ("moved"). Rows go to
benchmarks/finetune_refiner.jsonl.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from finetune_patients import CONFIG, WORK, chosen_slices, part_of, rows_of, test_of

from sammix_core.cli.progress import shown_progress
from sammix_core.finetuning import recipe as recipes
from sammix_core.finetuning.candidate import Weights, weights_of, with_weights
from sammix_core.finetuning.scoring import KINDS
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.model_store.store import ModelFolder, open_model
from sammix_core.model_store.weights import load_model_weights
from sammix_core.progress import ProgressCallback
from sammix_core.refinement.network import RefinerSpec, SliceRefiner
from sammix_core.refinement.organ import OrganRefiner
from sammix_core.refinement.stage import stage_of
from sammix_core.sam.decoding import MaskSettings
from sammix_core.sam.litemedsam import build_network
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.training.config import TrainingConfig
from sammix_core.training.context import TrainingContext
from sammix_core.training.decoder_training import PromptMaker, train_decoder
from sammix_core.training.head_training import train_head
from sammix_core.training.settings import DecoderTraining
from sammix_core.training.supervised import SupervisedTrainer
from sammix_core.training.views import CLEAN

RESULTS = Path(__file__).with_suffix(".jsonl")
FOLD = "acrin_flt_breast_001+hcc002+hcc009"
LEARNT = "hcc002_portal"
TESTS = {"hcc009_portal": "next", "hcc009_plain10mm": "next", "acrin_flt_breast_001": "others"}
_WITH = 24
_CPU = torch.device("cpu")


def measure(folder: ModelFolder, steps: int, show: ProgressCallback) -> None:
    """Trains the version, and scores it and its parent."""
    config = TrainingConfig.read(CONFIG)
    trainer = SupervisedTrainer(config, show)
    views = {(view.case, view.name): view for view in trainer.views}
    clean = views[LEARNT, CLEAN]
    learnt = chosen_slices(clean, _WITH, 0)
    own = [part_of(view, learnt) for (case, _), view in views.items() if case == LEARNT]

    def kept(part: str) -> TrainingContext:
        [checkpoint] = (config.work / "checkpoints").glob(f"{part}-{FOLD}-*.pt")
        return TrainingContext(f"{part} of the parent", checkpoint, config.seed)

    # Both were trained to their ends, so that nothing but their checkpoints is read.
    head = train_head(own, config.head, kept("head"))
    prompts = PromptMaker({LEARNT: EmbeddingCam(head, _CPU)}, BoxSettings(), MaskSettings())
    trainer.backend.load_trained(train_decoder(trainer.backend, own, prompts, config.decoder, kept("decoder")))
    parent = LoadedModel(
        "liver-fold/2.0.0",
        trainer.backend,
        EmbeddingCam(head, _CPU),
        config.preprocessing,
        BoxSettings(),
        MaskSettings(),
        _CPU,
        FollowSettings(),
    )
    before = weights_of(parent)
    prompts = PromptMaker({clean.patient: parent.guidance}, parent.boxes, parent.masks)
    settings = DecoderTraining(steps, batch=4, learning_rate=recipes.gentle(_WITH).decoder.learning_rate)
    context = TrainingContext(
        "version", WORK / "checkpoints" / f"refiner-decoder-{steps}.pt", config.seed, progress=show
    )
    after = train_decoder(trainer.backend, own, prompts, settings, context)
    version = with_weights(parent, Weights(before.head, after))
    others = [int(index) for index in clean.slices if int(index) not in learnt]
    tests = [test_of(group, views[case, CLEAN]) for case, group in TESTS.items()]
    tests.append(test_of("own", part_of(clean, others)))
    refined = {
        "as it is": refiner_on(folder, before.decoder, {}),
        "moved": refiner_on(folder, after, {name: after[name] - before.decoder[name] for name in after}),
    }
    for name, model, which in (
        ("parent", parent, ("none", "as it is")),
        ("version", version, ("none", *refined)),
    ):
        for refiner in which:
            rows = rows_of(model, tests, {"model": name, "refiner": refiner, "steps": steps}, refined.get(refiner))
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(row) + "\n" for row in rows))


def refiner_on(
    folder: ModelFolder, decoder: Mapping[str, torch.Tensor], change: Mapping[str, torch.Tensor]
) -> OrganRefiner:
    """A refiner on a decoder's weights, with a change added to what it has trained of its own."""
    network = build_network()
    network.load_state_dict({**network.state_dict(), **decoder})
    spec = RefinerSpec.from_dict(folder.manifest.guidance["sizes"])
    refiner = SliceRefiner(network.prompt_encoder, network.mask_decoder, spec)
    state = load_model_weights(folder)
    refiner.load_trained({name: tensor + change.get(name, 0.0) for name, tensor in state.items()})
    return OrganRefiner(folder.spec, stage_of(refiner.eval().requires_grad_(False), "torch", "float32"))


def table() -> str:
    """Means by group as Markdown, with automatic boxes."""
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    groups: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["refiner"]), {}).setdefault(row["group"], []).append(row)
    lines = ["| model | refiner | next | others | own |", "| --- | --- | --- | --- | --- |"]
    for (model, refiner), by_group in groups.items():
        cells = [f"{fmean(row[KINDS[0]] for row in by_group[group]):.4f}" for group in ("next", "others", "own")]
        lines.append(f"| {model} | {refiner} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, or prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refiner", type=Path)
    parser.add_argument("--steps", type=int, default=78, help="of the decoder's training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="print the rows' means as Markdown and leave")
    arguments = parser.parse_args()
    if arguments.table or arguments.refiner is None:
        print(table())
        return
    torch.set_num_threads(arguments.threads)
    with shown_progress(quiet=False) as show:
        measure(open_model(arguments.refiner), arguments.steps, show)


if __name__ == "__main__":
    main()
