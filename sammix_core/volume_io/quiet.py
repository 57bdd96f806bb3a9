"""Keeping the libraries' own messages away from users, who get one sentence from us instead."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LOGGERS = ("pydicom", "nibabel", "nibabel.global")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silences ITK, GDCM, MetaIO, nifti_clib, pydicom and nibabel within the block.

    MetaIO and nifti_clib write straight to the process's stderr and know no switch, so that file descriptor is turned
    away for the time; what Python has buffered is written out first. Exceptions pass unchanged.
    """
    import SimpleITK as sitk

    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    sitk_warned = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), _stderr_turned_away():
            warnings.simplefilter("ignore")
            yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(sitk_warned)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _stderr_turned_away() -> Iterator[None]:
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:
        # A program without a console, such as pythonw, has no file descriptor 2, and nobody who could read it.
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
