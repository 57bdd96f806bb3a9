"""The errors that SAMMix shows to its users: each message is one sentence that says what is wrong and what to do."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGER = "sammix_core"  # the parent of the loggers of all our modules


WARNING = "Warning:"  # begins the notes that a person must read before the mask is used


class SammixError(Exception):
    """Something the user can understand and act on; the command line prints it and exits with code 2."""


class InputError(SammixError):
    """The input (a file, boxes, an argument) cannot be used as it is."""


class Cancelled(SammixError):
    """The user stopped the work; nothing was written."""


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Mutes the warnings and logs of other libraries: they concern programmers, and hide what we have to say.

    Loggers of SAMMix itself stay as they are. Everything is restored when the block ends, since tests run commands
    within their own process.
    """
    added = {"TORCH_CPP_LOG_LEVEL": "ERROR", "PYTHONWARNINGS": "ignore"}
    added = {name: value for name, value in added.items() if name not in os.environ}
    os.environ.update(added)
    try:
        with _muted_loggers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _muted_loggers() -> Iterator[None]:
    """Disables all loggers but ours, those too that libraries create when they are imported in the block."""
    muted: list[logging.Logger] = []

    def mute(logger: logging.Logger) -> None:
        if not logger.disabled and logger.name.partition(".")[0] != LOGGER:
            logger.disabled = True
            muted.append(logger)

    logger_class = logging.getLoggerClass()

    class MutedLogger(logger_class):  # type: ignore[misc, valid-type]
        def __init__(self, name: str, level: int = logging.NOTSET) -> None:
            super().__init__(name, level)
            mute(self)

    existing = [entry for entry in logging.root.manager.loggerDict.values() if isinstance(entry, logging.Logger)]
    for logger in [logging.root, *existing]:
        mute(logger)
    logging.setLoggerClass(MutedLogger)
    try:
        yield
    finally:
        logging.setLoggerClass(logger_class)
        for logger in muted:
            logger.disabled = False
