"""M-SAM in use: from a mask or a click, stage by stage, with undo, on the user's own grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fake_network import turned_volume
from small_msam import BALL_KJI, TINY, ball, write_msam_config

from sammix_core.errors import InputError
from sammix_core.model_store import ModelFolder
from sammix_core.refinement.msam.network import MSam, Sam3d
from sammix_core.refinement.msam.refine import CubeRefinement, load_network
from sammix_core.training.run import train_from_config
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _quietly() -> None:
    torch.set_num_threads(1)


class _Painter(MSam):
    """Stands in for a trained network: a stage paints the last mask and 2 voxels round each click, inside or not."""

    def __init__(self) -> None:
        super().__init__(TINY)
        self.prompts: list[torch.Tensor] = []

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        assert images.abs().max() <= 60, "normalised"
        return torch.zeros(1, 48, 4, 4, 4)

    def decode(
        self, embeddings: torch.Tensor, mask_logits: torch.Tensor, points: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.prompts.append(mask_logits)
        out = torch.where(mask_logits > 0, 4.0, -4.0)
        for point, label in zip(points[0], labels[0], strict=True):
            x, y, z = point.tolist()
            near = tuple(slice(max(one - 1, 0), one + 2) for one in (x, y, z))
            out[(0, 0, *near)] = 4.0 if label == 1 else -4.0
        return out, torch.ones(1)


def a_ct(array: np.ndarray | None = None) -> Volume:
    return Volume(
        np.full((22, 20, 24), 60, np.int16) if array is None else array, (1.0, 1.0, 2.0), (0, 0, 0), np.eye(3)
    )


def around(ijk: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros((22, 20, 24), dtype=bool)
    i, j, k = ijk
    mask[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2] = True
    return mask


def test_clicks_land_where_they_were_made_and_can_be_taken_back() -> None:
    work = CubeRefinement(_Painter(), a_ct())
    work.undo()
    assert work.stages == 0
    assert not work.mask.any()
    work.click((9, 10, 12))
    np.testing.assert_array_equal(work.mask, around((9, 10, 12)))
    work.click((13, 8, 11))
    both = around((9, 10, 12)) | around((13, 8, 11))
    np.testing.assert_array_equal(work.mask, both)
    work.click((9, 10, 12), inside=False)
    np.testing.assert_array_equal(work.mask, around((13, 8, 11)))
    work.undo()
    np.testing.assert_array_equal(work.mask, both)
    work.refine()
    assert work.stages == 3
    np.testing.assert_array_equal(work.mask, both)


@pytest.mark.parametrize(
    "order", [AxialOrder((2, 0, 1), (True, False, True)), AxialOrder((0, 2, 1), (True, True, False))]
)
def test_however_the_ct_is_stored(order: AxialOrder) -> None:
    volume = turned_volume(np.full((22, 20, 24), 60, np.int16), order)
    n_k, n_j, n_i = volume.shape_kji
    i, j, k = n_i // 2, n_j // 2 - 2, n_k // 2 + 1
    work = CubeRefinement(_Painter(), volume)
    work.click((i, j, k))
    assert work.mask.shape == volume.array.shape
    filled = np.argwhere(work.mask)
    np.testing.assert_array_equal(filled.min(0), [k - 1, j - 1, i - 1])
    np.testing.assert_array_equal(filled.max(0), [k + 1, j + 1, i + 1])


def test_it_begins_from_a_mask_and_leaves_alone_what_is_beyond_the_cube() -> None:
    network, mask = _Painter(), np.zeros((22, 20, 24), np.uint8)
    mask[11, 9, 2:23] = 1  # longer than the cube of 16
    work = CubeRefinement(network, a_ct(), mask)
    np.testing.assert_array_equal(work.mask, mask > 0)
    work.refine()
    assert network.prompts[0].max() == 4.0, "the mask is the first prompt"
    np.testing.assert_array_equal(work.mask, mask > 0)
    work.click((12, 9, 11), inside=False)
    assert work.mask.sum() == 21 - 3
    assert work.mask[11, 9, 2]
    assert work.mask[11, 9, 22]


def test_what_cannot_be_refined() -> None:
    work = CubeRefinement(_Painter(), a_ct())
    with pytest.raises(InputError, match="nothing to refine yet"):
        work.refine()
    with pytest.raises(InputError, match="outside the CT of 24 x 20 x 22"):
        work.click((24, 0, 0))
    work.click((2, 2, 2))
    with pytest.raises(InputError, match="outside the cube of 16 voxels"):
        work.click((23, 2, 2))
    assert work.stages == 1, "a click that cannot be is no stage"
    with pytest.raises(InputError, match="empty"):
        CubeRefinement(_Painter(), a_ct(), np.zeros((22, 20, 24)))
    with pytest.raises(InputError, match="different grids"):
        CubeRefinement(_Painter(), a_ct(), np.ones((2, 2, 2)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    torch.set_num_threads(1)
    changes = {"steps": 90, "learning_rate": 4e-3, "decoder_rate": 4e-3, "flips": False, "refining_stages": 3}
    return train_from_config(write_msam_config(tmp_path_factory.mktemp("msam"), **changes))


def overlap(mask: np.ndarray) -> float:
    return 2 * (mask & ball()).sum() / (mask.sum() + ball().sum())


def test_a_trained_model_finds_the_ball_and_stages_pay(model: ModelFolder) -> None:
    volume = read_volume(model.path.parents[2] / "data" / "ct.nii.gz")
    k, j, i = BALL_KJI
    work = CubeRefinement(load_network(model.path, "cpu"), volume)
    work.click((i, j, k))
    for _ in range(3):
        work.refine()
    assert overlap(work.mask) > 0.8
    coarse = np.zeros(volume.array.shape, np.uint8)
    coarse[k - 5 : k + 6, j - 5 : j + 6, i - 5 : i + 6] = 1
    mended = CubeRefinement(load_network(model.path, "cpu"), volume, coarse)
    mended.refine()
    assert overlap(mended.mask) > overlap(coarse > 0)


def test_models_that_cannot_be_used(model: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no M-SAM"):
        load_network("liver")
    foreign = train_from_config(write_msam_config(tmp_path / "values", steps=1, values="normalised"))
    with pytest.raises(InputError, match=r"images of another kind than these \(CT in Hounsfield units\)"):
        load_network(foreign.path)


def test_a_model_on_top_of_sam_med3d_needs_its_file(tmp_path: Path) -> None:
    path = write_msam_config(tmp_path, encoder="lora", base_weights="base.pth", steps=1)
    torch.save({"model_state_dict": Sam3d(TINY).state_dict()}, tmp_path / "base.pth")
    torch.save({"model_state_dict": Sam3d(TINY).state_dict()}, tmp_path / "other.pth")
    made = train_from_config(path)
    with pytest.raises(InputError, match="name its file of weights"):
        load_network(made.path)
    with pytest.raises(InputError, match="on top of other weights"):
        load_network(made.path, "cpu", tmp_path / "other.pth")
    network = load_network(made.path, "cpu", tmp_path / "base.pth")
    assert not any(p.requires_grad for p in network.parameters())
