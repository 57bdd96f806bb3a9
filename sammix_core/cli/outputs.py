"""Checks all outputs before any work, and writes them together at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sammix_core.errors import InputError
from sammix_core.files import atomic_path, check_writable
from sammix_core.progress import Interrupts


@dataclass(frozen=True)
class Output:
    """A file that a command will write.

    Attributes:
        option: The option that names it, for the messages: "--preview".
        path: The file.
        suffixes: Allowed endings, in lower case.
    """

    option: str
    path: Path
    suffixes: tuple[str, ...]


def check_outputs(outputs: Iterable[Output], inputs: Iterable[Path]) -> None:
    """Refuses outputs that could not be written at the end.

    Args:
        outputs: The files to write.
        inputs: The files to read, which no output may replace.

    Raises:
        InputError: An output has an unknown format, cannot be written, is named twice, or is one of the inputs.
    """
    taken = {_identity(path): "the input" for path in inputs}
    for output in outputs:
        if not output.path.name.lower().endswith(output.suffixes):
            raise InputError(
                f"{output.option} {output.path} has a format that cannot be written; name a file that ends with "
                f"{' or '.join(output.suffixes)}."
            )
        identity = _identity(check_writable(output.path))
        if identity in taken:
            raise InputError(f"{output.option} {output.path} is the same file as {taken[identity]}; name another one.")
        taken[identity] = output.option


def write_together(writers: Iterable[tuple[Path, Callable[[Path], object]]], interrupts: Interrupts) -> None:
    """Writes several files; after a failure or a cancel all of them are as they were.

    Args:
        writers: Each file, and a function that writes its content to a path of the same suffixes.
        interrupts: Deferred while the files get their names.

    Raises:
        InputError: A file cannot be written.
    """
    with ExitStack() as stack:
        staged = [(stack.enter_context(atomic_path(path)), write) for path, write in writers]
        for temporary, write in staged:
            write(temporary)
        with interrupts.held():
            # Closing the stack here moves the files onto their names; an error above closes it too, and removes them.
            stack.close()


def _identity(path: Path) -> tuple[int, int] | str:
    """Equal for two paths of one file: by inode where it exists, since file systems may ignore case."""
    real = path.expanduser().resolve()
    try:
        status = real.stat()
    except OSError:
        return os.path.normcase(real)
    return (status.st_dev, status.st_ino)
