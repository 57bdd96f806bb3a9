"""Reading JSON that a person may have edited, strictly and with sentences instead of tracebacks; settings as dicts."""

from __future__ import annotations

import json
import types
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from sammix_core.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")

# The largest document that SAMMix writes, the boxes of 2,000 slices, has 0.4 MB. A far larger file, such as the CT, was
# named by mistake and is not read into memory.
_LARGEST_BYTES = 16 * 1024 * 1024


def read_json(path: str | Path, what: str) -> Any:
    """Reads a JSON file strictly: no key twice in one object, no NaN or infinity.

    Args:
        path: The file, UTF-8 with or without a byte order mark.
        what: The kind of file, for the messages: "box file".

    Returns:
        The result of `json.loads`.

    Raises:
        InputError: The file is missing, cannot be read, is too large, no text or no strict JSON; names the file.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputError(f"{path} is far too large to be a {what}.")
        # utf-8-sig: some editors put a byte order mark in front.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text, so it is no {what}.") from None
    except OSError as error:
        raise InputError(f"The {what} {path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is no valid JSON (line {error.lineno}: {error.msg}).") from None
    except (RecursionError, ValueError):
        # Brackets nested a thousand deep, or a number of thousands of digits.
        raise InputError(f"{path} is no {what}.") from None


def check_keys(entry: dict[str, Any], *, required: set[str], allowed: set[str], what: str) -> None:
    """Refuses an object with an unknown key, or without a required one.

    Args:
        entry: The object.
        required: Keys that it must have.
        allowed: Keys that it may have.
        what: How the message begins: "The file".

    Raises:
        InputError: A key is unknown or missing.
    """
    if unknown := sorted(entry.keys() - allowed):
        raise InputError(f"{what} has the unknown key {unknown[0]!r}.")
    if missing := sorted(required - entry.keys()):
        raise InputError(f"{what} lacks the key {missing[0]!r}.")


def settings_to_dict(settings: DataclassInstance) -> dict[str, Any]:
    """The fields of a dataclass as plain JSON values: tuples become lists, paths strings.

    Example:
        >>> from dataclasses import make_dataclass
        >>> settings_to_dict(make_dataclass("Sizes", ["width", "blocks"])(16, (2, 5)))
        {'width': 16, 'blocks': [2, 5]}
    """
    return {key: _plain(value) for key, value in asdict(settings).items()}


def settings_from_dict(cls: type[Settings], entry: Any, what: str) -> Settings:
    """Builds a dataclass from plain JSON values, and checks names and types.

    Args:
        cls: The dataclass; its fields are annotated with str, bool, int, float, `Path`, tuples of these, or a union.
            Fields without a default are required.
        entry: As `settings_to_dict` returns it, or without some of the fields that have defaults.
        what: How the sentences begin: "The refiner".

    Raises:
        InputError: The entry is no object, a key is unknown or missing, or a value has another type.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Sizes:
        ...     width: int
        ...     blocks: tuple[int, ...] = ()
        >>> settings_from_dict(Sizes, {"width": 16, "blocks": [2, 5]}, "The network")
        Sizes(width=16, blocks=(2, 5))
    """
    if not isinstance(entry, dict):
        raise InputError(f"{what} must be an object of settings, not {entry!r}.")
    required = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    check_keys(entry, required=required, allowed={f.name for f in fields(cls)}, what=what)
    hints = get_type_hints(cls)
    return cls(**{key: _typed(value, hints[key], f"{what}: {key}") for key, value in entry.items()})


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _typed(value: Any, hint: Any, what: str) -> Any:
    """A plain value as the annotated type."""
    if not _fits(value, hint):
        raise InputError(f"{what} must be {_kind(hint)}, not {value!r}.")
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    hint = next(option for option in options if _fits(value, option))
    if get_origin(hint) is tuple:
        items = _item_hints(hint, len(value))
        return tuple(_typed(item, item_hint, what) for item, item_hint in zip(value, items, strict=True))
    if hint is float:
        return float(value)
    return Path(value) if hint is Path else value


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            return False
        items = _item_hints(hint, len(value))
        return len(items) == len(value) and all(map(_fits, value, items))
    if hint is float:
        return type(value) in (int, float)
    if hint is Path:
        return isinstance(value, str | Path)
    # bool is an int for isinstance, and True is no number of anything.
    return value is None if hint is types.NoneType else type(value) is hint


def _item_hints(hint: Any, count: int) -> tuple[Any, ...]:
    items = get_args(hint)
    return items[:1] * count if items[-1] is Ellipsis else items


def _kind(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_kind(option) for option in get_args(hint))
    if get_origin(hint) is not tuple:
        return "null" if hint is types.NoneType else _KINDS[hint]
    items = get_args(hint)
    item = _KINDS[items[0]].split(" ", 1)[-1]
    return f"a list of {item}s" if items[-1] is Ellipsis else f"a list of {len(items)} {item}s"


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses an object with the same key twice; json.loads would silently keep the last value."""
    entries: dict[str, Any] = {}
    for key, value in pairs:
        if key in entries:
            raise InputError(f"The key {key!r} is there twice in one object.")
        entries[key] = value
    return entries


def _refuse_constant(name: str) -> float:
    raise InputError(f"{name} is no number that JSON knows.")
