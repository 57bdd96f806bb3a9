"""Events in which the computing process describes itself: that it runs, what it can compute with, its model."""

from __future__ import annotations

from dataclasses import dataclass

from SAMMixSlicerLib.worker.events import Event


@dataclass(frozen=True)
class Hello(Event):
    """The process has started and connected.

    Attributes:
        pid: Its own process ID; a launcher's may differ.
        missing: Distributions that segmentation needs and that are not installed; empty when it can compute.
        core_version: Version of the `sammix_core` it uses.
        core_path: Folder of that `sammix_core`.
    """

    pid: int
    missing: tuple[str, ...]
    core_version: str
    core_path: str


@dataclass(frozen=True)
class DeviceInfo:
    """A device that can compute.

    Attributes:
        name: Value for `LoadModel.device`: "cpu" or "cuda".
        title: For display: "CPU, 2 cores" or "NVIDIA H200, 139 GB".
    """

    name: str
    title: str


@dataclass(frozen=True)
class ModelInfo:
    """A model in the store.

    Attributes:
        spec: "liver/1.0.0".
        target: The structure it segments, "liver".
        shipped: Whether it came with SAMMix.
        folder: Folder of the model.
        in_use: Whether this is the active version for its target.
    """

    spec: str
    target: str
    shipped: bool
    folder: str
    in_use: bool = False


@dataclass(frozen=True)
class Description(Event):
    """What is installed.

    Attributes:
        versions: Version by package; "sammix" and "python" among them.
        devices: Devices that can compute, best first.
        models: Models that can be loaded.
        faults: Plain sentences on what is installed but cannot be used.
    """

    versions: dict[str, str]
    devices: tuple[DeviceInfo, ...]
    models: tuple[ModelInfo, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelLoaded(Event):
    """A model is ready.

    Attributes:
        spec: "liver/1.0.0".
        target: The structure it segments.
        device: "cpu" or "cuda".
        engine: How the encoder runs: "torch" or "openvino".
        seconds: Loading time.
    """

    spec: str
    target: str
    device: str
    engine: str
    seconds: float
