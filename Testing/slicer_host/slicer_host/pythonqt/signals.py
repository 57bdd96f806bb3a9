"""``object.connect("signal(type)", callable)``, the way in which PythonQt connects signals."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6.QtCore import QMetaObject, QObject

from slicer_host.pythonqt.properties import native_meta_object

_connect = QObject.connect
_disconnect = QObject.disconnect

# (address of the C++ object, signature, callable) -> what was connected in its place
_connected: dict[tuple[int, str, Any], Callable[..., None]] = {}


def _normalized(signature: str) -> str:
    if not signature.endswith(")") or "(" not in signature:
        raise ValueError(f"not the signature of a signal: {signature!r}")
    return QMetaObject.normalizedSignature(signature).data().decode()


def _number_of_arguments(signature: str) -> int:
    inside = signature[signature.index("(") + 1 : -1]
    return len(inside.split(",")) if inside else 0


def _number_accepted(function: Callable[..., Any]) -> int:
    """How many arguments a callable takes: PythonQt hands over that many and no more."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 99
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return 99
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in positional for parameter in parameters)


def _is_standin_signal(instance: QObject, signature: str) -> bool:
    """Whether a stand-in declares the signal, with C++ types that Qt does not know here."""
    return signature in getattr(type(instance), "SIGNATURES", ())


def connect_by_signature(instance: QObject, signature: str, *receiver: Any) -> bool:
    """Connect as PythonQt does.

    Args:
        instance: the sender.
        signature: e.g. ``clicked(bool)``.
        receiver: a callable, or an object and the signature of its slot.

    Raises:
        ValueError: when the sender has no such signal; PythonQt prints a warning there and nothing happens on a click.
    """
    function = receiver[0] if len(receiver) == 1 else getattr(receiver[0], receiver[1].split("(")[0])
    normalized = _normalized(signature)
    standin = _is_standin_signal(instance, normalized)
    if not standin and native_meta_object(instance).indexOfSignal(normalized) < 0:
        raise ValueError(f"{native_meta_object(instance).className()} has no signal {signature}")
    count = min(_number_of_arguments(normalized), _number_accepted(function))

    def call(*arguments: Any) -> None:
        function(*arguments[:count])

    if standin:
        getattr(instance, normalized.split("(")[0]).connect(call)
    else:
        _connect(instance, f"2{normalized}", call)
    _connected[shiboken6.getCppPointer(instance)[0], normalized, function] = call
    return True


def disconnect_by_signature(instance: QObject, signature: str, *receiver: Any) -> bool:
    """Undo ``connect_by_signature``; False where nothing was connected."""
    function = receiver[0] if len(receiver) == 1 else getattr(receiver[0], receiver[1].split("(")[0])
    normalized = _normalized(signature)
    call = _connected.pop((shiboken6.getCppPointer(instance)[0], normalized, function), None)
    if call is None:
        return False
    if _is_standin_signal(instance, normalized):
        getattr(instance, normalized.split("(")[0]).disconnect(call)
    else:
        _disconnect(instance, f"2{normalized}", call)
    return True


def _is_signature(arguments: tuple[Any, ...]) -> bool:
    # PySide6's own connections come along this way too, with Qt's digit before the signature.
    return bool(arguments) and isinstance(arguments[0], str) and not arguments[0][:1].isdigit()


def answer_connect(class_: type) -> None:
    """Give a PySide6 class PythonQt's ``connect`` and ``disconnect``.

    PySide6 answers for ``connect`` in C, before it looks at the class, so the look-up itself is replaced.
    """
    native = class_.__getattribute__
    ours = {"connect": connect_by_signature, "disconnect": disconnect_by_signature}

    def look_up(self: Any, name: str) -> Any:
        if name not in ours:
            return native(self, name)

        def call(*arguments: Any) -> Any:
            if _is_signature(arguments):
                return ours[name](self, *arguments)
            return native(self, name)(*arguments)

        return call

    class_.__getattribute__ = look_up
