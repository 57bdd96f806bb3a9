"""Early stopping: how good a network is on the held-back slices, with the boxes that its own guidance finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from sammix_core.boxes.parts import enclosing_box
from sammix_core.datasets.sampling import spread
from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import boxes_from_cam
from sammix_core.masks.overlap import Overlap
from sammix_core.sam.decoding import decode_slices
from sammix_core.training.checkpoint import TrainableState
from sammix_core.training.interpolation import FROM_THE_BEGINNING, Shares, choose_shares, mixed
from sammix_core.training.semi_supervised.bank import WEAK, Bank
from sammix_core.training.semi_supervised.network import SamMix
from sammix_core.training.semi_supervised.settings import SamMixTraining
from sammix_core.training.semi_supervised.split import Split

# Of all patients together, spread evenly: an evaluation costs seconds, and comes often.
_MOST_WITH, _MOST_WITHOUT = 12, 6


def held_back_slices(banks: Sequence[Bank], split: Split) -> list[tuple[Bank, int]]:
    """The slices that are evaluated: with the structure, then without."""
    slices: list[tuple[Bank, int]] = []
    for most, kind in ((_MOST_WITH, "masks"), (_MOST_WITHOUT, "absent")):
        candidates = [
            (bank, index)
            for bank in banks
            for index in sorted(getattr(bank.case, kind))
            if index in split.held_back.get(bank.case.name, ())
        ]
        slices += [candidates[number] for number in spread(range(len(candidates)), most)]
    return slices


@torch.no_grad()
def held_back_dice(network: SamMix, slices: Sequence[tuple[Bank, int]], device: torch.device) -> float:
    """Dice of all pixels of the slices together, in the network's frame; false positives count.

    Args:
        network: The network, in eval mode.
        slices: As `held_back_slices` gives them.
        device: The network's.
    """
    overlap = Overlap()
    for bank, index in slices:
        label = bank.share(index, 0) > 0.5
        overlap += Overlap.of(_segmented(network, bank, index, device), label)
    return overlap.dice if overlap.total else 0.0


def _segmented(network: SamMix, bank: Bank, index: int, device: torch.device) -> np.ndarray:
    """(size, size) bool: the mask of the slice as it is, from the guidance's box on this slice alone."""
    image = torch.from_numpy(bank.image(index, (WEAK, 0)))[None, None].to(device)
    kept = torch.from_numpy(bank.embedding(index, (WEAK, 0)))[None].to(device)
    embedding = network.embed(image, kept)
    maps: GuidanceMaps = network.maps(image, embedding)
    size = image.shape[-1]
    box = enclosing_box(boxes_from_cam(maps, 1.0, size, network.guide.boxes).boxes[0])
    if box is None:
        return np.zeros((size, size), bool)
    return (
        decode_slices(_Decoder(network, device), embedding, np.array([box]), maps.cam_logits, network.masks).logits[0]
        > 0
    )


class _Decoder:
    """A network's decoder as a `SamBackend`."""

    name = "litemedsam"
    image_size = 256
    batch = 1
    concurrency = 1

    def __init__(self, network: SamMix, device: torch.device) -> None:
        self._network = network
        self.device = device

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("embeddings are there")

    def decode(
        self, embeddings: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self._network.decoder(embeddings, boxes.to(self.device), mask_logits)


class EarlyStopping:
    """Keeps the best network and says when to stop.

    Args:
        patience: Evaluations without a gain after which training ends.

    Attributes:
        best: Best Dice so far; below 0 before the first evaluation.
        best_step: After how many steps it was reached.
        last: After how many steps the last evaluation was.
        stopped: Whether patience has run out.
        first: The weights of the first evaluation.
    """

    def __init__(self, patience: int) -> None:
        self.first: dict[str, torch.Tensor] = {}
        self.best, self.best_step, self.last, self.stopped = -1.0, 0, 0, False
        self._patience = patience
        self._worse = 0
        self._weights: dict[str, torch.Tensor] = {}

    def record(self, step: int, dice: float, network: nn.Module) -> None:
        """Records an evaluation; of equals the later one is kept, which has seen more, but it is no gain."""
        self._worse = 0 if dice > self.best else self._worse + 1
        if dice >= self.best:
            self.best, self.best_step = dice, step
            # Copies, so that training on does not change what was kept.
            self._weights = {name: tensor.clone() for name, tensor in TrainableState(network).state_dict().items()}
            self.first = self.first or self._weights
        self.last = step
        self.stopped = self._worse >= self._patience

    def restore(self, network: nn.Module) -> None:
        """Puts the best weights into a network."""
        TrainableState(network).load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        counts = {"best": self.best, "best_step": self.best_step, "last": self.last, "worse": self._worse}
        return {**counts, "stopped": self.stopped, "weights": self._weights, "first": self.first}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.best, self.best_step, self.last = state["best"], state["best_step"], state["last"]
        self._worse, self.stopped = state["worse"], state["stopped"]
        self._weights, self.first = dict(state["weights"]), dict(state["first"])


class HeldBackRule(EarlyStopping):
    """The `StoppingRule` of a `SamMix` network: evaluates the average on the held-back slices now and then.

    Args:
        slices: As `held_back_slices` gives them.
        settings: When to evaluate, and the patience.
        device: The network's.
    """

    def __init__(self, slices: Sequence[tuple[Bank, int]], settings: SamMixTraining, device: torch.device) -> None:
        super().__init__(settings.patience)
        self._slices = slices
        self._settings = settings
        self._device = device

    def __call__(self, steps_done: int, average: nn.Module) -> bool:
        """See `StoppingRule`."""
        settings = self._settings
        after_warm_up = steps_done - settings.warm_up
        due = after_warm_up >= 0 and (after_warm_up % settings.check_every == 0 or steps_done == settings.steps)
        if due and steps_done > self.last:  # a resumed training begins where an evaluation was
            network = average.eval()
            self.record(steps_done, held_back_dice(network, self._slices, self._device), network)  # type: ignore[arg-type]
        return self.stopped

    def go_back(self, network: SamMix) -> Shares:
        """Takes the best weights back towards those at the end of the warm-up as far as the held-back Dice allows.

        At the end of the warm-up the decoder is still as it began, so that it cannot end worse than untrained on what
        is held back. LoRA goes with the decoder, which is trained for the encoder.

        Args:
            network: Gets the weights; in eval mode.

        Returns:
            How far head and decoder go.
        """
        start, trained = self.first, self._weights

        def between(shares: Shares) -> None:
            guide = {name for name in trained if name.startswith("guide.")}
            state = dict(trained)
            for names, share in ((guide, shares.head), (trained.keys() - guide, shares.decoder)):
                # A count of batches is nothing to interpolate.
                state |= mixed(start, {n: trained[n] for n in names if trained[n].is_floating_point()}, share)
            TrainableState(network).load_state_dict(state)

        @cache
        def score(shares: Shares) -> float:
            between(shares)
            return held_back_dice(network, self._slices, self._device)

        chosen = choose_shares(score, heads=FROM_THE_BEGINNING, decoders=FROM_THE_BEGINNING, head=1.0)
        self.best = score(chosen)
        between(chosen)
        return chosen
