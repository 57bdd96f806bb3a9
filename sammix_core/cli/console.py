"""What the commands print: results on stdout, progress and errors on stderr, no line wrapped or decorated to pieces."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text


def out() -> Console:
    """The console on stdout. Made anew at each call, because tests and hosts swap sys.stdout."""
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True)


def err() -> Console:
    """The console on stderr."""
    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say_error(sentence: str) -> None:
    """Prints one plain line on stderr."""
    print(" ".join(line.strip() for line in sentence.splitlines()), file=sys.stderr, flush=True)


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Prints labels and values in two columns on stdout."""
    console, pairs = out(), list(fields)
    width = max(len(label) for label, _ in pairs) + 2
    for label, value in pairs:
        console.print(Text.assemble((f"  {label:<{width}}", "dim"), value))


def print_notes(notes: Iterable[str]) -> None:
    """Prints notes, a bullet each, on stdout."""
    console = out()
    for note in notes:
        console.print(f"  - {note}")
