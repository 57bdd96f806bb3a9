"""Keeping the libraries' own messages away from users, who get one sentence from us instead."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOGGERS = ("pydicom", "nibabel", "nibabel.global")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Switches off the warnings of ITK, GDCM, pydicom and nibabel within the block. Exceptions pass unchanged."""
    import SimpleITK as sitk

    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    sitk_warned = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(sitk_warned)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def stderr_turned_away() -> Iterator[None]:
    """Keeps what is written straight to the process's stderr away from the user within the block.

    MetaIO, nifti_clib and the JPEG codecs write there and know no switch. Only for single calls of a library: a
    progress bar that another thread draws is turned away too. What Python has buffered is written out first.
    """
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


@contextmanager
def utf8_path(path: Path, copy: bool = True) -> Iterator[Path]:
    """Yields a path that SimpleITK can be given: one that is no UTF-8 ends the whole process there.

    Args:
        path: A file.
        copy: Whether it is to be read; otherwise it is to be written, and moved to its own name at the end.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        ending = "".join(path.suffixes[-2:]).encode("ascii", errors="ignore").decode()
        with tempfile.TemporaryDirectory() as folder:
            other = Path(folder, f"file{ending}")
            if copy:
                shutil.copyfile(path, other)
            yield other
            if not copy:
                shutil.move(other, path)
    else:
        yield path
