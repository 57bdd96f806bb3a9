"""From HU to the encoder's input: the one window and resize of training and inference."""

from __future__ import annotations

import numpy as np

from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.spec import PreprocessingSpec

AIR_HU = -1024.0


def window(hu: np.ndarray, spec: PreprocessingSpec) -> np.ndarray:
    """Maps HU to [0, 1] float32 through the model's window; padding values such as -3024 end at 0."""
    low = spec.window_level - spec.window_width / 2
    # In one memory order: a matrix product may round differently for a slice that is a transposed view of its volume.
    return np.clip((hu.astype(np.float32, order="C") - low) / spec.window_width, 0, 1)


def slice_image(hu_slice: np.ndarray, frame: Frame, spec: PreprocessingSpec) -> np.ndarray:
    """Makes the encoder's input of one canonical axial slice.

    Args:
        hu_slice: (rows, cols) HU.
        frame: The volume's frame.
        spec: The model's preprocessing.

    Returns:
        (size, size) float32 in [0, 1].
    """
    return frame.to_network(window(hu_slice, spec), fill=0.0)
