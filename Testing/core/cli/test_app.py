"""The command line as a whole: quick to start, plain about errors, and the commands that segment nothing."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from sammix_core import model_store
from sammix_core.cli import app as cli
from sammix_core.cli.progress import duration, shown_progress
from sammix_core.errors import Cancelled, InputError, silent_libraries
from sammix_core.model_store import Manifest, ModelFolder, open_model, user_models_folder
from sammix_core.model_store.weights import write_model
from sammix_core.progress import CancelCheck, Progress, ProgressCallback
from sammix_core.version import __version__


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def in_process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)


def test_help_loads_nothing_heavy() -> None:
    code = """
import sys
from sammix_core.cli import app as cli
try:
    cli.app(["--help"])
except SystemExit as left:
    assert left.code == 0, left.code
heavy = {"torch", "SimpleITK", "monai", "scipy", "PIL", "openvino", "pydicom", "timm", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""
    done = in_process(code)
    assert done.returncode == 0, done.stderr
    for command in ("segment", "evaluate", "train", "doctor", "models"):
        assert command in done.stdout


@pytest.mark.parametrize("command", ["segment", "evaluate", "train", "doctor", "models"])
def test_every_command_has_help(command: str) -> None:
    code, stdout, _ = run(command, "--help")
    assert code == 0
    assert "Usage" in stdout


def test_the_version() -> None:
    assert run("--version") == (0, f"sammix {__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sgment"], "Did you mean 'segment'"),
        (["segment"], "Missing argument"),
        (["segment", "ct.nii"], "Missing option"),
        (["segment", "ct.nii", "-o", "m.nii", "--colour", "red"], "No such option"),
        (["segment", "ct.nii", "-o", "m.nii", "--device", "tpu"], "tpu"),
        (["segment", "ct.nii", "-o", "m.nii", "--seed", "many"], "'--seed'"),
        (["segment", "ct.nii", "-o", "m.nii", "--seed", "-1"], "'--seed'"),
        (["evaluate", "p.nii"], "Missing argument"),
        (["models", "polish"], "No such command"),
        (["models", "path"], "Missing argument"),
    ],
)
def test_a_slip_in_the_command_line_is_one_plain_line_and_exit_code_2(words: list[str], message: str) -> None:
    code, stdout, stderr = run(*words)
    assert (code, stdout) == (2, "")
    assert message in stderr
    assert len(stderr.splitlines()) == 1


