"""Option groups: dataclasses as parameters of commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from sammix_core.cli.app import app as sammix
from sammix_core.cli.options import option_groups


@dataclass(frozen=True)
class Files:
    input: Annotated[Path, typer.Argument(help="What is read.")]
    output: Annotated[Path, typer.Option("--output", "-o", help="What is written.")]
    click: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option(min=1, max=9)] = 2


def the_app(seen: list[object]) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @option_groups
    def work(
        *,
        early: Annotated[bool, typer.Option("--early", help="Before the groups.")] = False,
        files: Files,
        size: Size,
        late: Annotated[str, typer.Option(help="After the groups.")] = "x",
    ) -> None:
        """Does the work."""
        seen.extend((early, files, size, late))

    return app


def test_a_command_gets_its_groups_filled_with_values_and_defaults() -> None:
    seen: list[object] = []
    words = ["--late", "y", "in.nii", "-o", "out.nii", "--click", "1,2,3", "--click", "4,5,6"]
    assert CliRunner().invoke(the_app(seen), words).exit_code == 0
    assert seen == [False, Files(Path("in.nii"), Path("out.nii"), ["1,2,3", "4,5,6"]), Size(2), "y"]


def test_typer_checks_the_fields_of_a_group() -> None:
    for words, message in ((["in.nii"], "--output"), (["in.nii", "-o", "o", "--width", "12"], "--width")):
        seen: list[object] = []
        result = CliRunner().invoke(the_app(seen), words)
        assert result.exit_code == 2
        assert message in result.output
        assert not seen


def test_the_help_lists_the_fields_in_their_order() -> None:
    help_text = CliRunner().invoke(the_app([]), ["--help"], env={"COLUMNS": "200"}).output
    places = [help_text.index(word) for word in ("Does the work.", "What is read.", "--early", "--output", "--click")]
    places += [help_text.index(word) for word in ("--width", "--late", "After the groups.")]
    assert places == sorted(places)


def test_a_field_that_makes_its_default_is_refused() -> None:
    @dataclass
    class Wrong:
        words: list[str] = field(default_factory=list)

    def work(wrong: Wrong) -> None:
        pass

    work.__annotations__["wrong"] = Wrong
    with pytest.raises(TypeError, match=r"Wrong\.words needs a plain default"):
        option_groups(work)


def test_no_command_takes_more_than_eight_parameters() -> None:
    commands = [info.callback for info in sammix.registered_commands]
    commands += [
        info.callback for group in sammix.registered_groups for info in group.typer_instance.registered_commands
    ]
    assert len(commands) > 10
    for command in commands:
        written = getattr(command, "__wrapped__", command)
        assert written.__code__.co_argcount + written.__code__.co_kwonlyargcount <= 8, written.__name__
