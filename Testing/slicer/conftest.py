"""Module tests run in the headless Slicer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from headless_slicer import app, host, load_module, restore_modules, scene
from panel_driver import MODULE, PanelDriver, use_shared_worker

__all__ = ["app", "host", "load_module", "restore_modules", "scene"]


@pytest.fixture
def panel(load_module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> PanelDriver:
    """The module's panel, which computes in the tests' one process."""
    use_shared_worker(monkeypatch)
    return PanelDriver(load_module(MODULE))
