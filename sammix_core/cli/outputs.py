"""Checks all outputs before any work, and writes them together at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sammix_core.errors import Cancelled, InputError, SammixError
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


def write_together(writers: Sequence[tuple[Path, Callable[[Path], object]]], interrupts: Interrupts) -> None:
    """Writes the mask and what goes with it, so that a cancel leaves all of the files as they were.

    A failure of what goes with the mask (report, preview, boxes) never loses the mask, which took minutes to make.

    Args:
        writers: Each file, the mask's first, and a function that writes its content to a path of the same suffixes.
        interrupts: Deferred while the files get their names.

    Raises:
        InputError: A file cannot be written. Where it is not the first, the others are there.
    """
    failures: list[str] = []
    with ExitStack() as stack:
        staged = []
        for number, (path, write) in enumerate(writers):
            try:
                staged.append((path, stack.enter_context(_staged(path, write))))
            except Cancelled:
                raise
            except Exception as error:
                if number == 0:
                    raise
                failures.append(_failure(path, error))
        with interrupts.held():
            # Closing a stack moves its file onto its name; an error above closes it too, and removes the file.
            for number, (path, files) in enumerate(staged):
                try:
                    files.close()
                except Exception as error:
                    if number == 0:
                        raise
                    failures.append(_failure(path, error))
    if failures:
        raise InputError(f"{writers[0][0]} was written, but {'; '.join(failures)}.")


def _staged(path: Path, write: Callable[[Path], object]) -> ExitStack:
    """Writes a file under another name; closing what is returned moves it onto its own."""
    with ExitStack() as stack:
        write(stack.enter_context(atomic_path(path)))
        return stack.pop_all()


def _failure(path: Path, error: Exception) -> str:
    what = (
        str(error) if isinstance(error, SammixError) else f"{path} could not be made: {error or type(error).__name__}"
    )
    return what.rstrip(".")


def _identity(path: Path) -> tuple[int, int] | str:
    """Equal for two paths of one file: by inode where it exists, since file systems may ignore case."""
    real = path.expanduser().resolve()
    try:
        status = real.stat()
    except OSError:
        return os.path.normcase(real)
    return (status.st_dev, status.st_ino)