def test_nothing_at_all_shows_the_help() -> None:
    code, stdout, stderr = run()
    assert code == 2
    assert "segment" in stdout + stderr


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("This is no CT."), 2, "This is no CT.\n"),
        (InputError("A path\nwith a line end."), 2, "A path with a line end.\n"),
        (Cancelled(), 130, "Stopped as asked; nothing was written.\n"),
        (KeyboardInterrupt(), 130, "Stopped as asked; nothing was written.\n"),
        (MemoryError(), 1, "There is not enough memory for this volume.\n"),
        (ValueError("odd"), 1, "Unexpected error: odd (run with --debug for the traceback)\n"),
        (AssertionError(), 1, "Unexpected error: AssertionError (run with --debug for the traceback)\n"),
        (OSError(5, "Input/output error"), 2, "A file cannot be used: input/output error.\n"),
        (OSError(36, "File name too long", "scan.nii"), 2, "scan.nii cannot be used: file name too long.\n"),
    ],
)
def test_each_error_has_its_line_and_its_exit_code(
    error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("sammix_core.evaluation.evaluate_files", fails)
    found, stdout, stderr = run("evaluate", "p.nii", "r.nii")
    assert (found, stdout) == (code, "")
    assert stderr.startswith(message)
    assert len(stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [["--debug", "evaluate", "p.nii", "r.nii"], ["evaluate", "p.nii", "r.nii", "--debug"]]
)
def test_debug_shows_the_traceback_wherever_it_stands(words: list[str]) -> None:
    code, _, stderr = run(*words)
    assert code == 2
    assert "Traceback" in stderr
    assert stderr.splitlines()[-1] == "p.nii does not exist."


@pytest.mark.parametrize("words", [["--verbose", "evaluate", "p", "r"], ["evaluate", "p", "r", "--verbose"], []])
def test_verbose_shows_our_own_log_and_no_other_wherever_it_stands(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def logs(*_: object) -> None:
        logging.getLogger("sammix_core.engines").info("the decoder runs in torch")
        logging.getLogger("openvino").error("from a library")
        raise InputError("This is no labelmap.")

    monkeypatch.setattr("sammix_core.evaluation.evaluate_files", logs)
    _, _, stderr = run(*(words or ["evaluate", "p", "r"]))
    shown = ["sammix_core.engines: the decoder runs in torch"] if words else []
    assert stderr.splitlines() == [*shown, "This is no labelmap."]
    assert logging.getLogger("sammix_core").propagate


def test_long_lines_are_not_wrapped(tmp_path: Path) -> None:
    path = tmp_path / ("long name  " * 20 + "end")
    _, _, stderr = run("evaluate", path, path)
    assert stderr == f"{path} does not exist.\n"


def test_warnings_and_logs_of_libraries_are_silenced_and_come_back(capfd: pytest.CaptureFixture[str]) -> None:
    with silent_libraries():
        warnings.warn("from a library", FutureWarning, stacklevel=1)
        logging.getLogger("pydicom").error("from a library")
        created = logging.getLogger("created.in.the.block")
        created.addHandler(logging.StreamHandler())
        created.setLevel(logging.INFO)
        created.error("from a library with a handler of its own")
        assert logging.getLogger("sammix_core.engines").isEnabledFor(logging.WARNING)
    assert capfd.readouterr().err == ""
    with pytest.warns(FutureWarning, match="again"):
        warnings.warn("again", FutureWarning, stacklevel=1)
    assert logging.getLogger("pydicom").isEnabledFor(logging.ERROR)
    assert created.isEnabledFor(logging.ERROR)
    assert type(logging.getLogger("created.after.the.block")) is logging.Logger


def test_durations_are_for_people() -> None:
    assert [duration(seconds) for seconds in (0.2, 59.4, 61, 3725)] == ["0 s", "59 s", "1 min 1 s", "1 h 2 min"]


# evaluate


@pytest.fixture
def two_masks(tmp_path: Path) -> tuple[Path, Path]:
    array = np.zeros((30, 40, 60), np.uint8)
    array[8:18, 8:18, 8:18] = 1
    paths = (tmp_path / "pred.nii.gz", tmp_path / "ref.nii.gz")
    for path, mask in zip(paths, (np.roll(array, 3, 0), array * 6), strict=True):
        image = sitk.GetImageFromArray(mask)
        image.SetSpacing((0.5, 1.0, 4.0))
        sitk.WriteImage(image, str(path))
    return paths


def test_evaluate_prints_scores(two_masks: tuple[Path, Path]) -> None:
    code, stdout, stderr = run("evaluate", *two_masks)
    assert (code, stderr) == (0, "")
    lines = [line.split() for line in stdout.splitlines()]
    assert ["Dice", "0.7000"] in lines
    assert ["HD95", "12.00", "mm"] in lines
    assert ["difference", "+0.0", "mL,", "+0.00", "%"] in lines


def test_evaluate_prints_json(two_masks: tuple[Path, Path]) -> None:
    code, stdout, stderr = run("evaluate", *two_masks, "--label", "6", "--json")
    assert (code, stderr) == (0, "")
    scores = json.loads(stdout)
    assert scores["schema"] == "sammix-scores/1"
    assert scores["dice"] == pytest.approx(0.7)
    assert scores["hd95_mm"] == pytest.approx(12.0)
    assert scores["volume_difference_ml"] == 0.0
    assert scores["notes"] == []
    documented = (Path(__file__).parents[3] / "docs" / "formats" / "scores.md").read_text()
    assert all(f"`{key}`" in documented for key in scores)


def test_evaluate_leaves_out_what_it_does_not_know(tmp_path: Path) -> None:
    mask = np.zeros((5, 6, 7), np.uint8)
    mask[2:4, 2:4, 2:4] = 1
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(tmp_path / "m.nrrd"))
    code, stdout, _ = run("evaluate", tmp_path / "m.nrrd", tmp_path / "m.nrrd")
    assert code == 0
    lines = [line.split(maxsplit=1) for line in stdout.splitlines()]
    assert ["HD95", "-"] in lines
    assert ["difference", "+0.00 %"] in lines
    assert "The spacing is unknown" in stdout


def test_evaluate_refuses_a_label_that_is_not_there(two_masks: tuple[Path, Path]) -> None:
    assert run("evaluate", *two_masks, "--label", 5) == (2, "", "ref.nii.gz has no label 5; it has 6.\n")


# models


@pytest.fixture
def own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path / "home"))
    manifest = Manifest(
        name="my-liver",
        version="1.2.0",
        target="liver",
        created="2025-01-31",
        base_model={"name": "lite_medsam", "sha256": "0" * 64},
        files={"weights.safetensors": "0" * 64},
        preprocessing={},
        guidance={},
        postprocessing={},
        metrics={},
        training_cases=[],
    )
    return write_model(user_models_folder(), manifest, {"head": torch.ones(3)}, "A card.\n").path


