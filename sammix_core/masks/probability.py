"""Logits to probabilities."""

from __future__ import annotations

import numpy as np


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logits to probabilities, in the logits' own dtype; clipped so that no exponential overflows.

    `scipy.special.expit` differs in the last bit and turns float16 into float64, so saved scores would change.
    """
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
