"""Loads a scripted module from its Python file, as Slicer's factory of scripted modules does."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import slicer

from slicer_host.module_widget import qSlicerScriptedLoadableModuleWidget
from slicer_host.scene.modules import Module


@dataclass
class LoadedModule:
    """A scripted module in the host.

    Attributes:
        python: the imported Python module.
        instance: of the class that describes the module to Slicer.
        panel: the Qt widget with the module's panel in it.
    """

    python: ModuleType
    instance: Any
    panel: qSlicerScriptedLoadableModuleWidget

    @property
    def widget(self) -> Any:
        """The instance of the module's widget class; another one after a reload."""
        return self.panel.self()

    def close(self) -> None:
        """Take the module out again, as Slicer does when it ends."""
        if self.panel.isEntered:
            self.panel.exit()
        self.widget.cleanup()
        slicer.app.moduleManager().module(self.panel.moduleName).representation = None
        self.panel.close()
        self.panel.deleteLater()
        slicer.app.processEvents()


def _import(path: Path) -> ModuleType:
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def load_module(path: Path, show: bool = True) -> LoadedModule:
    """Import a scripted module, register it, and open its panel.

    Args:
        path: the module's Python file, e.g. ``SAMMixSlicer/SAMMixSlicer.py``.
        show: whether the panel becomes a window of its own at once; without, put ``.panel`` into one first.
    """
    name = path.stem
    registered = Module(name, path=str(path))
    slicer.app.moduleManager().add(registered)
    python = _import(path)
    parent = SimpleNamespace(path=str(path), name=name)
    instance = getattr(python, name)(parent)
    setattr(slicer.modules, f"{name}Instance", instance)
    registered.title = parent.title
    panel = qSlicerScriptedLoadableModuleWidget(name)
    registered.representation = panel
    panel.reload()
    if show:
        panel.show()
    panel.enter()
    slicer.app.processEvents()
    return LoadedModule(python, instance, panel)
