"""U-Net and SegResNet of MONAI, trained on the same slices: images in, masks out, no boxes.

They get the slices with a mask, and those without the organ, whose masks are known to be empty; slices that show it and
have no mask are of no use to them. Their views are SAM-Mix's, weak and strong; early stopping looks at the same slices.
Where there are several patients, each is drawn equally often.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import SegResNet, UNet
from torch import nn

from sammix_core.datasets.sampling import PatientSampler
from sammix_core.guidance.boxes_from_cam import supported_components
from sammix_core.preprocessing.axial_slices import AxialSlices
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.progress import ProgressCallback
from sammix_core.training.context import LocalRuntime, TrainingContext
from sammix_core.training.loop import LoopSettings, one_cycle, train_steps
from sammix_core.training.semi_supervised.bank import STRONG, WEAK, Bank
from sammix_core.training.semi_supervised.split import Split
from sammix_core.volume.volume import Volume

from .methods import PRECISION

# With 300 steps U-Net's held-back Dice still rose at the last one: the steps must not end it, its patience must.
STEPS, BATCH, RATE, CHECK_EVERY, PATIENCE = 3000, 6, 1e-3, 25, 8
_COMPONENT_SHARE = 0.05  # as boxes are made of maps


def make_network(name: str) -> nn.Module:
    """An untrained network, (n, 1, h, w) in [0, 1] -> (n, 1, h, w) logits."""
    if name == "unet":
        return UNet(2, 1, 1, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2)
    return SegResNet(spatial_dims=2, init_filters=16, in_channels=1, out_channels=1)


class BestDice:
    """Early stopping on the Dice of the held-back slices."""

    def __init__(self, banks: Sequence[Bank], split: Split) -> None:
        self.best, self.last, self.worse = -1.0, 0, 0
        self.weights: dict[str, torch.Tensor] = {}
        held = [(bank, index) for bank in banks for index in split.held_back.get(bank.case.name, ())]
        self._images = torch.from_numpy(np.stack([bank.image(index, (WEAK, 0)) for bank, index in held]))[:, None]
        self._labels = torch.from_numpy(np.stack([bank.share(index, 0) > 0.5 for bank, index in held]))[:, None]

    def __call__(self, steps_done: int, average: nn.Module) -> bool:
        """Looks every now and then; whether patience has run out."""
        if steps_done % CHECK_EVERY == 0 and steps_done > self.last:
            self.last = steps_done
            found = masks_of(average, self._images) > 0
            dice = float(2 * (found & self._labels).sum() / (found.sum() + self._labels.sum()).clamp(min=1))
            if dice > self.best:
                self.best, self.worse = dice, 0
                self.weights = copy.deepcopy(average.state_dict())
            else:
                self.worse += 1
        return self.worse >= PATIENCE

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"best": self.best, "last": self.last, "worse": self.worse, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.best, self.last, self.worse, self.weights = (state[key] for key in ("best", "last", "worse", "weights"))


@torch.inference_mode()
def masks_of(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """(n, 1, h, w) logits, a few slices at a time."""
    network.eval()
    return torch.cat([network(part) for part in images.split(4)])


def train_baseline(
    name: str, banks: Sequence[Bank], split: Split, seed: int, checkpoint: Path, progress: ProgressCallback | None
) -> nn.Module:
    """Trains a baseline, resuming from the checkpoint.

    Args:
        name: "unet" or "segresnet".
        banks: The cases, with the masks that are used.
        split: What is held back.
        seed: Of weights and draws.
        checkpoint: Its file.
        progress: Called after each step.

    Returns:
        The best network, averaged, in eval mode.
    """
    context = TrainingContext(name, checkpoint, seed, LocalRuntime(PRECISION), progress)
    torch.manual_seed(seed)
    network = make_network(name)
    early = BestDice(banks, split)
    learning = one_cycle([(network.parameters(), RATE)], 1e-5, STEPS)
    groups = (_sampler(banks, split, with_mask=True), _sampler(banks, split, with_mask=False))
    loss = DiceCELoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)
    views = len(banks[0].images) // 2

    def batch(step: int) -> tuple[torch.Tensor, ...]:
        rng = np.random.default_rng([seed, step])
        images, shares = [], []
        for place in range(BATCH):
            [(bank, index)] = groups[place >= round(BATCH * 2 / 3)].draw(1, rng)
            number = int(rng.integers(views))
            images.append(bank.image(index, ((WEAK, STRONG)[int(rng.integers(2))], number)))
            shares.append(bank.share(index, number))
        return torch.from_numpy(np.stack(images))[:, None], torch.from_numpy(np.stack(shares))[:, None]

    def loss_of(images: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        network.train()
        with context.runtime.autocast():
            logits = network(images)
        return loss(logits.float(), shares)

    loop = LoopSettings(STEPS, STEPS // 4, 5.0, CHECK_EVERY)
    average: nn.Module = train_steps(network, learning, batch, loss_of, loop, context, early)
    average.load_state_dict(early.weights)
    return average.eval()


def _sampler(banks: Sequence[Bank], split: Split, with_mask: bool) -> PatientSampler[tuple[Bank, int]]:
    return PatientSampler(
        (bank.case.patient, bank.case.name, (bank, index))
        for bank in banks
        for index in (sorted(bank.case.masks) if with_mask else bank.case.absent)
        if not split.keeps(bank.case.name, index)
    )


def segment_with(network: nn.Module, volume: Volume, spec: PreprocessingSpec) -> np.ndarray:
    """A volume's mask (k, j, i) bool: slice by slice, then small 3-D components go, by the rule that boxes go by."""
    axial = AxialSlices.cut(volume, volume.axial_order, spec)
    images = torch.from_numpy(np.stack([axial.image(index) for index in range(len(axial))]))[:, None]
    logits = masks_of(network, images)[:, 0].numpy()
    planes = np.stack([axial.frame.to_slice(one, axial.plane_shape, fill=-9.0) for one in logits])
    mask = supported_components(planes > 0, 1 / (1 + np.exp(-np.clip(planes, -30, 30))), _COMPONENT_SHARE)
    return np.ascontiguousarray(axial.order.back(mask))
