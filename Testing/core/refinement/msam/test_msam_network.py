"""SAM-Med3D's architecture: names and shapes, how much is trained, safe loading, and what LoRA touches."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from small_msam import SIZES, TINY
from torch import nn

from sammix_core.errors import InputError
from sammix_core.refinement.msam.adapt import merge_lora, split_qkv, train_with_lora
from sammix_core.refinement.msam.base_weights import load_sam_med3d, read_sam_med3d
from sammix_core.refinement.msam.image_encoder import PublishedAttention, in_windows
from sammix_core.refinement.msam.network import MSam, Sam3d
from sammix_core.refinement.msam.prompt_encoder import ABSENT, NEGATIVE, POSITIVE
from sammix_core.refinement.msam.spec import COMPACT, FULL, MSamSpec
from sammix_core.sam import lora

PUBLISHED = Path(__file__).with_name("data") / "sam_med3d_turbo.txt"


@pytest.fixture(autouse=True)
def _quietly() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)


def count(parameters: Any) -> int:
    return sum(parameter.numel() for parameter in parameters)


def published_shapes() -> dict[str, tuple[int, ...]]:
    lines = [line.split() for line in PUBLISHED.read_text().splitlines() if not line.startswith("#")]
    return {name: tuple(map(int, shape)) for name, *shape in lines}


@pytest.fixture(scope="module")
def full() -> MSam:
    """Without numbers: shapes alone."""
    with torch.device("meta"):
        return MSam(FULL)


def test_names_and_shapes_are_those_of_the_published_weights(full: MSam) -> None:
    assert {name: tuple(tensor.shape) for name, tensor in full.sam.state_dict().items()} == published_shapes()
    assert [number for number, block in enumerate(full.sam.image_encoder.blocks) if block._window == 0] == [2, 5, 8, 11]


def test_the_share_that_is_trained_is_21_percent() -> None:
    with torch.device("meta"):
        network = MSam(FULL)
        train_with_lora(network)
    parts = {
        "LoRA": count(lora.lora_parameters(network.sam.image_encoder).values()),
        "prompt encoder": count(network.sam.prompt_encoder.parameters()),
        "decoder": count(network.sam.mask_decoder.parameters()),
        "adapter": count(network.adapter.parameters()),
    }
    assert parts == {"LoRA": 147_456, "prompt encoder": 8_668, "decoder": 7_575_636, "adapter": 17_144_256}
    trained, everything = count(p for p in network.parameters() if p.requires_grad), count(network.parameters())
    assert trained == sum(parts.values())
    assert round(trained / 1e6, 2) == 24.88
    assert round(everything / 1e6, 2) == 117.80
    assert round(100 * trained / everything, 1) == 21.1


def test_compact_is_a_twenty_fifth() -> None:
    with torch.device("meta"):
        assert 4.5e6 < count(MSam(COMPACT).parameters()) < 4.8e6


def test_lora_is_on_query_and_value_of_every_block_and_not_on_the_key() -> None:
    network = MSam(TINY)
    train_with_lora(network, rank=3)
    names = sorted(lora.lora_parameters(network.sam.image_encoder))
    assert names == [f"blocks.{n}.attn.qkv.{part}.lora_{m}" for n in (0, 1) for part in "qv" for m in "AB"]
    wanting = {
        name.split(".")[1] for name, p in network.named_parameters() if p.requires_grad and "adapter" not in name
    }
    assert wanting == {"image_encoder", "prompt_encoder", "mask_decoder"}


def test_taken_apart_and_merged_it_gives_the_same() -> None:
    network, images = MSam(TINY).eval(), torch.randn(1, 1, 16, 16, 16)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    plain = network.encode(images)
    train_with_lora(network, rank=2)
    assert torch.allclose(network.encode(images), plain, atol=1e-5), "LoRA begins as nothing"
    for parameter in lora.lora_parameters(network.sam.image_encoder).values():
        nn.init.normal_(parameter, std=0.3)
    adapted = network.encode(images)
    assert not torch.allclose(adapted, plain, atol=1e-2)
    fresh = MSam(TINY).eval()
    fresh.load_state_dict(state)
    merge_lora(fresh, lora.lora_state(network.sam.image_encoder))
    assert torch.allclose(fresh.encode(images), adapted, atol=1e-4)
    split = MSam(TINY).eval()
    split.load_state_dict(state)
    split_qkv(split.sam.image_encoder)
    assert torch.allclose(split.encode(images), plain, atol=1e-5)


@pytest.mark.parametrize("published", [True, False])
def test_shapes_along_the_way(published: bool) -> None:
    spec = MSamSpec.from_dict({**SIZES, "published": published})
    network = MSam(spec)
    embeddings = network.encode(torch.randn(2, 1, 16, 16, 16))
    assert embeddings.shape == (2, 48, 4, 4, 4)
    points, labels = torch.randint(0, 16, (2, 3, 3)), torch.tensor([[POSITIVE, NEGATIVE, ABSENT]] * 2)
    logits, scores = network.decode(embeddings, torch.zeros(2, 1, 16, 16, 16), points, labels)
    assert logits.shape == (2, 1, 16, 16, 16)
    assert scores.shape == (2,)
    logits.sum().backward()
    assert all(p.grad is not None for p in network.adapter.parameters())


def test_clicks_say_where_they_are_and_what_they_mean() -> None:
    encoder = MSam(TINY).sam.prompt_encoder
    mask, here, there = torch.zeros(1, 1, 16, 16, 16), [[[3, 4, 5]]], [[[5, 4, 3]]]

    def token(point: list[list[list[int]]], label: int) -> torch.Tensor:
        tokens, _ = encoder(torch.tensor(point), torch.tensor([[label]]), mask)
        assert tokens.shape == (1, 2, 48)
        assert torch.equal(tokens[0, 1], encoder.not_a_point_embed.weight[0])
        return tokens[0, 0]

    meaning = token(here, POSITIVE) - token(here, NEGATIVE)
    kinds = [embedding.weight[0] for embedding in encoder.point_embeddings]
    assert torch.allclose(meaning, kinds[POSITIVE] - kinds[NEGATIVE], atol=1e-5)
    assert not torch.allclose(token(here, POSITIVE), token(there, POSITIVE), atol=1e-2)
    assert torch.equal(token(here, ABSENT), token(there, ABSENT))


@pytest.mark.parametrize("published", [True, False])
def test_a_click_in_the_middle_of_a_cell_is_where_the_cell_is(published: bool) -> None:
    encoder = MSam(MSamSpec.from_dict({**SIZES, "published": published})).sam.prompt_encoder
    cell = torch.tensor([2, 0, 3])
    places = encoder.dense_positions()[0]
    click = encoder.pe_layer((cell + 0.5) / 4)
    swapped = (0, 2, 3) if published else (2, 0, 3)  # as in SAM-Med3D's code, and as it should be
    assert torch.allclose(click, places[(slice(None), *swapped)], atol=1e-5)


def test_published_positions_are_those_of_the_code_and_others_are_right() -> None:
    attention = PublishedAttention(8, 2, (3, 3, 3))
    queries = torch.randn(1, 2, 3, 3, 3, 4)
    tables = [torch.randn(3, 3, 4) for _ in range(3)]
    d, h, w, x, y, z = 2, 0, 1, 1, 2, 0
    q = queries[0, 1]
    published = q[d, h, w] @ tables[0][d, z] + q[d, h, x] @ tables[1][h, z] + q[d, h, y] @ tables[2][y, z]
    assert attention._bias(queries, tables)[0, 1, d, h, w, x, y, z].item() == pytest.approx(published.item(), abs=1e-5)
    right = q[d, h, w] @ (tables[0][d, x] + tables[1][h, y] + tables[2][w, z])
    plain = super(PublishedAttention, attention)._bias(queries, tables)[0, 1, d, h, w, x, y, z]
    assert plain.item() == pytest.approx(right.item(), abs=1e-5)


class _Mean(nn.Module):
    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        return cells.mean((1, 2, 3), keepdim=True).expand_as(cells)


def test_windows_see_themselves_and_the_padding() -> None:
    cells = torch.arange(27.0).reshape(1, 3, 3, 3, 1)
    seen = in_windows(cells, 2, _Mean())
    assert seen.shape == cells.shape
    assert seen[0, 0, 0, 0, 0] == cells[0, :2, :2, :2].mean() == seen[0, 1, 1, 1, 0]
    assert seen[0, 2, 2, 2, 0] == cells[0, 2, 2, 2, 0] / 8, "seven of its window's cells are zeros"


# Loading


@pytest.fixture
def network() -> Sam3d:
    return Sam3d(TINY)


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_users_file_is_loaded(network: Sam3d, tmp_path: Path, wrapped: bool) -> None:
    state = Sam3d(TINY).state_dict()
    arguments = argparse.Namespace(lr=8e-4, task_name="turbo")
    saved = {"model_state_dict": state, "epoch": 3, "args": arguments, "losses": [0.5]} if wrapped else state
    torch.save(saved, tmp_path / "sam_med3d_turbo.pth")
    load_sam_med3d(network, read_sam_med3d(tmp_path / "sam_med3d_turbo.pth"))
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


class _Harm:
    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._file),)


def test_no_code_is_run(tmp_path: Path) -> None:
    torch.save({"model_state_dict": {}, "args": _Harm(tmp_path / "harm")}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="holds more than tensors and plain values, so it is not opened"):
        read_sam_med3d(tmp_path / "bad.pth")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"not a file of torch", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(InputError, match="damaged") as caught:
        read_sam_med3d(tmp_path / "bad.pth")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_holds_no_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        read_sam_med3d(tmp_path / "none.pth")
    for number, content in enumerate(({}, {"epoch": 3}, [torch.zeros(1)], torch.zeros(2))):
        torch.save(content, tmp_path / f"{number}.pth")
        with pytest.raises(InputError, match="holds no weights by name"):
            read_sam_med3d(tmp_path / f"{number}.pth")


def test_weights_of_another_network_change_nothing(network: Sam3d) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = Sam3d(TINY).state_dict()
    name = "image_encoder.neck.0.weight"
    wrong: list[tuple[dict[str, torch.Tensor], str]] = [
        ({k: v for k, v in state.items() if k != name}, f"{name} is missing"),
        ({**state, "image_encoder.extra": torch.zeros(1)}, "has no image_encoder.extra"),
        ({**state, name: torch.zeros(3)}, r"has the shape \(3,\) instead of"),
    ]
    for changed, sentence in wrong:
        with pytest.raises(InputError, match=sentence):
            load_sam_med3d(network, changed)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"crop": 18}, "multiple of its patch"),
        ({"width": 25}, "multiple of its 2 heads"),
        ({"channels": 72}, "multiple of 48"),
        ({"adapter_heads": 5}, "multiple of 48 and of its 5"),
        ({"global_blocks": [2]}, "between 0 and 1"),
        ({"depth": 0}, "from 1"),
        ({"depth": 2.5}, "depth must be a whole number"),
        ({"global_blocks": 2}, "a list of whole numbers"),
        ({"colour": 1}, "unknown key 'colour'"),
    ],
)
def test_sizes_that_cannot_be(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        MSamSpec.from_dict({**SIZES, **change})


def test_sizes_are_written_and_read_back() -> None:
    assert MSamSpec.from_dict(FULL.to_dict()) == FULL
    assert (FULL.grid, FULL.mask_size, COMPACT.grid, COMPACT.mask_size) == (8, 32, 6, 24)
