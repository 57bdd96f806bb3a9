"""Puts slices of the training patients beside a shipped model, which fine-tuned versions rehearse and are checked on.

    python benchmarks/liver_model/make_pack.py [--config CONFIG]

Six slices a patient of the clean views that `sammix train CONFIG` made, as embeddings on fewer channels
(`sammix_core/finetuning/pack.py`); no image is stored. The manifest of the shipped model of the configuration's name
and version gets the file's SHA-256.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from sammix_core.finetuning.pack import pack_of
from sammix_core.model_store.manifest import MANIFEST_FILE, PACK_FILE
from sammix_core.model_store.store import open_model, shipped_models_folder
from sammix_core.model_store.weights import save_weights
from sammix_core.training.case_views import case_views, open_view
from sammix_core.training.config import TrainingConfig
from sammix_core.training.view_encoder import ViewEncoder
from sammix_core.training.views import CLEAN

CONFIG = Path(__file__).with_name("config.yaml")


def main() -> None:
    """Makes the pack and names it in the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIG)
    config = TrainingConfig.read(parser.parse_args().config)
    encoder = ViewEncoder(config.encoder).identity
    pack = pack_of([open_view(case, CLEAN, case_views(config, case, encoder)) for case in config.cases])
    shipped = open_model(shipped_models_folder() / config.name / config.version)
    digest = save_weights(pack.to_state(), shipped.path / PACK_FILE)
    manifest = replace(shipped.manifest, files={**shipped.manifest.files, PACK_FILE: digest})
    manifest.write(shipped.path / MANIFEST_FILE)
    size = (shipped.path / PACK_FILE).stat().st_size
    print(f"{shipped.spec}: {len(pack)} slices of {len(set(pack.patients.tolist()))} patients, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
