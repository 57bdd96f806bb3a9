"""An encoder that keeps what it has encoded, so that a case costs its encoding once and not once a row."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from sammix_core.files import atomic_path
from sammix_core.sam.backend import WrappedBackend
from sammix_core.sam.litemedsam import LiteMedSam


class KeptEncoder(WrappedBackend):
    """LiteMedSAM's plain encoder, with a folder in front of it.

    Attributes:
        backend: What encodes where nothing is kept, and what decodes.
        name, device, image_size: As of any `SamBackend`.
        encoded: How many slices went through the encoder.
    """

    batch = concurrency = 1  # each is looked for on its own

    def __init__(self, backend: LiteMedSam, folder: Path) -> None:
        super().__init__(backend)
        self.encoded = 0
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """See `SamBackend.encode`; what comes out has passed half precision, as a session's embeddings do."""
        return torch.cat([self._one(image) for image in images])

    def _one(self, image: torch.Tensor) -> torch.Tensor:
        digest = hashlib.sha256(image.contiguous().cpu().numpy().tobytes()).hexdigest()[:24]
        file = self._folder / f"{digest}.npy"
        if not file.is_file():
            found = self.backend.encode(image[None])[0].to(torch.float16).cpu().numpy()
            self.encoded += 1
            with atomic_path(file) as path, path.open("wb") as stream:
                np.save(stream, found)
        return torch.from_numpy(np.load(file))[None].float().to(self.device)