def test_models_are_listed_found_verified_and_removed(own_model: Path) -> None:
    code, stdout, _ = run("models", "list")
    assert code == 0
    assert any(line.split()[:2] == ["my-liver/1.2.0", "yours"] for line in stdout.splitlines())
    assert run("models", "path", "my-liver") == (0, f"{own_model}\n", "")
    assert run("models", "verify", "my-liver") == (0, "my-liver/1.2.0 is whole\n", "")
    assert run("models", "remove", "my-liver/1.2.0")[0] == 0
    assert not own_model.exists()
    code, _, stderr = run("models", "path", "my-liver")
    assert code == 2
    assert "There is no model 'my-liver'" in stderr


def test_a_damaged_model_is_found_by_verify_and_doctor(own_model: Path) -> None:
    weights = own_model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    for words in (["models", "verify"], ["models", "verify", "my-liver"]):
        code, _, stderr = run(*words)
        assert code == 2
        assert "my-liver/1.2.0: weights.safetensors is not the file that the manifest names" in stderr
    code, stdout, _ = run("doctor")
    assert code == 1
    assert "!!  my-liver/1.2.0: weights.safetensors is not the file" in stdout


# doctor


def test_doctor_says_what_is_there(own_model: Path) -> None:
    _, stdout, stderr = run("doctor")
    assert stderr == ""
    assert "sammix" in stdout
    assert "ok  CPU: " in stdout
    assert "CUDA: " in stdout
    assert "ok  base weights: LiteMedSAM, SHA-256 as expected" in stdout
    assert f"ok  model my-liver/1.2.0: whole, {own_model}" in stdout


def test_doctor_fails_without_base_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(model_store.LITE_MEDSAM.variable, str(tmp_path / "absent.pth"))
    code, stdout, _ = run("doctor")
    assert code == 1
    assert "!!  The weights of LiteMedSAM are not there" in stdout


# train


def test_train_without_settings(tmp_path: Path) -> None:
    path = tmp_path / "absent.yaml"
    assert run("train", path) == (2, "", f"There is no settings file {path}.\n")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "liver.yaml"
    path.write_text("seed: 0\n")
    return path


def test_train_says_where_the_model_is(config: Path, own_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trains(path: Path, progress: ProgressCallback, cancel: CancelCheck) -> ModelFolder:
        assert path == config
        progress(Progress("head", 1, 20, 3.0))
        assert not cancel()
        return open_model(own_model)

    monkeypatch.setattr("sammix_core.training.run.train_from_config", trains)
    code, stdout, stderr = run("train", config)
    assert (code, stderr) == (0, "head: 1 of 20, 3 s left\n")
    assert stdout == f"my-liver/1.2.0 was trained; it is in {own_model}\n"


def test_the_first_interruption_lets_the_training_save_itself(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def trains(path: Path, progress: ProgressCallback, cancel: CancelCheck) -> ModelFolder:
        signal.raise_signal(signal.SIGINT)
        seen.append(cancel())
        raise Cancelled("after saving")

    monkeypatch.setattr("sammix_core.training.run.train_from_config", trains)
    code, _, stderr = run("train", config)
    assert (code, seen) == (130, [True])
    assert stderr == "Stopped as asked; the same command continues the training from here.\n"


def test_the_second_interruption_stops_at_once(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trains(path: Path, progress: ProgressCallback, cancel: CancelCheck) -> ModelFolder:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("went on")

    monkeypatch.setattr("sammix_core.training.run.train_from_config", trains)
    assert run("train", config)[0] == 130


# progress


def test_progress_without_a_terminal_is_a_line_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(quiet=False) as show:
        show(Progress("Reading", 0, 1, None))
        show(Progress("Encoding", 0, 40, None))
        show(Progress("Encoding", 1, 40, 61.0))
        show(Progress("Boxes", 10, 40, 2.0))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["Reading", "Encoding: 0 of 40", "Boxes: 10 of 40, 2 s left"]


def test_quiet_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress(quiet=True) as show:
        show(Progress("Reading", 0, 1, None))
    assert capsys.readouterr() == ("", "")
