"""Segment Anything with its ViT encoders at 1024 x 1024, and MedSAM, which has the same architecture.

The network is that of the package `segment-anything`; the weights are fetched (`sammix models fetch`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sammix_core.engines.encoder_engine import EncoderEngine, make_engine
from sammix_core.errors import InputError
from sammix_core.model_store.store import ModelFolder
from sammix_core.model_store.third_party_weights import THIRD_PARTY_WEIGHTS, ThirdPartyWeights
from sammix_core.sam.backend import EngineBackend
from sammix_core.sam.litemedsam_network import EDGE_TO_CENTRE, decode_with, three_from_single
from sammix_core.sam.lora import merge
from sammix_core.sam.options import BackendOptions, encoder_adapter

IMAGE_SIZE = 1024
# What SAM's images were brought to: mean and deviation of each colour, of 255
_MEAN = (123.675, 116.28, 103.53)
_DEVIATION = (58.395, 57.12, 57.375)


def build_network(architecture: str, state: Mapping[str, torch.Tensor]) -> Any:
    """Builds one of SAM's networks with given weights, on the CPU, in eval mode, without gradients.

    Args:
        architecture: "vit_b", "vit_l" or "vit_h".
        state: Tensors named as in SAM; the network takes them over without a copy.

    Raises:
        InputError: The package is not installed, or the tensors are those of another network.
    """
    try:
        from segment_anything.build_sam import sam_model_registry
    except ImportError as error:
        raise InputError(
            "SAM ViT needs the package segment-anything, which is not installed: pip install 'sammix[paper]'."
        ) from error
    with torch.device("meta"):  # the weights come from the state: filling a gigabyte with random ones takes time
        network = sam_model_registry[architecture]()
    try:
        network.load_state_dict(dict(state), assign=True)
    except RuntimeError as error:
        raise InputError(f"The weights are not those of segment-anything's {architecture}.") from error
    return network.eval().requires_grad_(False)


class VitSam(EngineBackend):
    """A SAM with ViT encoder on one device.

    Args:
        device: Where to compute.
        weights: Which weights they are.
        state: The weights, named as in SAM.
        engine: How the encoder runs, see `make_engine`. "auto" leaves the two larger ones to torch: compiling takes
            minutes and several times their memory.
        adapter: LoRA weights for the encoder, or None.

    Attributes:
        name: "sam_vit_b" or another name of `THIRD_PARTY_WEIGHTS`.
        device: Where encoding and decoding run.
        image_size: 1024.
        network: The module, for training.
    """

    image_size = IMAGE_SIZE
    batch = 1
    concurrency = 1

    def __init__(
        self,
        device: torch.device,
        weights: ThirdPartyWeights,
        state: Mapping[str, torch.Tensor],
        engine: str = "auto",
        adapter: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self.name = weights.name
        self.device = device
        self.network = build_network(weights.architecture, state)
        if adapter is not None:
            merge(self.network.image_encoder, adapter)
        if weights.single_mask:
            three_from_single(self.network.mask_decoder)
        self._single_mask = weights.single_mask
        self._standardised = weights.standardised
        self.network.to(device)
        if engine == "auto" and weights.architecture != "vit_b":
            engine = "torch"
        self.engine: EncoderEngine = make_engine(self.network.image_encoder, device, engine, IMAGE_SIZE)

    @torch.inference_mode()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """See `SamBackend.encode`; returns (n, 256, 64, 64). One image at a time: the attention takes the memory."""
        coloured = self._colours(images.to(self.device, torch.float32))
        return torch.cat([self.engine(image[None]) for image in coloured])

    def _colours(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 1, h, w) in [0, 1] to the three channels that the network was trained on."""
        coloured = images.expand(-1, 3, -1, -1)
        if not self._standardised:
            return coloured
        mean, deviation = (torch.tensor(values, device=images.device)[:, None, None] for values in (_MEAN, _DEVIATION))
        return (coloured * 255 - mean) / deviation

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `SamBackend.decode`: logits (n, 3, 256, 256), since SAM's masks and mask prompts are as coarse as that.

        SAM has three masks; MedSAM was trained with a single one, so that all three begin as that one.
        """
        prompt_encoder, decoder = self.network.prompt_encoder, self.network.mask_decoder
        boxes = boxes.to(self.device)
        if self._single_mask:
            return decode_with(prompt_encoder, decoder, embeddings, boxes, mask_logits)
        centred = boxes.float() - EDGE_TO_CENTRE
        sparse, dense = prompt_encoder(points=None, boxes=centred, masks=mask_logits)
        position = prompt_encoder.get_dense_pe()
        each = [  # SAM's decoder takes many prompts for one image, not one for each of many
            decoder(
                image_embeddings=embeddings[index : index + 1],
                image_pe=position,
                sparse_prompt_embeddings=sparse[index : index + 1],
                dense_prompt_embeddings=dense[index : index + 1],
                multimask_output=True,
            )
            for index in range(len(embeddings))
        ]
        return torch.cat([masks for masks, _ in each]), torch.cat([scores for _, scores in each])


def build_backend(folder: ModelFolder, state: Mapping[str, torch.Tensor], options: BackendOptions) -> VitSam:
    """Builds SAM or MedSAM from a fetched model; a `BackendBuilder`.

    Raises:
        InputError: The model was made from another file than the one that this version knows.
    """
    weights = THIRD_PARTY_WEIGHTS[folder.manifest.base_model["name"]]
    if folder.manifest.base_model["sha256"] != weights.sha256:
        raise InputError(f"{folder.spec} was made of another file than the {weights.title} that this version knows.")
    return VitSam(options.device, weights, state, options.engine, encoder_adapter(folder))
