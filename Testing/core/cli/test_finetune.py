"""`sammix finetune` and `sammix corrections`: what they print, and what they refuse in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from corrected_slices import a_correction_set, quick_models
from typer.testing import CliRunner

from sammix_core import model_store
from sammix_core.cli.app import app
from sammix_core.datasets.correction_set import default_corrections_folder
from sammix_core.errors import Cancelled
from sammix_core.finetuning import FineTuneRun, process
from sammix_core.finetuning import engine as engines

pytestmark = pytest.mark.slow

runner = CliRunner()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder with a small model and a correction set in it."""
    quick_models(tmp_path, monkeypatch)
    a_correction_set(tmp_path / "set")
    return tmp_path


def quick(home: Path) -> list[str]:
    """The words of a run without augmented views, on one thread."""
    source = str(home / "set")
    return ["finetune", "--from", "untrained", "--cases", source, "-o", "mine", "--views", "0", "--threads", "1"]


def test_both_figures_are_printed_side_by_side_and_nothing_is_activated(home: Path) -> None:
    done = runner.invoke(app, quick(home))
    assert done.exit_code == 0, done.output
    rows = re.findall(r"^  (held-back slices, \w+ boxes) +(\d\.\d{3}) +(\d\.\d{3})$", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ["held-back slices, automatic boxes", "held-back slices, oracle boxes"]
    assert "mine/1.0.0, made of untrained/1.0.0" in done.stdout
    assert "3 slices; 1 were held back" in done.stdout
    assert "For research" in done.stdout
    assert model_store.active_models() == {}


@pytest.mark.parametrize(("verdict", "used"), [("better", True), ("worse", False)])
def test_what_is_worse_is_not_activated_even_when_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch, verdict: str, used: bool
) -> None:
    monkeypatch.setattr(engines, "judge", lambda figures, new: (verdict, f"It is {verdict}."))
    done = runner.invoke(app, [*quick(home), "--activate"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"It is {verdict}.")
    assert model_store.active_models() == ({"liver": "mine/1.0.0", "mine": "mine/1.0.0"} if used else {})
    assert ("is used from now on" in done.stdout) is used
    assert ("was not activated" in done.stdout) is not used


def test_a_stopped_run_says_how_to_go_on_and_does(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopping(engines.FineTuning):
        def work(self) -> None:  # type: ignore[override]
            raise Cancelled("Stopped.")

    with monkeypatch.context() as patch:
        patch.setattr(engines, "FineTuning", Stopping)
        done = runner.invoke(app, quick(home))
    assert done.exit_code == 130
    [run] = FineTuneRun.all()
    assert f"sammix finetune --resume {run.folder}" in done.stderr
    assert run.state == "cancelled"
    done = runner.invoke(app, ["finetune", "--resume", str(run.folder), "--quiet"])
    assert (done.exit_code, done.stdout) == (0, "")
    assert model_store.resolve("mine/1.0.0").manifest.parent == "untrained/1.0.0"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-o", "mine"], "Name what to learn from with --cases"),
        (["--cases", "nowhere", "-o", "mine"], "nowhere is no folder"),
        (["--cases", "SET", "-o", "liver"], "belongs to a model shipped"),
        (["--cases", "SET", "-o", "mine", "--from", "nothing"], "There is no model 'nothing'"),
        (["--cases", "SET", "-o", "mine", "--check", "SET"], "There is no case in"),
        (["--resume", "SET"], "is no fine-tuning run"),
        (
            ["--cases", "SET", "-o", "mine", "--unlabelled", "SET.nii.gz:48-12"],
            "upside down; write the lower one first",
        ),
        (["--cases", "SET", "-o", "mine", "--unlabelled", "SET.nii.gz:12-48"], "does not exist; name a CT"),
        (["--cases", "SET", "-o", "mine", "--unlabelled", "SET/entries"], "There is no CT in"),
        (
            ["--cases", "SET", "-o", "mine", "--check", "CHECK", "--unlabelled", "CHECK"],
            "is also a case of the check folder",
        ),
        (["--resume", "SET", "-o", "mine"], "leave --cases, --unlabelled, --output and --target out"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(home: Path, words: list[str], sentence: str) -> None:
    check = home / "check"
    check.mkdir()
    for name in ("one_ct.nii.gz", "one_label.nii.gz"):
        (check / name).touch()
    words = [word.replace("SET", str(home / "set")).replace("CHECK", str(check)) for word in words]
    done = runner.invoke(app, ["finetune", *words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (home / "models" / "mine").exists()


def test_an_unexpected_error_leaves_the_run_failed_and_the_store_as_it_was(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "collect_samples", lambda *_: 1 / 0)
    done = runner.invoke(app, quick(home))
    assert done.exit_code == 1
    [run] = FineTuneRun.all()
    assert run.state == "failed"
    assert "division by zero" in run.read_events()[-1]["message"]
    assert process.STOPPED  # a cancel says another thing
    assert not (home / "models" / "mine").exists()


def test_corrections_are_listed_and_removed(home: Path) -> None:
    assert runner.invoke(app, ["corrections", "list"]).stderr == "There are no corrections of liver yet.\n"
    corrections = a_correction_set(default_corrections_folder("liver"), slices=(2, 3))
    first, second = corrections.entries()
    lines = runner.invoke(app, ["corrections", "list"]).stdout.splitlines()
    assert lines[0].split()[:3] == [first.id, "corrected", "learnt"]
    assert lines[1].split()[:4] == [second.id, "corrected", "held", "back"]
    assert lines[2].startswith("2 slices of liver in ")
    done = runner.invoke(app, ["corrections", "remove", first.id])
    assert (done.exit_code, done.stdout) == (0, f"Removed {first.id}\n")
    done = runner.invoke(app, ["corrections", "remove", first.id, "--folder", str(corrections.folder)])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
