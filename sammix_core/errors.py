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
    """Keeps the warnings of libraries away from the user: they concern programmers, and hide what we have to say.

    Everything is as before when the block ends, since tests run commands within their own process.
    """
    disabled_before = logging.root.manager.disable
    added = {"TORCH_CPP_LOG_LEVEL": "ERROR", "PYTHONWARNINGS": "ignore"}
    added = {name: value for name, value in added.items() if name not in os.environ}
    os.environ.update(added)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled_before)
        for name in added:
            os.environ.pop(name, None)
