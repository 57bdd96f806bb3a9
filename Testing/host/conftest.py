"""Tests of the headless Slicer itself."""

from headless_slicer import app, host, load_module, restore_modules, scene

__all__ = ["app", "host", "load_module", "restore_modules", "scene"]
