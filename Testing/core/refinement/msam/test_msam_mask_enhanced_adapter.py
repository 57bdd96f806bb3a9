"""The mask-enhanced adapter: shapes, gradients, symmetries, and relative positions on any grid, in 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from sammix_core.refinement.msam.layers import ChannelNorm, RelativeAttention, relative_positions
from sammix_core.refinement.msam.mask_enhanced_adapter import MaskEnhancedAdapter

GRIDS = [(4, 4), (3, 3, 3)]
CHANNELS, HEADS = 12, 3


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(4)


def an_adapter(grid: tuple[int, ...]) -> MaskEnhancedAdapter:
    """With positions that say something: they begin as zeros."""
    adapter = MaskEnhancedAdapter(CHANNELS, HEADS, grid)
    for name, parameter in adapter.named_parameters():
        if "rel_pos" in name:
            nn.init.normal_(parameter)
    return adapter


def inputs(grid: tuple[int, ...], count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, CHANNELS, *grid), torch.randn(count, CHANNELS, *grid)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_it_keeps_the_shape(grid: tuple[int, ...]) -> None:
    image, mask = inputs(grid)
    out = an_adapter(grid)(image, mask)
    assert out.shape == image.shape
    assert out.isfinite().all()


@pytest.mark.parametrize(("learnt", "grid"), [((4, 4), (7, 5)), ((4, 4), (1, 9)), ((3, 3, 3), (2, 5, 4))], ids=str)
def test_it_takes_other_grids_than_its_own(learnt: tuple[int, ...], grid: tuple[int, ...]) -> None:
    image, mask = inputs(grid)
    assert an_adapter(learnt)(image, mask).shape == image.shape


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_every_parameter_and_both_inputs_get_a_gradient(grid: tuple[int, ...]) -> None:
    adapter = an_adapter(grid)
    image, mask = (one.requires_grad_() for one in inputs(grid))
    (adapter(image, mask) * torch.randn(2, CHANNELS, *grid)).sum().backward()
    silent = [name for name, p in adapter.named_parameters() if p.grad is None or not p.grad.any()]
    # A bias of the keys moves all scores of a query alike, which a softmax does not see; queries and values share it.
    assert silent == []
    assert image.grad is not None
    assert mask.grad is not None
    assert (image.grad.flatten(2) != 0).any(1).all(), "each cell of the image counts"
    assert (mask.grad.flatten(2) != 0).any(1).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_its_gradient_is_the_slope(dims: int) -> None:
    adapter = an_adapter((2,) * dims).double()
    image, mask = (one.double().requires_grad_() for one in inputs((2,) * dims, count=1))
    assert torch.autograd.gradcheck(lambda i, m: adapter(i, m).flatten(2)[:, ::5], (image, mask), atol=1e-4)


def turned(adapter: MaskEnhancedAdapter, kernel: Callable[[torch.Tensor], torch.Tensor], tables: str) -> None:
    """Turns what knows directions: kernels of 3 cells along each axis, and tables of positions."""
    with torch.no_grad():
        for module in adapter.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                module.weight.copy_(kernel(module.weight).clone())
            if isinstance(module, RelativeAttention):
                first, last = (module.get_parameter(f"rel_pos_{module.axes[n]}") for n in (0, -1))
                if tables == "swap":
                    first.data, last.data = last.data, first.data
                else:
                    last.copy_(last.flip(0))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_flipped_it_gives_the_flipped(grid: tuple[int, ...]) -> None:
    adapter, (image, mask) = an_adapter(grid), inputs(grid)
    plain = adapter(image, mask)
    assert not torch.allclose(adapter(image.flip(-1), mask.flip(-1)).flip(-1), plain, atol=1e-3), "it knows directions"
    turned(adapter, lambda weight: weight.flip(-1), "flip")
    assert torch.allclose(adapter(image.flip(-1), mask.flip(-1)).flip(-1), plain, atol=1e-4)


@pytest.mark.parametrize("grid", [(4, 3), (3, 2, 4)], ids=str)
def test_with_two_axes_swapped_it_gives_the_swapped(grid: tuple[int, ...]) -> None:
    adapter, (image, mask) = an_adapter(grid), inputs(grid)
    plain = adapter(image, mask)
    turned(adapter, lambda weight: weight.transpose(2, -1), "swap")
    swapped = adapter(image.transpose(2, -1), mask.transpose(2, -1)).transpose(2, -1)
    assert torch.allclose(swapped, plain, atol=1e-4)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_without_directions_any_order_of_cells_is_as_good(grid: tuple[int, ...]) -> None:
    adapter = MaskEnhancedAdapter(CHANNELS, HEADS, grid)  # positions are zeros
    with torch.no_grad():
        for module in adapter.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d) and module.kernel_size[0] == 3:
                centre = module.weight[(..., *[slice(1, 2)] * len(grid))].clone()
                module.weight.zero_()[(..., *[slice(1, 2)] * len(grid))] = centre
    image, mask = inputs(grid)
    order = torch.randperm(image[0, 0].numel())
    mixed = [one.flatten(2)[..., order].view_as(one) for one in (image, mask)]
    assert torch.allclose(adapter(*mixed).flatten(2), adapter(image, mask).flatten(2)[..., order], atol=1e-4)


def test_a_slice_is_a_volume_one_cell_deep() -> None:
    flat, deep = an_adapter((4, 5)), an_adapter((1, 4, 5))
    state = {}
    for name, tensor in deep.state_dict().items():
        own = flat.state_dict().get(name)
        if own is None or own.shape == tensor.shape:  # rel_pos_d has nothing to say of one cell
            state[name] = tensor if own is None else own
        else:
            kernel = torch.randn_like(tensor)  # the cells above and below are padding
            kernel[:, :, tensor.shape[2] // 2] = own
            state[name] = kernel
    for name in state:
        if name.endswith("rel_pos_d"):
            state[name] = torch.zeros_like(state[name])
    deep.load_state_dict(state)
    image, mask = inputs((4, 5))
    assert torch.allclose(deep(image[:, :, None], mask[:, :, None])[:, :, 0], flat(image, mask), atol=1e-4)


def test_samples_of_a_batch_do_not_meet() -> None:
    adapter, (image, mask) = an_adapter((3, 3, 3)), inputs((3, 3, 3), count=3)
    together = adapter(image, mask)
    alone = torch.cat([adapter(image[n : n + 1], mask[n : n + 1]) for n in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_relative_positions_are_those_of_the_table() -> None:
    table = torch.arange(5.0)[:, None]  # for three cells: -2 to 2
    assert relative_positions(table, 3)[..., 0].tolist() == [[2, 1, 0], [3, 2, 1], [4, 3, 2]]
    assert relative_positions(table, 2)[..., 0].shape == (2, 2)
    wide = relative_positions(table, 5)[..., 0]
    assert wide.shape == (5, 5)
    assert torch.equal(wide.diagonal(), torch.full((5,), 2.0)), "the same place stays the middle of the table"
    assert (wide[0].diff() < 0).all()


@pytest.mark.parametrize("grid", [(3, 4), (2, 3, 2)], ids=str)
def test_attention_is_the_formula(grid: tuple[int, ...]) -> None:
    """Softmax of q k / sqrt(c) + the sum over axes of q r, written out for each pair of cells."""
    attention = RelativeAttention(8, 2, grid)
    for axis in attention.axes:
        nn.init.normal_(attention.get_parameter(f"rel_pos_{axis}"))
    cells = torch.randn(1, *grid, 8)
    q, k, v = attention.qkv(cells.flatten(1, -2)[0]).chunk(3, -1)
    places = list(torch.cartesian_prod(*(torch.arange(size) for size in grid)))
    expected = torch.empty(len(places), 8)
    for head in (slice(0, 4), slice(4, 8)):
        scores = q[:, head] @ k[:, head].T / 2
        for a, here in enumerate(places):
            for b, there in enumerate(places):
                for n, axis in enumerate(attention.axes):
                    table = attention.get_parameter(f"rel_pos_{axis}")
                    scores[a, b] = scores[a, b] + q[a, head] @ table[here[n] - there[n] + grid[n] - 1]
        expected[:, head] = scores.softmax(-1) @ v[:, head]
    assert torch.allclose(attention(cells)[0].flatten(0, -2), attention.proj(expected), atol=1e-5)


def test_the_norm_is_that_of_each_cell() -> None:
    norm = ChannelNorm(6)
    cells = 5 + 3 * torch.randn(2, 6, 3, 2, 2)
    out = norm(cells)
    assert torch.allclose(out.mean(1), torch.zeros(2, 3, 2, 2), atol=1e-5)
    assert torch.allclose(out.std(1, correction=0), torch.ones(2, 3, 2, 2), atol=1e-3)


@pytest.mark.parametrize(("channels", "heads", "grid"), [(12, 5, (2, 2)), (12, 3, (2,)), (12, 3, (2, 2, 2, 2))])
def test_what_cannot_be_is_refused(channels: int, heads: int, grid: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no adapter has"):
        MaskEnhancedAdapter(channels, heads, grid)


def test_the_3d_adapter_of_the_paper_has_17_million_parameters() -> None:
    with torch.device("meta"):
        adapter = MaskEnhancedAdapter()
    assert sum(p.numel() for p in adapter.parameters()) == 17_144_256
