"""Which stand-ins there are, by the name of the class that each imitates."""

from __future__ import annotations

from typing import TypeVar

_Class = TypeVar("_Class", bound=type)

WIDGETS: dict[str, type] = {}


def stand_in(class_: _Class) -> _Class:
    """Make a class known to the loader of Designer files, and in ``ctk`` or ``slicer``."""
    WIDGETS[class_.__name__] = class_
    return class_
