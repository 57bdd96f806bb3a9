"""SAMMix: find and segment the liver in CT, with boxes to see and correct. For research, not a medical device.

Importing this package loads neither torch nor SimpleITK: names are looked up in their modules at first use, so that a
host such as 3D Slicer can import it at start, and before its dependencies are installed.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from sammix_core.errors import Cancelled, InputError, SammixError
from sammix_core.version import __version__

if TYPE_CHECKING:
    from sammix_core.boxes.box import Box, BoxSource
    from sammix_core.boxes.track import BoxTrack
    from sammix_core.progress import Progress
    from sammix_core.segmentation.result import SegmentationResult
    from sammix_core.segmentation.segmenter import Segmenter
    from sammix_core.segmentation.session import SegmentationSession
    from sammix_core.volume.volume import Volume
    from sammix_core.volume_io.labelmap_writing import write_labelmap
    from sammix_core.volume_io.reading import read_volume

__all__ = [
    "Box",
    "BoxSource",
    "BoxTrack",
    "Cancelled",
    "InputError",
    "Progress",
    "SammixError",
    "SegmentationResult",
    "SegmentationSession",
    "Segmenter",
    "Volume",
    "__version__",
    "read_volume",
    "write_labelmap",
]

_HOME_OF = {
    "Box": "boxes.box",
    "BoxSource": "boxes.box",
    "BoxTrack": "boxes.track",
    "Progress": "progress",
    "SegmentationResult": "segmentation.result",
    "SegmentationSession": "segmentation.session",
    "Segmenter": "segmentation.segmenter",
    "Volume": "volume.volume",
    "read_volume": "volume_io.reading",
    "write_labelmap": "volume_io.labelmap_writing",
}

# A library prints nothing by itself: whoever wants our log adds a handler, as `sammix --verbose` does.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Loads the module behind a public name at its first use (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
