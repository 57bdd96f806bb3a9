"""Refines a mask in use: stage by stage, from SAM-Mix's mask or from nothing, with or without the user's clicks."""

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
from sammix_core.refinement.msam.clicks import Clicks
from sammix_core.refinement.msam.crops import HU, Cube, cut_image, ras_index, to_axial, to_ras
from sammix_core.refinement.msam.network import MSam
from sammix_core.refinement.msam.prompt_encoder import NEGATIVE, POSITIVE
from sammix_core.refinement.msam.spec import MSamSpec
from sammix_core.refinement.msam.stages import empty_mask, mask_as_prompt, on_the_crop
from sammix_core.sam import lora
from sammix_core.volume.volume import Volume


def load_network(
    model: str | Path, device: str = "auto", base_weights: str | Path | None = None, values: str = HU
) -> MSam:
    """Loads an M-SAM that `sammix train` made.

    Args:
        model: Its folder or name.
        device: "auto", "cpu" or "cuda".
        base_weights: The file of SAM-Med3D that it was trained on top of; only for models that were.
        values: What the values of the images are that it is to see.

    Raises:
        InputError: It is no M-SAM of such images, or files are missing or others than those that it was made of.
    """
    folder = resolve(model)
    guidance = folder.manifest.guidance
    if guidance.get("name") != MSAM or not isinstance(guidance.get("network"), dict):
        raise InputError(f"{folder.spec} is no M-SAM; name a model that was trained with method: msam.")
    if folder.manifest.preprocessing.get("values") != values:
        known = "CT in Hounsfield units" if values == HU else values
        raise InputError(f"{folder.spec} was trained on images of another kind than these ({known}).")
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
    own = {name: tensor.shape for name, tensor in network.state_dict().items()}
    wanted = own.keys() if base["name"] != SAM_MED3D else {k for k in own if not k.startswith("sam.image_encoder.")}
    if state.keys() != wanted or any(state[name].shape != own[name] for name in wanted):
        raise InputError(f"The weights of {folder.spec} are not those of the network that its manifest describes.")
    network.load_state_dict(state, strict=False)
    if lora.WEIGHTS_FILE in folder.manifest.files:
        merge_lora(network, load_model_weights(folder, lora.WEIGHTS_FILE))


@dataclass(frozen=True)
class _Stage:
    low: torch.Tensor
    clicks: Clicks


class Refinement:
    """One structure of one CT, refined stage by stage within a cube. Every stage can be taken back.

    Args:
        network: What `load_network` gave.
        volume: The CT.
        mask: (k, j, i) to begin from, non-zero inside, or None. The cube lies round its middle; what of it is
            beyond the cube stays as it is. Without a mask the cube lies round the first click.

    Raises:
        InputError: The mask is empty or on another grid.
    """

    def __init__(self, network: MSam, volume: Volume, mask: np.ndarray | None = None) -> None:
        self._network = network
        self._volume = volume
        self._order = volume.axial_order
        self._image = to_ras(self._order.forward(volume.array))
        self._before = np.zeros(self._image.shape, dtype=bool)
        self._stages: list[_Stage] = []
        self._cube: Cube | None = None
        if mask is not None:
            if mask.shape != volume.array.shape:
                raise InputError("The mask to refine and the CT have different grids.")
            self._before[:] = to_ras(self._order.forward(mask != 0))
            filled = np.argwhere(self._before)
            if len(filled) == 0:
                raise InputError("The mask to refine is empty; click into the structure instead.")
            self._look_at((filled.min(0) + filled.max(0)) / 2)

    @property
    def stages(self) -> int:
        """How many there were, the main stage included."""
        return len(self._stages)

    @property
    def mask(self) -> np.ndarray:
        """(k, j, i) bool on the CT's grid, after the last stage."""
        ras = self._before.copy()
        if self._stages and self._cube is not None:
            logits = on_the_crop(self._network, self._stages[-1].low)
            self._cube.paste((logits[0, 0] > 0).cpu().numpy(), ras)
        return np.ascontiguousarray(self._order.back(to_axial(ras)))

    def click(self, ijk: tuple[int, int, int], inside: bool = True) -> None:
        """One more stage, with one more click.

        Args:
            ijk: Voxel of the CT.
            inside: Whether the voxel belongs to the structure.

        Raises:
            InputError: The click is outside the CT, or the cube that is looked at.
        """
        n_k, n_j, n_i = self._volume.shape_kji
        if not all(0 <= one < size for one, size in zip(ijk, (n_i, n_j, n_k), strict=True)):
            raise InputError(f"The click {ijk} lies outside the CT of {n_i} x {n_j} x {n_k} voxels.")
        place = np.array(ras_index(self._order, self._volume.shape_kji, ijk))
        if self._cube is None:
            self._look_at(place)
        assert self._cube is not None
        within = place - self._cube.start
        if not ((within >= 0) & (within < self._cube.size)).all():
            raise InputError(
                f"The click {ijk} lies outside the cube of {self._cube.size} voxels that is looked at; begin another "
                "refinement there."
            )
        device = self._embedding.device
        label = torch.tensor([[POSITIVE if inside else NEGATIVE]], device=device)
        self._step(Clicks(torch.from_numpy(within)[None, None].to(device), label))

    def refine(self) -> None:
        """One more stage with the clicks that there are.

        Raises:
            InputError: There is neither a mask nor a click yet.
        """
        if self._cube is None:
            raise InputError("There is nothing to refine yet: begin with a mask or a click.")
        self._step(Clicks.none(1, self._embedding.device))

    def undo(self) -> None:
        """Takes the last stage and its click back; without one nothing happens."""
        if self._stages:
            self._stages.pop()

    @torch.inference_mode()
    def _look_at(self, centre: np.ndarray) -> None:
        device = next(self._network.parameters()).device
        self._cube = Cube.around(centre, self._network.spec.crop)
        crop = torch.from_numpy(cut_image(self._image, self._cube, HU))[None, None]
        self._embedding = self._network.encode(crop.to(device))

    @torch.inference_mode()
    def _step(self, more: Clicks) -> None:
        device = self._embedding.device
        if self._stages:
            low, clicks = self._stages[-1].low, self._stages[-1].clicks
        else:
            low, clicks = self._first_prompt(device), Clicks.none(1, device)
        clicks = clicks + more
        low, _ = self._network.decode(self._embedding, low, clicks.points, clicks.labels)
        self._stages.append(_Stage(low.float(), clicks))

    def _first_prompt(self, device: torch.device) -> torch.Tensor:
        assert self._cube is not None
        begun = self._cube.cut(self._before)
        if not begun.any():
            return empty_mask(self._network, 1, device)
        return mask_as_prompt(self._network, torch.from_numpy(begun)[None, None].to(device))
