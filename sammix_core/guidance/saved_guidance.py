"""The guidance's boxes and maps of a volume, saved for another session or in a scene."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Self

import numpy as np

from sammix_core.boxes.network_box import NetworkBox
from sammix_core.errors import InputError
from sammix_core.guidance.boxes_from_cam import GuidedBoxes
from sammix_core.volume.axial_order import AxialOrder

_SCHEMA = "sammix-guidance/2"


@dataclass(frozen=True)
class SavedGuidance:
    """Maps and boxes of a whole volume.

    Attributes:
        model: The model that made them, "liver/1.0.0"; masks of another model do not fit these maps.
        order: How the volume was cut into axial slices.
        guided: The boxes and maps, in that order.
        notes: Plain sentences on the order.
    """

    model: str
    order: AxialOrder
    guided: GuidedBoxes
    notes: tuple[str, ...]

    def probabilities(self, shape_kji: tuple[int, int, int]) -> dict[int, float]:
        """Each slice's probability in [0, 1], smoothed as it was used, by index along the user's slice axis."""
        return {
            self.order.slice_index(index, shape_kji): float(np.clip(value, 0, 1))
            for index, value in enumerate(self.guided.probabilities)
        }

    def to_bytes(self) -> bytes:
        """Serialises it as a NumPy archive of plain arrays and a line of JSON, which cannot carry code."""
        about = {
            "schema": _SCHEMA,
            "model": self.model,
            "axes": self.order.axes,
            "flips": self.order.flips,
            "notes": self.notes,
        }
        every = [(index, box) for index, boxes in enumerate(self.guided.boxes) for box in boxes]
        arrays = {
            "about": np.array(json.dumps(about)),
            "cam_logits": self.guided.cam_logits,
            "probabilities": self.guided.probabilities,
            "support": self.guided.support,
            "boxes": np.array([box for _, box in every], dtype=np.float64).reshape(-1, 4),
            "slices": np.array([index for index, _ in every], dtype=np.int32),
            "scores": self.guided.scores,
        }
        if self.guided.between is not None:
            arrays["between"] = self.guided.between
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, **arrays)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Reads what `to_bytes` made.

        Raises:
            InputError: It is something else.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                about = json.loads(str(arrays["about"]))
                if about["schema"] != _SCHEMA:
                    raise ValueError(f"its schema is {about['schema']!r}")
                boxes: list[tuple[NetworkBox, ...]] = [()] * len(arrays["probabilities"])
                for index, (x_min, y_min, x_max, y_max) in zip(arrays["slices"], arrays["boxes"].tolist(), strict=True):
                    boxes[index] = (*boxes[index], (x_min, y_min, x_max, y_max))
                guided = GuidedBoxes(
                    cam_logits=arrays["cam_logits"],
                    probabilities=arrays["probabilities"],
                    support=arrays["support"],
                    boxes=boxes,
                    scores=arrays["scores"],
                    between=arrays.get("between"),
                )
            order = AxialOrder(tuple(about["axes"]), tuple(about["flips"]))
            return cls(str(about["model"]), order, guided, tuple(about["notes"]))
        except Exception as error:  # zip, numpy and JSON each raise different errors for damaged content
            raise InputError(f"The saved activation map cannot be read ({error}).") from error
