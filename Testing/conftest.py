"""What all tests need: signals as a terminal gives them, a cache of their own, and the threads there were before."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator

import pytest

# A shell that starts the tests in the background has SIGINT ignored, and every child would inherit that; the tests of
# Ctrl-C need a process that hears it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Networks that tests compile are kept for the other tests of this run, and not among the user's own.
if "SAMMIX_CACHE" not in os.environ:
    os.environ["SAMMIX_CACHE"] = tempfile.mkdtemp(prefix="sammix-test-cache-")
    atexit.register(shutil.rmtree, os.environ["SAMMIX_CACHE"], ignore_errors=True)

# The panel keeps what is corrected and lists the models in the user's folder: not in that of whoever runs the tests.
os.environ["SAMMIX_HOME"] = tempfile.mkdtemp(prefix="sammix-test-home-")
atexit.register(shutil.rmtree, os.environ["SAMMIX_HOME"], ignore_errors=True)


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
