"""Trains a refiner of slices' masks, of the liver's or of lesions, on views that are encoded already.

    python benchmarks/refiner/train_refiner.py liver|lesion [--without PATIENT] [--steps N]
        [--config CONFIG --decoder FOLDER --version VERSION]

The views of the configuration are used as they are (`sammix train` makes them): of patients that may be trained on.
--decoder is the folder of the model that the configuration made; by default configuration and decoder are those of
liver/2.0.0. Lesions are those drawn into the views and the two of crlm1004, see benchmarks/lesion_model/train.py. The
validation cases are not used. With --without, a patient and the others of its fold are left out, and the liver's
decoder, which the refiner goes on top of, is the one that was trained without them (see ablation.py).
Checkpoints and models go to work/refiner, which git ignores; the same command continues a run that was stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS / "lesion_model")]

from ablation import DEFAULT, Fold  # noqa: E402

from sammix_core.cli.progress import shown_progress  # noqa: E402
from sammix_core.model_store.base_weights import LITE_MEDSAM  # noqa: E402
from sammix_core.model_store.store import open_model  # noqa: E402
from sammix_core.model_store.weights import write_model  # noqa: E402
from sammix_core.progress import ProgressCallback  # noqa: E402
from sammix_core.refinement.folder import LESION, LIVER  # noqa: E402
from sammix_core.refinement.model import decoder_network, refiner_manifest, untrained_refiner  # noqa: E402
from sammix_core.refinement.network import RefinerSpec  # noqa: E402
from sammix_core.training.config import TrainingConfig  # noqa: E402
from sammix_core.training.context import HALF_PRECISION, LocalRuntime, TrainingContext  # noqa: E402
from sammix_core.training.refiner_training import RefinerTraining, train_refiner  # noqa: E402
from sammix_core.training.supervised import SupervisedTrainer  # noqa: E402
from sammix_core.training.views import CLEAN, View  # noqa: E402

CONFIG = BENCHMARKS / "liver_model" / "config.yaml"
WORK = BENCHMARKS.parent / "work" / "refiner"
VERSIONS = {LIVER: "0.3.0", LESION: "0.1.0"}
LIVER_VIEWS = (CLEAN, "view-00", "view-01", "view-02", "view-08", "view-11")
DECODERS = {LIVER: "liver/2.0.0", LESION: LITE_MEDSAM.name}
# A lesion begins with a click or with what a click grew; a liver with the mask of the model, right but for its edges or
# with a wrong part, and most steps correct it by clicks (see docs/decisions/clicks.md).
SETTINGS = {
    LIVER: RefinerTraining(
        steps=450,
        click_share=0.05,
        own_share=0.7,
        correcting_share=0.65,
        central=True,
        wrong_part_share=0.5,
        focus=0.5,
    ),
    LESION: RefinerTraining(click_share=0.3, own_share=0.25, correcting_share=0.5, single=True),
}


def name_of(target: str, without: str | None) -> str:
    """A refiner's name."""
    return f"{target}-refiner" + (f"-without-{without}" if without else "")


def views_of(target: str, config: TrainingConfig, show: ProgressCallback) -> list[View]:
    """What a target is trained on."""
    if target == LESION:
        from train import lesion_views

        return lesion_views(config, show)
    return [view for view in SupervisedTrainer(config, show).views if view.name in LIVER_VIEWS]


def network_of(target: str, config: TrainingConfig, without: str | None, decoder: str = "") -> Any:
    """LiteMedSAM with the decoder that the refiner goes on top of, a model's or the target's default."""
    if target == LIVER and without:
        return Fold(SupervisedTrainer(config), without).model(DEFAULT).backend.network  # type: ignore[attr-defined]
    return decoder_network(decoder or DECODERS[target])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=(LIVER, LESION))
    parser.add_argument("--without", help="a patient to leave out")
    parser.add_argument("--steps", type=int, help="the target's own number by default")
    parser.add_argument("--threads", type=int, default=1, help="one is nearly as quick as two: the layers are small")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the configuration whose views are used")
    parser.add_argument("--decoder", type=Path, help="folder of the model that the liver's refiner goes on top of")
    parser.add_argument("--version", help="of the refiner, the shipped one's by default")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    target, without = arguments.target, arguments.without
    config = TrainingConfig.read(arguments.config)
    below = None if arguments.decoder is None or target == LESION else open_model(arguments.decoder)
    decoder = DECODERS[target] if below is None else below.spec
    settings = SETTINGS[target]
    if arguments.steps is not None:
        settings = replace(settings, steps=arguments.steps)
    spec = RefinerSpec()
    name = name_of(target, without)
    losses: list[float] = []
    with shown_progress(quiet=False) as show:
        left_out = config.left_out_with(without)
        views = [view for view in views_of(target, config, show) if view.patient not in left_out]
        refiner = untrained_refiner(
            network_of(target, config, without, str(below.path) if below else ""), spec, config.seed
        )
        begun = time.monotonic()
        context = TrainingContext(
            label=name,
            checkpoint=WORK / "checkpoints" / f"{name}-{config.version}-{settings.steps}.pt",
            seed=config.seed,
            runtime=LocalRuntime(HALF_PRECISION),
            progress=show,
            on_step=lambda _, loss, __: losses.append(loss),
        )
        trained = train_refiner(refiner, views, settings, context)
    cases = sorted({view.case for view in views})
    state = trained.trained_state()
    metrics = {"training": asdict(settings), "parameters_trained": sum(tensor.numel() for tensor in state.values())}
    manifest = refiner_manifest(
        name, arguments.version or VERSIONS[target], target, decoder, spec, config.preprocessing, cases, metrics
    )
    made = write_model(WORK / "models", manifest, state, f"# {manifest.spec}\n\nExperimental; see docs/msam.md.\n")
    fifth = max(1, len(losses) // 5)
    shown = [round(sum(losses[at : at + fifth]) / fifth, 4) for at in range(0, len(losses) - fifth + 1, fifth)]
    print(f"{made.path}: {time.monotonic() - begun:.0f} s, mean loss by fifths {shown}")


if __name__ == "__main__":
    main()
