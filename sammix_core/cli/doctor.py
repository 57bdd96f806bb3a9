"""`sammix doctor`: checks everything that a segmentation needs."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

import typer

from sammix_core.cli import console
from sammix_core.errors import SammixError

_PASSED, _FAILED = "ok", "!!"


def doctor() -> None:
    """Check versions, devices, weights and CUDA; exit code 1 when something needed is missing."""
    from sammix_core.evaluation import report

    screen = console.out()
    console.print_fields(report.versions().items())
    faults = 0
    for passed, sentence in (*_devices(), *_weights(), *_models()):
        screen.print(f"{_PASSED if passed else _FAILED}  {sentence}")
        faults += not passed
    if faults:
        raise typer.Exit(1)


def _devices() -> Iterator[tuple[bool, str]]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield True, f"CPU: {platform.machine()}, {cores} cores for this process"
    try:
        import torch
    except ImportError as error:
        yield False, f"torch cannot be imported: {error}"
        return
    if torch.cuda.is_available():
        yield from (_cuda(index) for index in range(torch.cuda.device_count()))
    elif torch.version.cuda:
        yield True, f"CUDA: torch is built for {torch.version.cuda}, but finds no GPU here; the CPU is used"
    else:
        yield True, "CUDA: torch is built without it; the CPU is used"


def _cuda(index: int) -> tuple[bool, str]:
    """Compares a small convolution on the GPU with the CPU's: a driver may be installed and still not work."""
    import torch

    name = torch.cuda.get_device_name(index)
    memory = torch.cuda.get_device_properties(index).total_memory / 2**30
    generator = torch.Generator().manual_seed(0)
    image, kernel = (torch.rand(shape, generator=generator) for shape in ((1, 8, 32, 32), (8, 8, 3, 3)))
    expected = torch.nn.functional.conv2d(image, kernel)
    try:
        device = torch.device("cuda", index)
        computed = torch.nn.functional.conv2d(image.to(device), kernel.to(device)).cpu()
    except RuntimeError as error:
        return False, f"CUDA: {name} is there, but does not work: {str(error).splitlines()[0]}"
    # TF32 keeps about three decimals.
    works = torch.allclose(computed, expected, rtol=1e-2, atol=1e-2)
    return (
        works,
        f"CUDA: {name}, {memory:.0f} GB, {'a convolution works' if works else 'a convolution gives wrong numbers'}",
    )


def _weights() -> Iterator[tuple[bool, str]]:
    from sammix_core import model_store

    try:
        path = model_store.find_base_weights()
    except SammixError as error:
        yield False, str(error)
    else:
        yield True, f"base weights: {model_store.LITE_MEDSAM.title}, SHA-256 as expected, {path}"


def _models() -> Iterator[tuple[bool, str]]:
    from sammix_core import model_store

    models = model_store.list_models()
    if not models:
        yield False, "models: there are none"
    for model in models:
        faults = model_store.verify(model)
        yield not faults, " ".join(faults) or f"model {model.spec}: whole, {model.path}"
    for fault in model_store.find_faults():
        yield False, fault
