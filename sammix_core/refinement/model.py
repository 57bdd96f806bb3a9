"""Refiners as models on disk: the trained tensors, on top of the decoder of LiteMedSAM or of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sammix_core.engines.device import choose_device
from sammix_core.errors import InputError
from sammix_core.model_store.base_weights import LITE_MEDSAM
from sammix_core.model_store.manifest import REFINER, Manifest
from sammix_core.model_store.store import ModelFolder, resolve
from sammix_core.model_store.weights import load_model_weights
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.refinement.folder import check_slices
from sammix_core.refinement.network import RefinerSpec, SliceRefiner
from sammix_core.sam.litemedsam import TRAINED_PARTS, build_network


def decoder_network(decoder: str) -> Any:
    """LiteMedSAM with the prompt encoder and mask decoder that a refiner goes on top of.

    Args:
        decoder: LiteMedSAM's name, or a model on top of it, "liver/2.0.0".

    Raises:
        InputError: There is no such model, or it is not on top of LiteMedSAM.
    """
    network = build_network()
    if decoder == LITE_MEDSAM.name:
        return network
    folder = resolve(decoder)
    if folder.manifest.base_model != {"name": LITE_MEDSAM.name, "sha256": LITE_MEDSAM.sha256}:
        raise InputError(f"{folder.spec} is not on top of LiteMedSAM, so no refiner goes with it.")
    state = load_model_weights(folder)
    trained = {name: tensor for name, tensor in state.items() if name.startswith(TRAINED_PARTS)}
    network.load_state_dict({**network.state_dict(), **trained})
    return network


def load_refiner(folder: ModelFolder, preprocessing: PreprocessingSpec, device: str = "auto") -> SliceRefiner:
    """Loads a refiner for use.

    Args:
        folder: As `open_refiner` returns it.
        preprocessing: Of the embeddings that the refiner will get.
        device: "auto", "cpu" or "cuda".

    Raises:
        InputError: It was trained on other embeddings, or its files do not fit each other.
    """
    manifest = folder.manifest
    entry = manifest.guidance
    if not isinstance(entry.get("decoder"), str) or not isinstance(entry.get("sizes"), dict):
        raise InputError(f"The manifest of {folder.spec} does not say which decoder and which sizes it has.")
    check_slices(folder, preprocessing)
    network = decoder_network(entry["decoder"])
    refiner = SliceRefiner(network.prompt_encoder, network.mask_decoder, RefinerSpec.from_dict(entry["sizes"]))
    refiner.load_trained(load_model_weights(folder))
    return refiner.eval().requires_grad_(False).to(choose_device(device))


def refiner_manifest(
    name: str,
    version: str,
    target: str,
    decoder: str,
    spec: RefinerSpec,
    preprocessing: PreprocessingSpec,
    cases: Sequence[str],
    metrics: Mapping[str, Any],
) -> Manifest:
    """The manifest of a trained refiner.

    Args:
        name: Of the refiner.
        version: Of the refiner.
        target: `LIVER` or `LESION`.
        decoder: See `decoder_network`.
        spec: Its sizes.
        preprocessing: Of the embeddings.
        cases: Names of the cases that it was trained on.
        metrics: Measured figures.
    """
    return Manifest.of_today(
        name=name,
        version=version,
        target=target,
        base_model={"name": LITE_MEDSAM.name, "sha256": LITE_MEDSAM.sha256},
        preprocessing=preprocessing.to_dict(),
        guidance={"name": REFINER, "decoder": decoder, "sizes": spec.to_dict()},
        postprocessing={},
        metrics=dict(metrics),
        training_cases=list(cases),
    )


def untrained_refiner(network: Any, spec: RefinerSpec, seed: int) -> SliceRefiner:
    """A refiner before training; the same seed gives the same weights.

    Args:
        network: LiteMedSAM with the decoder that the refiner goes on top of.
        spec: Sizes.
        seed: Of the adapter's initial weights.
    """
    torch.manual_seed(seed)
    return SliceRefiner(network.prompt_encoder, network.mask_decoder, spec)
