"""Qt properties as values, as PythonQt shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6.QtCore import QObject, Signal

# Taken before anything is replaced: the host itself needs them as methods.
native_property = QObject.property
native_set_property = QObject.setProperty
native_object_name = QObject.objectName
native_meta_object = QObject.metaObject

# Virtual: C++ asks the instance for a Python override under these names, and must find a method.
_KEPT_AS_METHODS = {"sizeHint", "minimumSizeHint"}


class PropertyValue:
    """A Qt property: its value on an instance, the method that PySide6 has for it on the class.

    Args:
        name: of the property.
        getter: PySide6's method, None where only ``property(name)`` answers.
        setter: called with object and value; None for a property that cannot be written.
    """

    def __init__(self, name: str, getter: Callable[..., Any] | None, setter: Callable[[Any, Any], None] | None) -> None:
        self.name = name
        self.getter = getter
        self.setter = setter

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            # A subclass that calls QWidget.isEnabled(self) and the like means the method.
            return self.getter or self
        return self.getter(instance) if self.getter else native_property(instance, self.name)

    def __set__(self, instance: Any, value: Any) -> None:
        if self.setter is None:
            raise AttributeError(f"the Qt property {self.name} cannot be written")
        self.setter(instance, value)


class StaticAndProperty(PropertyValue):
    """``singleShot``: QTimer has a static method and a property of that name."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.getter if instance is None else native_property(instance, self.name)


def _write_by_name(name: str) -> Callable[[Any, Any], None]:
    return lambda instance, value: native_set_property(instance, name, value)


def show_properties_as_values(class_: type) -> None:
    """Replace the methods of a PySide6 class that read its own properties by the properties' values."""
    meta = class_.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        property_ = meta.property(index)
        name = property_.name()
        original = getattr(class_, name, None)
        if name in _KEPT_AS_METHODS or isinstance(original, PropertyValue | Signal):
            continue
        if name == "singleShot":
            setattr(class_, name, StaticAndProperty(name, original, _write_by_name(name)))
            continue
        getter = original if callable(original) else None
        setter = None
        if property_.isWritable():
            setter = getattr(class_, f"set{name[0].upper()}{name[1:]}", None) or _write_by_name(name)
        setattr(class_, name, PropertyValue(name, getter, setter))


def _class_name(instance: QObject) -> str:
    # A stand-in written in Python is called as the C++ class that it imitates.
    for class_ in type(instance).__mro__:
        if class_.__module__.startswith("slicer_host.widgets"):
            return class_.__name__
    return native_meta_object(instance).className()


def add_pythonqt_members() -> None:
    """``name``, ``className()`` and ``delete()``, which every object has in PythonQt."""
    QObject.name = PropertyValue("objectName", native_object_name, QObject.setObjectName)
    QObject.className = _class_name
    QObject.delete = lambda self: shiboken6.delete(self)
