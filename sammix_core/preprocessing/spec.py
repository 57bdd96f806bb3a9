"""How a model's slices are prepared: HU window, network size, body crop; its manifest records it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sammix_core.documents import settings_from_dict, settings_to_dict


@dataclass(frozen=True)
class PreprocessingSpec:
    """What a model was trained with: HU window, network size and body crop.

    Attributes:
        window_level: Centre of the HU window.
        window_width: Width of the HU window; the window's ends become 0 and 1.
        size: Side of the network's square image in pixels.
        body_crop: Whether one crop a volume, round the body, is made before resizing.
        body_margin_mm: Margin left round the body by that crop (in pixels when the spacing is unknown).
        least_extent_mm: The frame is never smaller than this: a crop close about the liver is padded, so that organs
            keep the size that the model knows. Where the spacing is unknown, a body that is cut off is padded by half.
    """

    window_level: float = 40.0
    window_width: float = 400.0
    size: int = 256
    body_crop: bool = True
    body_margin_mm: float = 10.0
    least_extent_mm: float = 330.0

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as a plain dict for the manifest."""
        return settings_to_dict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> PreprocessingSpec:
        """Reads the fields from a manifest.

        Raises:
            InputError: A field is missing or not known to this version.
        """
        return settings_from_dict(cls, fields, "The model's preprocessing")
