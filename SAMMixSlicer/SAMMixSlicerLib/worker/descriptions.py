"""What the computing process says of itself: that it is up, what it can compute with, which model it has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hello:
    """The process is up.

    Attributes:
        pid: Its own process ID; a launcher's may be another.
        missing: Distributions that segmentation needs and that are not installed; empty when it can compute.
        core_version: Version of the `sammix_core` that it uses.
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
        name: What `LoadModel.device` takes: "cpu" or "cuda".
        title: For people: "CPU, 2 cores" or "NVIDIA H200, 139 GB".
    """

    name: str
    title: str


@dataclass(frozen=True)
class ModelInfo:
    """A model in the store.

    Attributes:
        spec: "liver/1.0.0".
        target: What it segments, "liver".
        shipped: Whether it came with SAMMix.
        folder: Where it lies.
        in_use: Whether its target means this version.
    """

    spec: str
    target: str
    shipped: bool
    folder: str
    in_use: bool = False


@dataclass(frozen=True)
class Description:
    """What is installed.

    Attributes:
        versions: Version by package; "sammix" and "python" among them.
        devices: What can compute, best first.
        models: Models that can be loaded.
        faults: Plain sentences on what is there and cannot be used.
    """

    versions: dict[str, str]
    devices: tuple[DeviceInfo, ...]
    models: tuple[ModelInfo, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelLoaded:
    """A model is ready.

    Attributes:
        spec: "liver/1.0.0".
        target: What it segments.
        device: "cpu" or "cuda".
        engine: How the encoder runs: "torch" or "openvino".
        seconds: How long loading took.
    """

    spec: str
    target: str
    device: str
    engine: str
    seconds: float
