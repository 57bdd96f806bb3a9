"""``slicer.modules``: the modules that are loaded, each with its logic and its panel."""

from __future__ import annotations

from typing import Any

import slicer

from slicer_host.scene.slots_by_name import SlotsByName


class Module:
    """Stand-in of qSlicerAbstractCoreModule.

    Args:
        name: as in ``slicer.modules``, where it is in lower case.
        logic: the module's C++ logic; None for a scripted module.
        path: the module's Python file, as a scripted module has one.
    """

    def __init__(self, name: str, logic: Any = None, path: str = "") -> None:
        self.name = name
        self.title = name
        self.path = path
        self.representation: Any = None
        self._logic = logic

    def logic(self) -> Any:
        """The module's logic."""
        return self._logic

    def widgetRepresentation(self) -> Any:
        """The module's panel, None before it was opened."""
        return self.representation


class ModuleManager(SlotsByName):
    """Stand-in of qSlicerModuleManager."""

    SIGNATURES = ("moduleAboutToBeUnloaded(QString)", "moduleLoaded(QString)")

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Module] = {}

    def add(self, module: Module) -> None:
        """Make a module known, and reachable as ``slicer.modules.<name in lower case>``."""
        self._modules[module.name] = module
        setattr(slicer.modules, module.name.lower(), module)
        setattr(slicer.moduleNames, module.name, module.name)

    def module(self, name: str) -> Module | None:
        """The module of that name, None where there is none."""
        return self._modules.get(name)

    def modulesNames(self) -> tuple[str, ...]:
        """All names; a tuple, as PythonQt gives them."""
        return tuple(self._modules)
