"""Output of the commands: results on stdout, progress and errors on stderr, without line wrapping or markup."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


def out() -> Console:
    """The console on stdout, a new one at each call: tests and hosts swap sys.stdout."""
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True)


def err() -> Console:
    """The console on stderr."""
    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say_error(sentence: str) -> None:
    """Prints one plain line on stderr."""
    print(" ".join(line.strip() for line in sentence.splitlines()), file=sys.stderr, flush=True)


@contextmanager
def shown_log(verbose: bool) -> Iterator[None]:
    """Shows the log of SAMMix on stderr while the block runs, or keeps all of it away.

    Args:
        verbose: Whether to show it.
    """
    logger = logging.getLogger("sammix_core")
    handler = _StderrHandler() if verbose else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    if verbose:
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


class _StderrHandler(logging.Handler):
    """Prints through sys.stderr as it is at the moment: a progress bar takes its place to keep lines apart."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


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
