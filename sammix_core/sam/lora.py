"""LoRA on the attention of a SAM image encoder: small matrices beside frozen ones, trained by `peft`, merged for use.

Each `qkv` layer W becomes W + B A with rank 8 and scale 1. The `qkv` layers of LiteMedSAM and SAM hold query, key and
value at once, so all three are adapted. What is trained is saved apart, as "NAME.lora_A" and "NAME.lora_B"; in use it
is added to W once, so that inference costs nothing more and needs no peft.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from sammix_core.errors import InputError

RANK = 8
WEIGHTS_FILE = "lora.safetensors"
_TARGET = "qkv"
_DOWN, _UP = ".lora_A", ".lora_B"
_ADAPTER = ".default.weight"  # how peft names the matrices of its first adapter


def inject(encoder: nn.Module, rank: int = RANK, targets: Sequence[str] = (_TARGET,)) -> None:
    """Adds LoRA to every `qkv` of an encoder, in place; it changes nothing until it is trained.

    Only LoRA requires gradients afterwards.

    Args:
        encoder: LiteMedSAM's or SAM's image encoder, without LoRA.
        rank: Of the matrices; the scale is 1 whatever the rank.
        targets: Names of the layers instead of `qkv`.

    Raises:
        InputError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError(
            "LoRA is trained by the package peft, which is not installed: pip install 'sammix[paper]'."
        ) from error
    settings = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(targets), bias="none")
    encoder.requires_grad_(False)
    inject_adapter_in_model(settings, encoder)
    set_trainable(encoder, True)


def lora_parameters(encoder: nn.Module) -> dict[str, nn.Parameter]:
    """The LoRA matrices of an encoder, by the names under which they are saved."""
    return {
        name.removesuffix(_ADAPTER): parameter
        for name, parameter in encoder.named_parameters()
        if name.endswith((_DOWN + _ADAPTER, _UP + _ADAPTER))
    }


def set_trainable(encoder: nn.Module, wanted: bool) -> None:
    """Makes LoRA require gradients, or not; the encoder's own weights never do."""
    for parameter in lora_parameters(encoder).values():
        parameter.requires_grad_(wanted)


def lora_state(encoder: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the LoRA matrices, to be saved apart (`save_weights`)."""
    return {name: parameter.detach().clone() for name, parameter in lora_parameters(encoder).items()}


def load(encoder: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Puts saved matrices into an encoder that LoRA was injected into, to train on.

    Raises:
        InputError: Names or shapes are those of another encoder or rank.
    """
    current = lora_parameters(encoder)
    if {name: tuple(p.shape) for name, p in current.items()} != {name: tuple(t.shape) for name, t in state.items()}:
        raise InputError("The LoRA weights are those of another encoder, or of another rank.")
    with torch.no_grad():
        for name, parameter in current.items():
            parameter.copy_(state[name])


@torch.no_grad()
def merge(encoder: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Adds saved matrices to the weights of a plain encoder, in place and for good.

    Args:
        encoder: An encoder without LoRA.
        state: What `lora_state` gave.

    Raises:
        InputError: Names or shapes are those of another encoder; nothing was added.
    """
    layers: list[tuple[nn.Linear, torch.Tensor]] = []
    names = {name.removesuffix(_DOWN).removesuffix(_UP) for name in state}
    modules = dict(encoder.named_modules())
    for name in sorted(names):
        layer, down, up = modules.get(name), state.get(name + _DOWN), state.get(name + _UP)
        change = None if down is None or up is None or up.shape[1] != down.shape[0] else up @ down
        if not isinstance(layer, nn.Linear) or change is None or change.shape != layer.weight.shape:
            raise InputError(f"The LoRA weights do not fit the encoder: {name} is another layer or none.")
        layers.append((layer, change.to(layer.weight)))
    for layer, change in layers:
        layer.weight += change
