"""LoRA: how much is trained, what it changes, that merged equals unmerged, and what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from segment_anything.build_sam import build_sam_vit_b
from segment_anything.modeling import ImageEncoderViT
from torch import nn

from sammix_core.errors import InputError
from sammix_core.model_store.weights import load_weights, save_weights
from sammix_core.sam import lora
from sammix_core.sam.litemedsam import LiteMedSam, build_network

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def count(parameters: Any) -> int:
    return sum(parameter.numel() for parameter in parameters)


def a_small_vit() -> ImageEncoderViT:
    torch.manual_seed(0)
    return ImageEncoderViT(
        img_size=64, patch_size=16, embed_dim=24, depth=2, num_heads=2, out_chans=8, use_rel_pos=True, window_size=3
    ).eval()


def randomised(encoder: nn.Module) -> None:
    """Gives B values, as training would; it begins as 0."""
    source = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in lora.lora_parameters(encoder).values():
            parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.05)


def test_the_share_of_sam_vit_b_that_is_trained() -> None:
    with torch.device("meta"):  # shapes alone
        network = build_sam_vit_b()
        network.requires_grad_(False)
        lora.inject(network.image_encoder)
    network.prompt_encoder.requires_grad_(True)
    network.mask_decoder.requires_grad_(True)
    assert count(lora.lora_parameters(network.image_encoder).values()) == 294_912
    assert count(network.prompt_encoder.parameters()) == 6_220
    assert count(network.mask_decoder.parameters()) == 4_058_340
    trained = count(p for p in network.parameters() if p.requires_grad)
    assert trained == 294_912 + 6_220 + 4_058_340
    assert round(trained / 1e6, 2) == 4.36
    assert round(count(network.parameters()) / 1e6, 2) == 94.03
    assert round(100 * trained / count(network.parameters()), 2) == 4.64


@pytest.fixture(scope="module")
def adapted() -> Any:
    """LiteMedSAM's encoder with LoRA that has learnt something."""
    encoder = build_network().image_encoder
    lora.inject(encoder)
    randomised(encoder)
    return encoder


def test_litemedsam_has_ten_layers_and_59392_numbers(adapted: Any) -> None:
    named = lora.lora_parameters(adapted)
    assert len(named) == 2 * 10
    assert count(named.values()) == 59_392
    assert all("attn.qkv.lora_" in name for name in named)


def test_only_lora_wants_gradients_and_can_be_stopped(adapted: Any) -> None:
    wanting = {id(p) for p in adapted.parameters() if p.requires_grad}
    assert wanting == {id(p) for p in lora.lora_parameters(adapted).values()}
    lora.set_trainable(adapted, False)
    assert not any(p.requires_grad for p in adapted.parameters())
    lora.set_trainable(adapted, True)
    assert {id(p) for p in adapted.parameters() if p.requires_grad} == wanting


def test_saved_apart_and_merged_litemedsam_encodes_the_same(adapted: Any, tmp_path: Path) -> None:
    state = lora.lora_state(adapted)
    digest = save_weights(state, tmp_path / lora.WEIGHTS_FILE, float16=False)
    assert (tmp_path / lora.WEIGHTS_FILE).stat().st_size < 300_000
    image = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        unmerged = adapted(image.expand(-1, 3, -1, -1))
    backend = LiteMedSam(CPU, engine="torch", adapter=load_weights(tmp_path / lora.WEIGHTS_FILE, digest))
    merged, plain = backend.encode(image), LiteMedSam(CPU, engine="torch").encode(image)
    torch.testing.assert_close(merged, unmerged, atol=2e-4, rtol=2e-4)
    assert (merged - plain).abs().max() > 0.01, "LoRA that changes nothing would agree too"


def test_lora_changes_nothing_before_it_is_trained() -> None:
    encoder, images = a_small_vit(), torch.rand(1, 3, 64, 64)
    before = encoder(images).detach()
    lora.inject(encoder)
    torch.testing.assert_close(encoder(images).detach(), before)


@pytest.mark.parametrize("rank", [2, 8])
def test_merged_equals_unmerged_in_sams_encoder(rank: int) -> None:
    encoder, images = a_small_vit(), torch.rand(2, 3, 64, 64)
    plain = encoder(images).detach()
    lora.inject(encoder, rank)
    randomised(encoder)
    unmerged = encoder(images).detach()
    other = a_small_vit()
    lora.merge(other, lora.lora_state(encoder))
    torch.testing.assert_close(other(images).detach(), unmerged, atol=1e-5, rtol=1e-5)
    assert (unmerged - plain).abs().max() > 1e-3


def test_merging_is_what_peft_does() -> None:
    encoder = a_small_vit()
    lora.inject(encoder)
    randomised(encoder)
    ours = a_small_vit()
    lora.merge(ours, lora.lora_state(encoder))
    encoder.blocks[1].attn.qkv.merge()
    torch.testing.assert_close(encoder.blocks[1].attn.qkv.base_layer.weight, ours.blocks[1].attn.qkv.weight)


def test_gradients_reach_lora_through_the_encoder_and_nothing_else() -> None:
    encoder = a_small_vit()
    lora.inject(encoder)
    randomised(encoder)
    encoder(torch.rand(1, 3, 64, 64)).square().sum().backward()
    named = lora.lora_parameters(encoder)
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in named.values())
    others = [p for p in encoder.parameters() if id(p) not in {id(q) for q in named.values()}]
    assert all(parameter.grad is None for parameter in others)


def test_a_saved_state_is_taken_up_again() -> None:
    one, other = a_small_vit(), a_small_vit()
    lora.inject(one)
    lora.inject(other)
    randomised(one)
    lora.load(other, lora.lora_state(one))
    for name, parameter in lora.lora_parameters(other).items():
        assert torch.equal(parameter, lora.lora_parameters(one)[name])
    with pytest.raises(InputError, match="another encoder, or of another rank"):
        lora.load(other, {})


@pytest.mark.parametrize("damage", ["rank", "layer", "half", "shape"])
def test_weights_that_do_not_fit_are_refused_and_add_nothing(damage: str) -> None:
    encoder = a_small_vit()
    lora.inject(encoder)
    randomised(encoder)
    state = lora.lora_state(encoder)
    first = "blocks.1.attn.qkv"
    if damage == "rank":
        state[f"{first}.lora_A"] = state[f"{first}.lora_A"][:3]
    elif damage == "layer":
        state = {name.replace("blocks.1", "blocks.9"): tensor for name, tensor in state.items()}
    elif damage == "half":
        del state[f"{first}.lora_B"]
    else:
        state[f"{first}.lora_B"] = state[f"{first}.lora_B"][:5]
    plain = a_small_vit()
    with pytest.raises(InputError, match="do not fit the encoder: blocks"):
        lora.merge(plain, state)
    for name, tensor in a_small_vit().state_dict().items():
        assert torch.equal(plain.state_dict()[name], tensor)
