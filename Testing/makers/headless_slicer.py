"""Fixtures for tests in the headless Slicer: environment, paths, and an empty scene for every test.

The environment variables are set while pytest collects, before any test imports VTK or Qt.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
# Not Testing/ itself: slicer-core imports everything in folders called "slicer" beside what is on the path.
for _folder in (_ROOT / "Testing" / "slicer_host", _ROOT / "SAMMixSlicer"):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))

from slicer_host import environment  # noqa: E402

environment.prepare()


_OURS = ("SAMMixSlicer", "SAMMixSlicerLib", "sammix_core")


@pytest.fixture(autouse=True)
def restore_modules() -> Iterator[None]:
    """Restores our modules after a test that reloaded them.

    A reload creates new classes of the same names, so that instances of the old ones can no longer be pickled.
    """
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] in _OURS}
    yield
    if any(sys.modules.get(name) is not module for name, module in before.items()):
        for name in [name for name in sys.modules if name.split(".")[0] in _OURS]:
            del sys.modules[name]
        sys.modules.update(before)


@pytest.fixture(scope="session")
def host() -> Any:
    """The headless Slicer, started once; tests are skipped where it cannot run."""
    reason = environment.why_unavailable()
    if reason:
        pytest.skip(f"the headless Slicer cannot run: {reason}")
    from slicer_host.host import start

    return start()


@pytest.fixture
def app(host: Any) -> Iterator[Any]:
    """``slicer.app`` with views and an empty scene."""
    import slicer

    yield host
    slicer.mrmlScene.Clear(False)
    host.processEvents()


@pytest.fixture
def scene(app: Any) -> Any:
    """``slicer.mrmlScene``, emptied after the test."""
    import slicer

    return slicer.mrmlScene


@pytest.fixture
def load_module(app: Any) -> Iterator[Callable[..., Any]]:
    """Loads a scripted module into the host; it is closed after the test."""
    from slicer_host.module_loader import load_module

    loaded = []

    def load(path: Path, show: bool = True) -> Any:
        loaded.append(load_module(path, show))
        return loaded[-1]

    yield load
    for module in loaded:
        module.close()
