"""The `sammix` command.

Exit codes: 0 for success, 1 for an error of ours, 2 for one of the user's, 130 when the user stopped it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from sammix_core.cli import (
    batch,
    benchmark,
    cache,
    console,
    corrections,
    doctor,
    evaluate,
    finetune,
    lesions,
    models,
    pacs,
    segment,
    train,
)
from sammix_core.errors import Cancelled, SammixError, silent_libraries
from sammix_core.version import __version__

EXIT_FAILED, EXIT_REFUSED, EXIT_CANCELLED = 1, 2, 130

_STOPPED = "Stopped as asked; nothing was written."
_DEBUG, _VERBOSE = "--debug", "--verbose"


def _with_present_names(words: list[str]) -> list[str]:
    """Accepts "--precision usual", the name of "default" in earlier versions, without listing it in the help."""
    renamed = ["--precision=default" if word == "--precision=usual" else word for word in words]
    for index, word in enumerate(renamed[1:], start=1):
        if word == "usual" and renamed[index - 1] == "--precision":
            renamed[index] = "default"
    return renamed


class SammixGroup(TyperGroup):
    """Turns every error into one plain line on stderr and its exit code, for all commands."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Runs a command and leaves the process with its exit code.

        Args:
            args: The command line without the program's name; sys.argv when None.
            prog_name: The program's name in help texts.
            complete_var: Not used: shell completion is off.
            standalone_mode: Not used: the process always ends with SystemExit.
            windows_expand_args: Not used: "*" in a path is taken as it is.
            **extra: Passed on to Typer.

        Raises:
            SystemExit: Always.
        """
        # A file name may hold what the console cannot show; that must not end a command whose mask is written.
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        words = list(sys.argv[1:] if args is None else args)
        # Taken out here, so that they may stand anywhere on the line.
        debug, verbose = _DEBUG in words, _VERBOSE in words
        words = _with_present_names([word for word in words if word not in (_DEBUG, _VERBOSE)])
        with console.shown_log(verbose or debug):
            sys.exit(self._run(words, prog_name, debug, **extra))

    def _run(self, words: list[str], prog_name: str | None, debug: bool, **extra: Any) -> int:
        try:
            with nullcontext() if debug else silent_libraries():
                code = super().main(words, prog_name, standalone_mode=False, **extra)
        except Cancelled as error:
            return _fail(str(error) or _STOPPED, EXIT_CANCELLED, debug)
        except (KeyboardInterrupt, typer.Abort):
            return _fail(_STOPPED, EXIT_CANCELLED, debug)
        except SammixError as error:
            return _fail(str(error), EXIT_REFUSED, debug)
        except Exception as error:
            return self._other(error, debug)
        # Typer returns the exit code of typer.Exit, or what a command returns, which is None here.
        return code if isinstance(code, int) else 0

    def invoke(self, ctx: Any) -> Any:
        """Runs the chosen command; an interruption becomes `Cancelled`, since Typer would exit silently."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Cancelled(_STOPPED) from error

    @staticmethod
    def _other(error: Exception, debug: bool) -> int:
        # Depending on its version, Typer has its own copy of click or uses the real one; both have these two methods.
        if hasattr(error, "format_message") and hasattr(error, "show"):
            message = error.format_message()
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()
                return EXIT_REFUSED
            return _fail(f"{message} (see sammix --help)", EXIT_REFUSED, debug)
        if isinstance(error, MemoryError):
            return _fail("There is not enough memory for this volume.", EXIT_FAILED, debug)
        if isinstance(error, OSError) or "Symlink loop" in str(error):
            return _fail(_file_system_sentence(error), EXIT_REFUSED, debug)
        reason = str(error) or type(error).__name__
        hint = "" if debug else f" (run with {_DEBUG} for the traceback)"
        return _fail(f"Unexpected error: {reason}{hint}", EXIT_FAILED, debug)


def _file_system_sentence(error: Exception) -> str:
    """What a file system can do, in words: a name too long, a loop of links, a drive that went away."""
    if not isinstance(error, OSError):
        return "A path leads round in a loop of links; name the file itself."
    where = f"{error.filename} cannot be used" if error.filename is not None else "A file cannot be used"
    return f"{where}: {(error.strerror or str(error)).lower()}."


def _fail(sentence: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    console.say_error(sentence)
    return code


app = typer.Typer(
    name="sammix",
    cls=SammixGroup,
    help="Segment the liver in CT, with boxes to see and correct. For research, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("segment")(segment.segment)
app.command("batch")(batch.batch)
app.command("evaluate")(evaluate.evaluate)
app.command("train")(train.train)
app.command("finetune")(finetune.finetune)
app.command("lesions")(lesions.lesions)
app.command("doctor")(doctor.doctor)
app.command("benchmark")(benchmark.benchmark)
app.add_typer(models.app, name="models")
app.add_typer(pacs.app, name="pacs")
app.add_typer(cache.app, name="cache")
app.add_typer(corrections.app, name="corrections")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"sammix {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
    verbose: Annotated[bool, typer.Option(_VERBOSE, help="Show SAMMix's own log. May stand anywhere.")] = False,
    debug: Annotated[
        bool,
        typer.Option(_DEBUG, help="Show all logs, warnings of libraries and tracebacks of errors. May stand anywhere."),
    ] = False,
) -> None:
    """The options of all commands; `SammixGroup.main` has read `--verbose` and `--debug` before."""


def main() -> None:
    """Entry point of the `sammix` script."""
    app()
