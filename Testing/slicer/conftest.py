"""Module tests run in the headless Slicer."""

from headless_slicer import app, host, load_module, restore_modules, scene

__all__ = ["app", "host", "load_module", "restore_modules", "scene"]
