"""Trains ResNet-38 to tell slices with the structure from those without: image-level labels, no masks.

Maps are taken from it detached, so that nothing of the masks' training reaches it, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from torch.nn import functional
from torch.optim.swa_utils import update_bn
from torchvision.ops import sigmoid_focal_loss

from sammix_core.guidance.resnet38 import STRUCTURE, ResNet38
from sammix_core.progress import CancelCheck, ProgressCallback
from sammix_core.training.head_training import Samples
from sammix_core.training.loop import Pace, train_steps
from sammix_core.training.one_cycle import one_cycle
from sammix_core.training.paper_sections import ResNetTraining
from sammix_core.training.views import View

_CHECKPOINT_STEPS = 100
_SHIFT = 0.125  # the weak view of SAM-Mix: a crop of an image padded by reflection, by this share; but no flip
_BATCHES_FOR_STATISTICS = 20


def classification_loss(output: torch.Tensor, positive: torch.Tensor, kind: str) -> torch.Tensor:
    """Loss of the classifier.

    Args:
        output: (n, 2).
        positive: (n,) float, 1 where the slice shows the structure.
        kind: "focal" (gamma 2; batches are balanced, so classes weigh the same) or "cross_entropy".
    """
    if kind == "cross_entropy":
        return functional.cross_entropy(output, positive.long())
    # The softmax over two classes is the sigmoid of their difference.
    difference = output[:, STRUCTURE] - output[:, 1 - STRUCTURE]
    return sigmoid_focal_loss(difference, positive, alpha=-1, gamma=2, reduction="mean")


def weak_views(images: torch.Tensor, seed: int) -> torch.Tensor:
    """Moves each image, and changes its brightness, contrast and noise a little.

    Args:
        images: (n, 1, size, size) in [0, 1].
        seed: The same gives the same.
    """
    rng = np.random.default_rng(seed)
    size = images.shape[-1]
    reach = round(size * _SHIFT)
    padded = functional.pad(images, (reach,) * 4, mode="reflect")
    moved = []
    for image in padded:
        row, col = rng.integers(0, 2 * reach + 1, 2)
        moved.append(image[:, row : row + size, col : col + size])
    count = len(images)
    gain = torch.from_numpy(rng.uniform(0.85, 1.15, (count, 1, 1, 1))).float()
    offset = torch.from_numpy(rng.uniform(-0.08, 0.08, (count, 1, 1, 1))).float()
    noise = 0.02 * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return ((torch.stack(moved) - 0.5) * gain + 0.5 + offset + noise).clamp(0, 1)


def train_resnet38(
    views: Sequence[View],
    images: Sequence[np.ndarray],
    settings: ResNetTraining,
    seed: int,
    fabric: Fabric,
    checkpoint: Path,
    label: str,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
) -> ResNet38:
    """Trains a ResNet-38, resuming from the checkpoint to the same result.

    Args:
        views: What to train on; of their labels only whether a slice shows the structure is used.
        images: For each view (n, size, size) in [0, 1].
        settings: Steps, batch, rates, width, loss.
        seed: Of weights, draws and changes.
        fabric: Its precision is used.
        checkpoint: File that holds the state every 100 steps, when it is stopped, and at the end.
        label: Name of the stage for progress.
        progress: Told after each step.
        cancel: Asked after each step.

    Returns:
        The averaged network on the CPU, in eval mode.
    """
    torch.manual_seed(seed)
    network, average = ResNet38(settings.width), ResNet38(settings.width)
    learning = one_cycle([(network.parameters(), settings.learning_rate)], settings.weight_decay, settings.steps)
    parts = {"network": network, "average": average, **learning}
    samples = Samples(views, np.random.default_rng(seed))
    # All draws are made first, those of steps already done as well: the sequence must be the same after a resume.
    draws = [samples.draw(settings.batch, positive_share=0.5) for _ in range(settings.steps)]

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        picked = np.stack([images[view][index] for view, index in draws[step]]).astype(np.float32)
        positive = samples.shares(draws[step]).flatten(1).any(1).float()
        return weak_views(torch.from_numpy(picked)[:, None], seed * 100_019 + step), positive

    def loss_of(pictures: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        with fabric.autocast():
            output = network(pictures)
        return classification_loss(output.float(), positive, settings.loss)

    network.train()
    pace = Pace(settings.steps, round(settings.average_from * settings.steps), 5.0, _CHECKPOINT_STEPS)
    train_steps(network, average, parts, batch, loss_of, pace, fabric, checkpoint, label, progress, cancel)
    # Statistics of the batch norms belong to the last weights; the averaged ones need their own.
    update_bn((batch(step)[0] for step in range(min(settings.steps, _BATCHES_FOR_STATISTICS))), average)
    return average.eval()
