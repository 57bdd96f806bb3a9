"""Slices of a model's own training patients that go with it: what a fine-tuned version must not forget.

No images: embeddings of LiteMedSAM's encoder, projected onto fewer channels and quantised, with their masks at the
network's pixels. Some are rehearsed beside the user's slices; the others are never learnt from, and check every
version. Why, and what it costs: docs/decisions/forgets-nobody.md.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sammix_core.datasets.sampling import spread
from sammix_core.errors import InputError
from sammix_core.model_store.manifest import PACK_FILE
from sammix_core.model_store.store import ModelFolder
from sammix_core.model_store.weights import load_model_weights
from sammix_core.training.views import CLEAN, View

CHANNELS = 96  # of the encoder's 256; they hold 94 % of the variance
STEP = 0.08  # of the quantisation; the embedding is normalised, with a standard deviation of 0.1
REHEARSED = "pack"  # how the names of its views' patients begin


@dataclass(frozen=True, eq=False)
class Pack:
    """Embedded slices with their masks.

    Attributes:
        codes: (n, channels, h, w) int8, multiples of `STEP`.
        basis: (channels, c) float32, orthonormal rows.
        mean: (c,) float32, of all embeddings.
        masks: (n, size, size) bool, network pixels.
        patients: (n,) uint8, whose slice it is.
        checked: (n,) bool: whether a slice is kept from learning, to check versions on.
    """

    codes: np.ndarray
    basis: np.ndarray
    mean: np.ndarray
    masks: np.ndarray
    patients: np.ndarray
    checked: np.ndarray

    @classmethod
    def of(
        cls,
        embeddings: np.ndarray,
        masks: np.ndarray,
        patients: Sequence[int],
        checked: Sequence[bool],
        channels: int = CHANNELS,
    ) -> Pack:
        """Packs slices.

        Args:
            embeddings: (n, c, h, w).
            masks: (n, size, size) bool, network pixels.
            patients: Whose slice each is, from 0.
            checked: Whether it is kept from learning.
            channels: How many principal components are kept.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> embeddings = np.round(rng.normal(0, 0.1, (2, 4, 8, 8)), 2).astype(np.float32)
            >>> pack = Pack.of(embeddings, np.ones((2, 32, 32), bool), [0, 1], [False, True], channels=4)
            >>> bool(np.abs(pack.embedding(1)[0].numpy() - embeddings[1]).max() < STEP)
            True
        """
        cells = embeddings.astype(np.float32).transpose(0, 2, 3, 1)
        mean = cells.mean((0, 1, 2))
        flat = (cells - mean).reshape(-1, cells.shape[-1])
        _, components = np.linalg.eigh(flat.T @ flat)  # by rising eigenvalues
        basis = components[:, ::-1][:, :channels].T
        codes = np.clip(np.round((cells - mean) @ basis.T / STEP), -127, 127).astype(np.int8)
        return cls(
            codes.transpose(0, 3, 1, 2),
            np.ascontiguousarray(basis),
            mean,
            masks.astype(bool),
            np.array(patients, dtype=np.uint8),
            np.array(checked, dtype=bool),
        )

    @classmethod
    def from_state(cls, state: Mapping[str, torch.Tensor]) -> Pack:
        """Reads what `to_state` returned.

        Raises:
            InputError: It is something else.
        """
        try:
            arrays = {name: tensor.numpy() for name, tensor in state.items()}
            patients, checked = arrays["patients"], arrays["checked"] > 0
            size = int(arrays["size"])
            codes = np.frombuffer(zlib.decompress(arrays["codes"].tobytes()), dtype=np.int8)
            bits = np.frombuffer(zlib.decompress(arrays["masks"].tobytes()), dtype=np.uint8)
            cells = size // 4
            return cls(
                codes.reshape(len(patients), len(arrays["basis"]), cells, cells),
                arrays["basis"],
                arrays["mean"],
                np.unpackbits(bits, count=len(patients) * size**2).reshape(-1, size, size).astype(bool),
                patients,
                checked,
            )
        except (KeyError, ValueError, zlib.error) as error:
            raise InputError(f"The slices that go with the model ({PACK_FILE}) cannot be read: {error}.") from error

    def to_state(self) -> dict[str, torch.Tensor]:
        """The pack as tensors of a file; codes and masks are compressed."""
        squeezed = {"codes": self.codes.tobytes(), "masks": np.packbits(self.masks).tobytes()}
        return {
            **{
                name: torch.frombuffer(bytearray(zlib.compress(part, 9)), dtype=torch.uint8)
                for name, part in squeezed.items()
            },
            "basis": torch.from_numpy(self.basis),
            "mean": torch.from_numpy(self.mean),
            "patients": torch.from_numpy(self.patients),
            "checked": torch.from_numpy(self.checked.astype(np.uint8)),
            "size": torch.tensor(self.masks.shape[-1]),
        }

    def __len__(self) -> int:
        return len(self.codes)

    def embedding(self, index: int) -> torch.Tensor:
        """(1, c, h, w) float32 of a slice, as near as its codes come."""
        cells = self.codes[index].transpose(1, 2, 0).astype(np.float32) * STEP @ self.basis + self.mean
        return torch.from_numpy(np.ascontiguousarray(cells.transpose(2, 0, 1)))[None]

    def side(self, checked: bool) -> list[int]:
        """Indices of the slices that are kept from learning, or of the others."""
        return np.flatnonzero(self.checked == checked).tolist()

    def views(self, groups: int) -> list[View]:
        """The slices that may be learnt from, a view a patient.

        Args:
            groups: As how many patients they count where slices are drawn.
        """
        views = []
        for patient in np.unique(self.patients).tolist():
            chosen = [index for index in self.side(checked=False) if self.patients[index] == patient]
            if not chosen:
                continue
            embeddings = torch.cat([self.embedding(index) for index in chosen]).numpy().astype(np.float16)
            shares = self.masks[chosen].astype(np.uint8) * 255
            name, group = f"{REHEARSED} {patient}", f"{REHEARSED} group {patient % groups}"
            views.append(View(name, CLEAN, embeddings, shares, np.arange(len(chosen)), group))
        return views


def pack_of(views: Sequence[View]) -> Pack:
    """A pack of clean views: of each patient four slices with the structure and two without it, spread evenly.

    Every other one of each is kept from learning.

    Args:
        views: Clean views, of a patient's volumes one after the other.
    """
    chosen: list[tuple[View, int, int, bool]] = []
    for patient, name in enumerate(dict.fromkeys(view.patient for view in views)):
        places = [(view, place) for view in views if view.patient == name for place in range(len(view.slices))]
        for shown, count in ((True, 4), (False, 2)):
            alike = [number for number, (view, place) in enumerate(places) if bool(view.shares[place].any()) == shown]
            taken = [places[number] for number in spread(alike, count)]
            chosen += [(view, place, patient, number % 2 == 1) for number, (view, place) in enumerate(taken)]
    return Pack.of(
        np.stack([view.embeddings[place] for view, place, _, _ in chosen]),
        np.stack([view.shares[place] > 127 for view, place, _, _ in chosen]),
        [patient for _, _, patient, _ in chosen],
        [checked for _, _, _, checked in chosen],
    )


def open_pack(folder: ModelFolder) -> Pack | None:
    """The pack that goes with a model; None where it has none.

    Raises:
        InputError: Its file is damaged.
    """
    return Pack.from_state(load_model_weights(folder, PACK_FILE)) if PACK_FILE in folder.manifest.files else None
