"""Refines a mask with an M-SAM stage by stage: from SAM-Mix's mask or from nothing, with or without clicks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sammix_core.engines.device import choose_device
from sammix_core.errors import InputError
from sammix_core.files import sha256_of
from sammix_core.model_store import ModelFolder, resolve
from sammix_core.model_store.manifest import MSAM
from sammix_core.model_store.weights import load_model_weights
from sammix_core.refinement.msam.adapt import merge_lora
from sammix_core.refinement.msam.base_weights import NAME as SAM_MED3D
from sammix_core.refinement.msam.base_weights import load_sam_med3d, read_sam_med3d
from sammix_core.refinement.msam.crops import HU, Cube, cut_image, ras_index, to_axial, to_ras
from sammix_core.refinement.msam.network import MSam
from sammix_core.refinement.msam.prompt_encoder import NEGATIVE, POSITIVE
from sammix_core.refinement.msam.spec import MSamSpec
from sammix_core.refinement.msam.stages import empty_mask, mask_as_prompt, on_the_crop
from sammix_core.refinement.protocol import NOTHING_TO_REFINE, Click, Ijk, StagedRefinement, check_voxel
from sammix_core.sam import lora
from sammix_core.volume.volume import Volume


def load_network(
    model: str | Path, device: str = "auto", base_weights: str | Path | None = None, values: str = HU
) -> MSam:
    """Loads an M-SAM that `sammix train` made.

    Args:
        model: Its folder or name.
        device: "auto", "cpu" or "cuda".
        base_weights: The file of SAM-Med3D's weights, for models that were trained on top of them.
        values: Units of the images' values: `HU` or `NORMALISED`.

    Raises:
        InputError: It is no M-SAM of such images, or files are missing or not those that it was trained with.
    """
    folder = resolve(model)
    guidance = folder.manifest.guidance
    if guidance.get("name") != MSAM or not isinstance(guidance.get("network"), dict):
        raise InputError(f"{folder.spec} is no M-SAM; name a model that was trained with method: msam.")
    if folder.manifest.preprocessing.get("values") != values:
        kind = "CT in Hounsfield units" if values == HU else values
        raise InputError(f"{folder.spec} was trained on images of another kind than these ({kind}).")
    network = MSam(MSamSpec.from_dict(guidance["network"]))
    _load(network, folder, base_weights)
    return network.eval().requires_grad_(False).to(choose_device(device))


def _load(network: MSam, folder: ModelFolder, base_weights: str | Path | None) -> None:
    base = folder.manifest.base_model
    if base["name"] == SAM_MED3D:
        if base_weights is None:
            raise InputError(f"{folder.spec} goes on top of SAM-Med3D: name its file of weights.")
        load_sam_med3d(network.sam, read_sam_med3d(base_weights))
        if sha256_of(base_weights) != base["sha256"]:
            raise InputError(f"{folder.spec} was trained on top of other weights of SAM-Med3D than {base_weights}.")
    state = load_model_weights(folder)
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    expected = set(shapes)
    if base["name"] == SAM_MED3D:
        expected = {name for name in shapes if not name.startswith("sam.image_encoder.")}
    if state.keys() != expected or any(state[name].shape != shapes[name] for name in expected):
        raise InputError(f"The weights of {folder.spec} are not those of the network that its manifest describes.")
    network.load_state_dict(state, strict=False)
    if lora.WEIGHTS_FILE in folder.manifest.files:
        merge_lora(network, load_model_weights(folder, lora.WEIGHTS_FILE))


class CubeRefinement(StagedRefinement[Ijk, torch.Tensor]):
    """One structure of one CT, refined by an M-SAM within a cube; points are voxels (i, j, k) of the CT.

    States are low logits (1, 1, mask_size, mask_size, mask_size).

    Args:
        network: As `load_network` returns it.
        volume: The CT.
        mask: (k, j, i) to begin from, non-zero inside, or None. The cube lies round its middle; what of it is
            beyond the cube stays as it is. Without a mask the cube lies round the first click.

    Raises:
        InputError: The mask is empty or on another grid.
    """

    def __init__(self, network: MSam, volume: Volume, mask: np.ndarray | None = None) -> None:
        super().__init__()
        self._network = network
        self._volume = volume
        self._order = volume.axial_order
        self._image = to_ras(self._order.forward(volume.array))
        self._before = np.zeros(self._image.shape, dtype=bool)
        self._crop: _EncodedCube | None = None
        if mask is not None:
            if mask.shape != volume.array.shape:
                raise InputError("The mask to refine and the CT have different grids.")
            self._before[:] = to_ras(self._order.forward(mask != 0))
            filled = np.argwhere(self._before)
            if len(filled) == 0:
                raise InputError("The mask to refine is empty; click into the structure instead.")
            self._crop = self._encode((filled.min(0) + filled.max(0)) / 2)

    @property
    def mask(self) -> np.ndarray:
        """(k, j, i) bool on the CT's grid, after the last stage."""
        ras = self._before.copy()
        if self._state is not None and self._crop is not None:
            logits = on_the_crop(self._network, self._state)
            self._crop.cube.paste((logits[0, 0] > 0).cpu().numpy(), ras)
        return np.ascontiguousarray(self._order.back(to_axial(ras)))

    def click(self, point: Ijk, inside: bool = True) -> None:
        """Adds a stage with one more click.

        Args:
            point: Voxel (i, j, k) of the CT.
            inside: Whether the voxel belongs to the structure.

        Raises:
            InputError: The click is outside the CT, or outside the cube.
        """
        check_voxel(point, self._volume.shape_kji)
        ras = np.array(ras_index(self._order, self._volume.shape_kji, point))
        if self._crop is None:
            self._crop = self._encode(ras)
        size, within = self._crop.cube.size, ras - self._crop.cube.start
        if not ((within >= 0) & (within < size)).all():
            raise InputError(
                f"The click {','.join(map(str, point))} lies outside the cube of {size} voxels round this structure; "
                "begin another refinement there."
            )
        self._run(self._crop, Click(point, inside))

    def refine(self) -> None:
        """Adds a stage with the clicks so far.

        Raises:
            InputError: There is neither a mask nor a click yet.
        """
        if self._crop is None:
            raise InputError(NOTHING_TO_REFINE)
        self._run(self._crop)

    @torch.inference_mode()
    def _encode(self, centre: np.ndarray) -> _EncodedCube:
        device = next(self._network.parameters()).device
        cube = Cube.around(centre, self._network.spec.crop)
        image = torch.from_numpy(cut_image(self._image, cube, HU))[None, None]
        return _EncodedCube(cube, self._network.encode(image.to(device)))

    @torch.inference_mode()
    def _run(self, crop: _EncodedCube, click: Click[Ijk] | None = None) -> None:
        low = self._first_prompt(crop) if self._state is None else self._state
        clicks = self.clicks if click is None else (*self.clicks, click)
        points, labels = self._in_cube(crop, clicks)
        low, _ = self._network.decode(crop.embedding, low, points, labels)
        self._add_stage(low.float(), click)

    def _first_prompt(self, crop: _EncodedCube) -> torch.Tensor:
        device = crop.embedding.device
        mask = crop.cube.cut(self._before)
        if not mask.any():
            return empty_mask(self._network, 1, device)
        return mask_as_prompt(self._network, torch.from_numpy(mask)[None, None].to(device))

    def _in_cube(self, crop: _EncodedCube, clicks: tuple[Click[Ijk], ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Points (1, n, 3) in voxel indices of the cube, and labels (1, n)."""
        device, shape = crop.embedding.device, self._volume.shape_kji
        ras = np.array([ras_index(self._order, shape, click.point) for click in clicks], np.int64).reshape(-1, 3)
        points = torch.from_numpy(ras - np.array(crop.cube.start))[None]
        labels = torch.tensor([[POSITIVE if click.inside else NEGATIVE for click in clicks]], dtype=torch.int64)
        return points.to(device), labels.to(device)


@dataclass(frozen=True)
class _EncodedCube:
    cube: Cube
    embedding: torch.Tensor
