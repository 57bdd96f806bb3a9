"""What a fine-tuned version gives the next patients of the same hospital, and takes from those of others.

    python benchmarks/finetune_patients.py [--way WAY ...] [--quick] [--whole CASE] [--table]

Protocol without validation cases: a parent trained on the five patients of liver/1.1.0 learns from two patients with
HCC, 24 slices each and 8 without liver, and is tested on slices of the four others ("next") and of kits00072
("others"). The parent's pack (`sammix_core/finetuning/pack.py`) is made of its own five patients: half of it may be
rehearsed, the other half is the check ("pack"). Each way to hold what the parent knew is trained once; versions are
scored on the stored embeddings of the training views, at the network's pixels, with automatic boxes and the label's:

- "nothing": the user's slices alone;
- "pack": slices of the parent's patients are drawn as often as the user's;
- "answers": the parent's own masks of the user's other slices are drawn so (distillation, nothing has to ship);
- "near W": half the squared distance from the parent's weights, times W, is part of the loss (L2-SP, arXiv 1802.01483).

Embeddings are those of `benchmarks/liver_model/config.yaml`, which `sammix train` makes. Parent and ways are trained
below work/finetune_patients, each resuming from its checkpoint; with --quick in a fraction of the steps. Rows go to
benchmarks/finetune_patients.jsonl; what is there already is passed over.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from ablation import session_for
from oracle import oracle_boxes

from sammix_core.cli.progress import shown_progress
from sammix_core.datasets.cases import load_case
from sammix_core.datasets.sampling import spread_with_ends
from sammix_core.finetuning import recipe as recipes
from sammix_core.finetuning.candidate import Weights, between, head_from, weights_of, with_weights
from sammix_core.finetuning.pack import Pack, pack_of
from sammix_core.finetuning.pack_scoring import decode_embedding, score_embedding
from sammix_core.finetuning.part_training import rehearsed
from sammix_core.finetuning.recipe import Recipe
from sammix_core.finetuning.scoring import KINDS, Scores
from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.guidance.embedding_cam import EmbeddingCam
from sammix_core.masks.overlap import Overlap
from sammix_core.progress import ProgressCallback
from sammix_core.sam.decoding import MaskSettings
from sammix_core.sam.litemedsam import require_litemedsam
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.model_loading import LoadedModel
from sammix_core.segmentation.slice_decoder import MaskRefiner
from sammix_core.training.config import TrainingConfig
from sammix_core.training.context import FULL_PRECISION, LocalRuntime, TrainingContext
from sammix_core.training.decoder_training import PromptMaker, train_decoder
from sammix_core.training.head_training import train_head
from sammix_core.training.interpolation import Shares
from sammix_core.training.settings import DecoderTraining, HeadTraining
from sammix_core.training.supervised import SupervisedTrainer
from sammix_core.training.views import CLEAN, View

CONFIG = Path(__file__).with_name("liver_model") / "config.yaml"
RESULTS = Path(__file__).with_suffix(".jsonl")
WORK = Path(__file__).parents[1] / "work" / "finetune_patients"
PARENTS = ("crlm1004", "acrin_flt_breast_001", "acrin_flt_breast_013", "totalseg_slab", "totalseg_example")
LEARNT = ("hcc002_portal", "hcc005_portal")
NEXT = ("hcc006_portal", "hcc007_arterial", "hcc009_portal", "hcc015_portal")
OTHERS = ("kits00072",)
WAYS = ("pack", "nothing", "answers", "near 0.02", "near 0.3")
SHARES = tuple(Shares(*pair) for pair in ((1.0, 0.0), (0.5, 0.0), (0.25, 0.0), (0.0, 1.0), (0.5, 0.25), (0.5, 0.5)))
_WITH, _WITHOUT = 24, 8  # of a case that is learnt from, as from a folder of cases
_TEST_WITH, _TEST_WITHOUT = 9, 3
_ANSWERS = 12
_NEAR = "near "
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Steps:
    """How long things are trained.

    Attributes:
        parent_head: Of the parent's guidance head, twelve slices each.
        parent_decoder: Of its decoder, four slices each.
        head: Of a version's head, eight slices each.
        decoder: Of its decoder, four slices each.
    """

    parent_head: int = 160
    parent_decoder: int = 60
    head: int = 200
    decoder: int = 100


class NearRuntime(LocalRuntime):
    """Pulls all weights back to where they were at the first step, beside the gradient of the loss.

    Args:
        weight: Of half the squared distance.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self._weight = weight
        self._start: list[torch.Tensor] = []

    def clip_gradients(self, module: Any, optimizer: Any, *, max_norm: float, error_if_nonfinite: bool) -> torch.Tensor:
        """See `Runtime.clip_gradients`; the pull is added after the clipping."""
        norm = super().clip_gradients(module, optimizer, max_norm=max_norm, error_if_nonfinite=error_if_nonfinite)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._start = self._start or [parameter.detach().clone() for parameter in parameters]
        for parameter, start in zip(parameters, self._start, strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - start, alpha=self._weight)
        return norm


