"""What the real qMRML, qSlicer and ctk classes offer to Python, as their headers say.

The facts are a file of ours with, for each class, its bases and the names of its properties, slots, signals and
invokable methods; PythonQt shows a scripted module these and nothing else. Classes of Qt itself are asked of PySide6.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

FACTS_FILE = Path(__file__).parent / "slicer_qt_api.json"

# What PythonQt gives to every object, and what Slicer adds to some in Python
_EVERY_OBJECT = {"name", "className", "delete", "connect", "disconnect"}


@cache
def _facts() -> dict[str, dict[str, list[str]]]:
    return json.loads(FACTS_FILE.read_text(encoding="utf-8"))


def qt_class(name: str) -> Any:
    """PySide6's class of that name, None where there is none; Signal, Slot and Property are in PySide6 alone."""
    if not name.startswith("Q"):
        return None
    return next((getattr(part, name) for part in (QtCore, QtGui, QtWidgets) if hasattr(part, name)), None)


def is_known(class_name: str) -> bool:
    """Whether the class exists, in the facts or in Qt."""
    return class_name in _facts() or qt_class(class_name) is not None


def _lineage(class_name: str) -> list[str]:
    """The class and all its bases."""
    found, todo = [], [class_name]
    while todo:
        name = todo.pop()
        if name not in found:
            found.append(name)
            todo += _facts().get(name, {}).get("bases", [])
    return found


def _name(signature: str) -> str:
    return signature.split("(")[0]


def has_member(class_name: str, member: str) -> bool:
    """Whether an instance of a class, or the class itself, has that name in PythonQt.

    Raises:
        LookupError: for a class that neither the facts nor Qt know.
    """
    if not is_known(class_name):
        raise LookupError(f"{class_name} is in no facts: see {FACTS_FILE.name}")
    if member in _EVERY_OBJECT:
        return True
    for name in _lineage(class_name):
        facts = _facts().get(name)
        if facts is None:
            # Asked and not listed: PySide6 finds the values of enumerations only when they are asked for.
            if hasattr(qt_class(name), member):
                return True
        elif member in facts["properties"] or any(
            member == _name(signature) for kind in ("slots", "signals", "invokable") for signature in facts[kind]
        ):
            return True
    return False


def normalized(signature: str) -> str:
    """A signal's signature without the names of its arguments: "f(const QString& id)" becomes "f(QString)"."""
    name, _, inside = signature.rstrip(")").partition("(")
    types = []
    for argument in filter(None, (part.strip() for part in inside.split(","))):
        match = re.fullmatch(r"((?:const )?[\w:]+(?:<[^>]*>)?\s*[*&]*)\s*\w*", argument.split("=")[0].strip())
        types.append(match[1] if match else argument)
    return QtCore.QMetaObject.normalizedSignature(f"{name}({','.join(types)})").data().decode()


def signals(class_name: str) -> set[str]:
    """The normalised signatures of the signals that a class sends."""
    found: set[str] = set()
    for name in _lineage(class_name):
        facts = _facts().get(name)
        if facts is not None:
            found.update(map(normalized, facts["signals"]))
        elif (class_ := qt_class(name)) is not None and hasattr(class_, "staticMetaObject"):
            meta = class_.staticMetaObject
            methods = (meta.method(index) for index in range(meta.methodCount()))
            found.update(
                method.methodSignature().data().decode()
                for method in methods
                if method.methodType() == QtCore.QMetaMethod.Signal
            )
    return found
