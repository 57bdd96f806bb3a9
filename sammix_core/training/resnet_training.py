"""Trains ResNet-38 to tell slices with the structure from those without: image-level labels, no masks.

Maps are taken from it detached, so that nothing of the masks' training reaches it, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional
from torch.optim.swa_utils import update_bn
from torchvision.ops import sigmoid_focal_loss

from sammix_core.guidance.resnet38 import STRUCTURE, ResNet38
from sammix_core.training.context import TrainingContext
from sammix_core.training.loop import LoopSettings, one_cycle, train_steps
from sammix_core.training.settings import ResNetTraining
from sammix_core.training.views import View, ViewSamples

_CHECKPOINT_EVERY = 100
_MAX_GRADIENT_NORM = 5.0
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
    views: Sequence[View], images: Sequence[np.ndarray], settings: ResNetTraining, context: TrainingContext
) -> ResNet38:
    """Trains a ResNet-38, resuming from the checkpoint to the same result.

    Args:
        views: What to train on; of their labels only whether a slice shows the structure is used.
        images: For each view (n, size, size) in [0, 1].
        settings: Steps, batch, rates, width, loss.
        context: Checkpoint, seed, precision, progress.

    Returns:
        The averaged network on the CPU, in eval mode.

    Raises:
        Cancelled: The user stopped; the next call resumes.
    """
    torch.manual_seed(context.seed)
    network = ResNet38(settings.width)
    network.train()
    learning = one_cycle([(network.parameters(), settings.learning_rate)], settings.weight_decay, settings.steps)
    samples = ViewSamples(views, np.random.default_rng(context.seed))
    draws = samples.draws(settings.steps, settings.batch, positive_share=0.5)

    def make_batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        picked = np.stack([images[view][index] for view, index in draws[step]]).astype(np.float32)
        positive = samples.shares(draws[step]).flatten(1).any(1).float()
        return weak_views(torch.from_numpy(picked)[:, None], context.seed * 100_019 + step), positive

    def loss_of(pixels: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        with context.runtime.autocast():
            output = network(pixels)
        return classification_loss(output.float(), positive, settings.loss)

    loop = LoopSettings(
        settings.steps, round(settings.average_from * settings.steps), _MAX_GRADIENT_NORM, _CHECKPOINT_EVERY
    )
    average: ResNet38 = train_steps(network, learning, make_batch, loss_of, loop, context)
    # Statistics of the batch norms belong to the last weights; the averaged ones need their own.
    update_bn((make_batch(step)[0] for step in range(min(settings.steps, _BATCHES_FOR_STATISTICS))), average)
    return average.eval()
