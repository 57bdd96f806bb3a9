"""The errors that SAMMix shows to its users: each message is one sentence that says what is wrong and what to do."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class SammixError(Exception):
    """Something the user can understand and act on; the command line prints it and exits with code 2."""


class InputError(SammixError):
    """The input (a file, boxes, an argument) cannot be used as it is."""


class Cancelled(SammixError):
    """The user stopped the work; nothing was written."""


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Keeps warnings and logs of libraries away from the user; SAMMix's own log is not affected.

    They concern programmers, and hide the messages of SAMMix. Everything is as before when the block ends, since tests
    run commands within their own process.
    """
    variables = {"TORCH_CPP_LOG_LEVEL": "ERROR", "PYTHONWARNINGS": "ignore"}
    variables = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(variables)
    manager = logging.root.manager
    class_before = manager.loggerClass
    # Loggers that libraries create meanwhile are disabled as well.
    manager.setLoggerClass(_DisabledLogger)
    disabled_before = {logger for logger in _loggers() if logger.disabled}
    for logger in _loggers():
        logger.disabled = not _is_ours(logger.name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        manager.loggerClass = class_before
        for logger in _loggers():
            logger.disabled = logger in disabled_before
        for name in variables:
            os.environ.pop(name, None)


class _DisabledLogger(logging.Logger):
    def __init__(self, name: str, level: int = logging.NOTSET) -> None:
        super().__init__(name, level)
        self.disabled = not _is_ours(name)


def _loggers() -> list[logging.Logger]:
    entries = logging.root.manager.loggerDict.values()
    return [logging.root, *(entry for entry in entries if isinstance(entry, logging.Logger))]


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in ("sammix_core", "SAMMixSlicerLib")
