"""How good a network is on the slices that are held back: Dice with the boxes that its own guidance finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from sammix_core.guidance.base import GuidanceMaps
from sammix_core.guidance.boxes_from_cam import boxes_from_cam
from sammix_core.masks.overlap import Overlap
from sammix_core.sam.decoding import decode_slices
from sammix_core.training.semi_supervised.bank import WEAK, Bank
from sammix_core.training.semi_supervised.network import LearntState, SamMix
from sammix_core.training.semi_supervised.pool import spread
from sammix_core.training.semi_supervised.split import Split

_MOST_WITH, _MOST_WITHOUT = 12, 6  # of all patients together, spread evenly: a look costs seconds, and comes often


def chosen_slices(banks: Sequence[Bank], split: Split) -> list[tuple[Bank, int]]:
    """The slices that are looked at: with the structure, then without."""
    found: list[tuple[Bank, int]] = []
    for most, kind in ((_MOST_WITH, "masks"), (_MOST_WITHOUT, "absent")):
        own = [
            (place, index)
            for place, bank in enumerate(banks)
            for index in sorted(getattr(bank.pool, kind))
            if index in split.held_back.get(bank.pool.name, ())
        ]
        kept = spread(list(range(len(own))), most)
        found += [(banks[own[number][0]], own[number][1]) for number in kept]
    return found


@torch.no_grad()
def held_back_dice(network: SamMix, slices: Sequence[tuple[Bank, int]], device: torch.device) -> float:
    """Dice of all pixels of the slices together, in the network's frame; what is found where nothing is counts.

    Args:
        network: The network, in eval mode.
        slices: As `chosen_slices` gives them.
        device: The network's.
    """
    overlap = Overlap()
    for bank, index in slices:
        label = bank.share(index, 0) > 0.5
        overlap += Overlap.of(_segmented(network, bank, index, device), label)
    return overlap.dice if overlap.total else 0.0


def _segmented(network: SamMix, bank: Bank, index: int, device: torch.device) -> np.ndarray:
    """(size, size) bool: the mask of the slice as it is, from the guidance's box on this slice alone."""
    image = torch.from_numpy(bank.images[WEAK, 0][index].astype(np.float32))[None, None].to(device)
    kept = torch.from_numpy(bank.embeddings[WEAK, 0][index].astype(np.float32))[None].to(device)
    embedding = network.embed(image, kept)
    maps: GuidanceMaps = network.maps(image, embedding)
    size = image.shape[-1]
    box = boxes_from_cam(maps, 1.0, size, network.guide.boxes).boxes[0]
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

    Attributes:
        best: Best Dice so far; below 0 before there was a look.
        best_step: After how many steps it was there.
        last: After how many steps was the last look.
        stopped: Whether patience has run out.
    """

    def __init__(self, patience: int) -> None:
        self.best, self.best_step, self.last, self.stopped = -1.0, 0, 0, False
        self._patience = patience
        self._worse = 0
        self._weights: dict[str, torch.Tensor] = {}

    def look(self, step: int, dice: float, network: SamMix) -> None:
        """Takes note of a look; of equals the later one is kept, which has seen more, but it is no gain."""
        self._worse = 0 if dice > self.best else self._worse + 1
        if dice >= self.best:
            self.best, self.best_step = dice, step
            self._weights = LearntState(network).state_dict()
        self.last = step
        self.stopped = self._worse >= self._patience

    def restore(self, network: SamMix) -> None:
        """Puts the best weights into a network."""
        LearntState(network).load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        looks = {"best": self.best, "best_step": self.best_step, "last": self.last, "worse": self._worse}
        return {**looks, "stopped": self.stopped, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.best, self.best_step, self.last = state["best"], state["best_step"], state["last"]
        self._worse, self.stopped, self._weights = state["worse"], state["stopped"], dict(state["weights"])
