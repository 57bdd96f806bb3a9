"""SAMMix: find and segment the liver in CT, with boxes to see and correct. For research, not a medical device.

Importing this package loads neither torch nor SimpleITK: names are looked up in their modules at first use, so that a
host such as 3D Slicer can import it at start, and before its dependencies are installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sammix_core.errors import Cancelled, InputError, SammixError

if TYPE_CHECKING:
    from sammix_core.boxes import Box, BoxSource, BoxTrack
    from sammix_core.segmenter import Progress, SegmentationResult, Segmenter
    from sammix_core.volume import Volume, read_volume, write_labelmap

__version__ = "0.1.0"

__all__ = [
    "Box",
    "BoxSource",
    "BoxTrack",
    "Cancelled",
    "InputError",
    "Progress",
    "SammixError",
    "SegmentationResult",
    "Segmenter",
    "Volume",
    "__version__",
    "read_volume",
    "write_labelmap",
]

_HOME_OF = {
    "Box": "boxes",
    "BoxSource": "boxes",
    "BoxTrack": "boxes",
    "Progress": "segmenter",
    "SegmentationResult": "segmenter",
    "Segmenter": "segmenter",
    "Volume": "volume",
    "read_volume": "volume",
    "write_labelmap": "volume",
}


def __getattr__(name: str) -> Any:
    """Loads the module behind a public name at its first use (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
