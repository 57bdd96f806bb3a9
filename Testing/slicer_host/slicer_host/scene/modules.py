"""``slicer.modules``: the modules that are loaded, each with its logic and its panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer


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


class ModuleManager:
    """Stand-in of qSlicerModuleManager."""

    def __init__(self) -> None:
        self._modules: dict[str, Module] = {}
        self._slots: list[tuple[str, Callable[..., None]]] = []

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

    def connect(self, signal: str, slot: Callable[..., None]) -> bool:
        """Remember who listens; ``emit`` calls them."""
        self._slots.append((signal, slot))
        return True

    def disconnect(self, signal: str, slot: Callable[..., None]) -> bool:
        """Forget a listener."""
        if (signal, slot) not in self._slots:
            return False
        self._slots.remove((signal, slot))
        return True

    def emit(self, signal: str, *arguments: Any) -> None:
        """Call those who listen to a signal, e.g. ``moduleAboutToBeUnloaded(QString)``."""
        for known, slot in list(self._slots):
            if known == signal:
                slot(*arguments)
