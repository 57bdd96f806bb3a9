"""What the stand-ins rest on: signatures and behaviours of Slicer, each with the version and file it was read from.

``slicer_facts.json`` has them. A fact about a function has its signature in every version; a fact about a behaviour
names the test that shows the stand-in, or Slicer's own code in the host, behave so.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "slicer_facts.json"


@dataclass(frozen=True)
class Fact:
    """Something that is so in Slicer.

    Attributes:
        id: its name in the checklist.
        says: one or two sentences.
        read: the files by the version that they were read in.
        stand_in: "module:name" of the function that imitates it, or "".
        signatures: by version, as Python writes them.
        test: "file::test" of what shows a behaviour, the file from ``Testing``, or "".
    """

    id: str
    says: str
    read: dict[str, list[str]]
    stand_in: str = ""
    signatures: dict[str, str] = field(default_factory=dict)
    test: str = ""


@cache
def versions() -> dict[str, str]:
    """What was read, by its short name."""
    return json.loads(_FILE.read_text(encoding="utf-8"))["versions"]


@cache
def facts() -> tuple[Fact, ...]:
    """All facts, in the order of the file."""
    return tuple(Fact(**entry) for entry in json.loads(_FILE.read_text(encoding="utf-8"))["facts"])


def stand_in_of(fact: Fact) -> Callable[..., Any]:
    """The function that imitates one of Slicer's; the host has been started."""
    module, _, name = fact.stand_in.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def differences(stand_in: Callable[..., Any], signature: str) -> list[str]:
    """What a stand-in takes in another way than the real function, in words.

    It may leave out what the real one can do without; it may take nothing more, and nothing in another order.

    Args:
        stand_in: the function.
        signature: of the real one, e.g. "(path, encoding='utf-8')".
    """
    namespace: dict[str, Any] = {}
    exec(f"def real{signature}: ...", namespace)
    real = inspect.signature(namespace["real"]).parameters
    ours = inspect.signature(stand_in).parameters
    found = [f"has no argument {name}" for name in ours if name not in real]
    found += [
        f"lacks the argument {name}"
        for name, parameter in real.items()
        if name not in ours and parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    shared = [name for name in ours if name in real]
    if shared != [name for name in real if name in ours]:
        found.append(f"has its arguments in another order: {', '.join(real)}")
    for name in shared:
        if ours[name].kind is not real[name].kind:
            found.append(f"takes {name} in another way")
        elif ours[name].default != real[name].default:
            found.append(f"has another default for {name}")
    return found