class Bench:
    """Everything that the ways share.

    Args:
        steps: How long things are trained.
        show: Called with the progress.
    """

    def __init__(self, steps: Steps, show: ProgressCallback) -> None:
        self.steps = steps
        self._show = show
        self.config = TrainingConfig.read(CONFIG)
        self._trainer = SupervisedTrainer(self.config, show)
        self.views = {(view.case, view.name): view for view in self._trainer.views}

    @cached_property
    def parent(self) -> LoadedModel:
        """The parent, trained on its five patients; its decoder with boxes of its own head."""
        views = [view for view in self._trainer.views if view.case in PARENTS]
        head = train_head(views, HeadTraining(steps=self.steps.parent_head), self._context("parent-head"))
        prompts = PromptMaker({view.patient: EmbeddingCam(head, _CPU) for view in views}, BoxSettings(), MaskSettings())
        settings = DecoderTraining(steps=self.steps.parent_decoder, batch=4, part_share=0.5)
        backend = self._trainer.backend
        decoder = train_decoder(backend, views, prompts, settings, self._context("parent-decoder"))
        backend.load_trained(decoder)
        return LoadedModel(
            "liver-five/1.0.0",
            backend,
            EmbeddingCam(head, _CPU),
            self.config.preprocessing,
            BoxSettings(),
            MaskSettings(),
            _CPU,
            FollowSettings(),
        )

    @cached_property
    def pack(self) -> Pack:
        """Six slices of each of the parent's patients, half of them to learn from."""
        return pack_of([self.views[case, CLEAN] for case in PARENTS])

    def version(self, way: str, shares: Shares) -> LoadedModel:
        """The parent with its weights so far on the way to the trained ones; what stays as it was is not trained."""
        if way == "parent":
            return self.parent
        start = weights_of(self.parent)
        head = self._head(way, start.head) if shares.head else start.head
        decoder = self._decoder(way) if shares.decoder else start.decoder
        return with_weights(self.parent, between(start, Weights(head, decoder), shares))

    def _head(self, way: str, start: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        settings = replace(self._recipe.head, steps=self.steps.head)
        context = self._context(f"{way}-head-{self.steps.head}", near_weight(way))
        return train_head(self._views(way), settings, context, head_from(start)).state_dict()

    def _decoder(self, way: str) -> Mapping[str, torch.Tensor]:
        parent, views = self.parent, self._views(way)
        prompts = PromptMaker({view.patient: parent.guidance for view in views}, parent.boxes, parent.masks)
        settings = replace(self._recipe.decoder, steps=self.steps.decoder)
        context = self._context(f"{way}-decoder-{self.steps.decoder}", near_weight(way))
        return train_decoder(require_litemedsam(parent.backend), views, prompts, settings, context)

    @property
    def _recipe(self) -> Recipe:
        return recipes.gentle(len(LEARNT) * (_WITH + _WITHOUT))

    def _views(self, way: str) -> list[View]:
        """The user's slices, all their views, and what is drawn beside them."""
        views = []
        for (case, _), view in self.views.items():
            if case in LEARNT:
                views.append(part_of(view, chosen_slices(self.views[case, CLEAN], _WITH, _WITHOUT)))
        if way == "pack":
            views += rehearsed(self.pack, LEARNT)
        if way == "answers":
            views += [self._answers(case) for case in LEARNT]
        return views

    def _answers(self, case: str) -> View:
        """Slices of a case that the user has not labelled, with the parent's own masks."""
        clean = self.views[case, CLEAN]
        known = set(chosen_slices(clean, _WITH, _WITHOUT))
        others = spread_with_ends([int(index) for index in clean.slices if int(index) not in known], _ANSWERS)
        view = part_of(clean, others)
        masks = [decode_embedding(self.parent, embedding_of(view, place), None)["auto"] for place in range(len(others))]
        return replace(view, case=f"answers {case}", shares=np.stack(masks).astype(np.uint8) * 255, patient="")

    def _context(self, name: str, near: float = 0.0) -> TrainingContext:
        runtime = (
            NearRuntime(near) if near else LocalRuntime(self.config.precision if "parent" in name else FULL_PRECISION)
        )
        path = WORK / "checkpoints" / f"{name}.pt"
        return TrainingContext(name, path, self.config.seed, runtime, self._show)


def near_weight(way: str) -> float:
    """Of half the squared distance from the parent's weights; 0 for the other ways."""
    return float(way.removeprefix(_NEAR)) if way.startswith(_NEAR) else 0.0


def chosen_slices(clean: View, with_it: int, without: int) -> list[int]:
    """Slices of a clean view, evenly: so many with the structure and so many without it."""
    shown = [int(index) for index, share in zip(clean.slices, clean.shares, strict=True) if share.any()]
    empty = [int(index) for index in clean.slices if int(index) not in shown]
    return sorted([*spread_with_ends(shown, with_it), *spread_with_ends(empty, without)])


def part_of(view: View, slices: Sequence[int]) -> View:
    """Some slices of a view."""
    kept = np.flatnonzero(np.isin(view.slices, slices))
    return replace(view, embeddings=view.embeddings[kept], shares=view.shares[kept], slices=view.slices[kept])


def embedding_of(view: View, place: int) -> torch.Tensor:
    """(1, c, h, w) float32."""
    return torch.from_numpy(np.array(view.embeddings[place])).float()[None]


@dataclass(frozen=True)
class Test:
    """Slices of one patient to score on.

    Attributes:
        group: "learnt", "next", "others" or "pack".
        case: The case, or the pack's patient.
        slices: (embedding, mask) of each.
    """

    group: str
    case: str
    slices: list[tuple[torch.Tensor, np.ndarray]]


def tests_of(bench: Bench) -> list[Test]:
    """The test slices, decoded from stored embeddings; none of them was learnt from."""
    tests = []
    for group, cases in (("next", NEXT), ("others", OTHERS)):
        tests += [test_of(group, bench.views[case, CLEAN]) for case in cases]
    pack = bench.pack
    for patient, case in enumerate(PARENTS):
        chosen = [index for index in pack.side(checked=True) if pack.patients[index] == patient]
        tests.append(Test("pack", case, [(pack.embedding(index), pack.masks[index]) for index in chosen]))
    return tests


def test_of(group: str, clean: View) -> Test:
    """A few slices of a case, evenly."""
    view = part_of(clean, chosen_slices(clean, _TEST_WITH, _TEST_WITHOUT))
    slices = [(embedding_of(view, place), share > 127) for place, share in enumerate(view.shares)]
    return Test(group, view.case, slices)


def rows_of(
    model: LoadedModel, tests: Sequence[Test], head: dict[str, Any], refiner: MaskRefiner | None = None
) -> Iterator[dict[str, Any]]:
    """Dice of a model on each test, where there is a refiner with that."""
    for test in tests:
        total: Scores = {kind: Overlap() for kind in KINDS}
        for embedding, mask in test.slices:
            scores = score_embedding(model, embedding, mask, refiner)
            total = {kind: total[kind] + scores[kind] for kind in KINDS}
        dice = {kind: round(total[kind].dice, 4) for kind in KINDS}
        yield {**head, "group": test.group, "case": test.case, "slices": len(test.slices), **dice}


def measure(bench: Bench, ways: Sequence[str]) -> None:
    """Scores the parent and every way, heads before decoders, passing over what is there."""
    done = {(row["way"], *row["shares"]) for row in read_rows()}
    wanted = [("parent", Shares(0.0, 0.0)), *((way, shares) for shares in SHARES for way in ways)]
    tests: list[Test] = []
    for way, shares in wanted:
        if (way, shares.head, shares.decoder) in done:
            continue
        model = bench.version(way, shares)
        tests = tests or tests_of(bench)
        head = {
            "way": way,
            "steps": [bench.steps.head, bench.steps.decoder],
            "shares": [shares.head, shares.decoder],
        }
        append(list(rows_of(model, tests, head)))


def measure_whole(bench: Bench, way: str, shares: Shares, name: str) -> None:
    """Scores a version on a whole volume as a user would segment it, to compare with its slices."""
    one = next(case for case in bench.config.cases if case.name == name)
    case = load_case(one)
    session = session_for(bench.version(way, shares), one.ct, [bench.views[name, CLEAN]])
    session.find_boxes()
    dice = {}
    for kind in KINDS:
        if kind == "oracle":
            session.boxes = oracle_boxes(session.volume, case.order.back(case.mask_volume()))
        mask = case.order.forward(session.segment_boxes().mask > 0)
        dice[kind] = round(Overlap.of(mask[case.labelled], case.mask_volume()[case.labelled]).dice, 4)
    steps = [bench.steps.head, bench.steps.decoder]
    head = {"way": way, "steps": steps, "shares": [shares.head, shares.decoder], "group": "whole", "case": name}
    append([{**head, "slices": int(case.labelled.sum()), **dice}])


def append(rows: Sequence[dict[str, Any]]) -> None:
    """Writes rows at once, so that a run that is stopped has all of a version or nothing."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    print(text, end="", flush=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(text)


def read_rows() -> list[dict[str, Any]]:
    """All rows; none where there is no file."""
    if not RESULTS.is_file():
        return []
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def table() -> str:
    """Means by group as Markdown: automatic boxes, and the label's in brackets."""
    groups = ("next", "others", "pack")
    versions: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for row in read_rows():
        key = (row["way"], "{:.0%} / {:.0%}".format(*row["shares"]))
        if row["group"] == "whole":
            continue
        versions.setdefault(key, {}).setdefault(row["group"], []).append(row)
    lines = ["| way | head / decoder | next | others | pack |", "| --- | --- | --- | --- | --- |"]
    for (way, shares), by_group in sorted(versions.items(), key=lambda item: _place(*item[0])):
        cells = [
            "{:.4f} ({:.4f})".format(*(fmean(row[kind] for row in by_group[group]) for kind in KINDS))
            for group in groups
        ]
        lines.append(f"| {way} | {shares} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _place(way: str, shares: str) -> tuple[int, int]:
    ways, every = ("parent", *WAYS), ("0% / 0%", *(f"{one.head:.0%} / {one.decoder:.0%}" for one in SHARES))
    return every.index(shares), ways.index(way)


def main() -> None:
    """Measures what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--quick", action="store_true", help="train versions for a fraction of the steps")
    parser.add_argument("--whole", help="score on this whole volume instead, each way with its head alone")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="print the rows' means as Markdown and leave")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return
    torch.set_num_threads(arguments.threads)
    steps = Steps(head=60, decoder=40) if arguments.quick else Steps()
    with shown_progress(quiet=False) as show:
        bench = Bench(steps, show)
        if arguments.whole is None:
            measure(bench, arguments.way)
            return
        measure_whole(bench, "parent", Shares(0.0, 0.0), arguments.whole)
        for way in arguments.way:
            measure_whole(bench, way, SHARES[0], arguments.whole)


if __name__ == "__main__":
    main()
