"""A run's folder: what the host and the process say to each other, and what is known of a process that died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corrected_slices import a_correction_set
from made_models import an_untrained_model

from sammix_core.errors import InputError
from sammix_core.finetuning import FineTuneRun, FineTuneSettings, runs_folder
from sammix_core.finetuning.process import work
from sammix_core.finetuning.process_lock import ProcessLock
from sammix_core.finetuning.reporter import Reporter
from sammix_core.progress import Progress, ProgressReporter

pytestmark = pytest.mark.slow

_HOLD = """
import sys, time
from sammix_core.finetuning.run_folder import FineTuneRun
run = FineTuneRun.open(sys.argv[1])
assert run.lock.take()
run.set_state("running")
print("held", flush=True)
time.sleep(120)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FineTuneRun:
    """A run that was not started."""
    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path / "home"))
    an_untrained_model(tmp_path / "home" / "models")
    corrections = a_correction_set(tmp_path / "set")
    return FineTuneRun.create(FineTuneSettings("mine", (corrections.folder,), parent="untrained"))


def wait_for(what: Callable[[], bool]) -> None:
    for _ in range(600):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


def test_a_new_run_has_made_out_parent_and_version_and_comes_back(run: FineTuneRun) -> None:
    assert (run.settings.name, run.settings.parent, run.state) == ("mine/1.0.0", "untrained/1.0.0", "new")
    assert run.folder == runs_folder() / "run-0001"
    assert FineTuneRun.open(run.folder).settings == run.settings
    second = FineTuneRun.create(run.settings)
    assert [one.folder.name for one in FineTuneRun.all()] == ["run-0002", "run-0001"]
    assert run.result() is None
    second.remove()
    assert [one.folder.name for one in FineTuneRun.all()] == ["run-0001"]
    assert run.command("python3") == ["python3", "-m", "sammix_core.finetuning", str(run.folder)]


def test_folders_that_are_no_runs(run: FineTuneRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no fine-tuning run: run\.json is missing"):
        FineTuneRun.open(tmp_path)
    with pytest.raises(InputError, match="is not empty"):
        FineTuneRun.create(run.settings, run.folder)
    document = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps({**document, "schema": "sammix-finetuning/9"}))
    with pytest.raises(InputError, match="not a fine-tuning run of the kind"):
        FineTuneRun.open(run.folder)
    assert FineTuneRun.all() == []


def test_half_a_line_is_read_when_it_is_whole(run: FineTuneRun) -> None:
    events = run.folder / "events.jsonl"
    events.write_bytes(b'{"event": "started"}\n{"event": "st')
    assert run.read_events() == [{"event": "started"}]
    assert run.read_events() == []
    with events.open("ab") as stream:
        stream.write(b'ep"}\n')
    assert run.read_events() == [{"event": "step"}]
    with events.open("ab") as stream:  # what a killed process left, and what the next one wrote behind it
        stream.write(b'{"event": "st{"event": "resumed"}\n{"event": "step"}\n')
    assert run.read_events() == [{"event": "step"}]


def test_pausing_waits_and_is_not_counted_as_work(run: FineTuneRun) -> None:
    reporter = Reporter(run)
    run.pause()
    answers: list[bool] = []
    worker = threading.Thread(target=lambda: answers.append(reporter.should_stop()))
    worker.start()
    wait_for(lambda: (run.folder / "state").is_file() and (run.folder / "state").read_text() == "paused")
    time.sleep(0.3)
    assert worker.is_alive()
    run.resume()
    worker.join(10)
    assert answers == [False]
    assert [event["event"] for event in run.read_events()] == ["paused", "going_on"]
    assert reporter.seconds < 0.3
    run.cancel()
    assert reporter.should_stop()


def test_cancelling_ends_a_pause(run: FineTuneRun) -> None:
    reporter = Reporter(run)
    run.pause()
    answers: list[bool] = []
    worker = threading.Thread(target=lambda: answers.append(reporter.should_stop()))
    worker.start()
    wait_for(lambda: len(run.read_events()) == 1)
    run.cancel()
    worker.join(10)
    assert answers == [True]


def test_the_time_to_go_counts_what_is_to_come_at_the_pace_so_far(run: FineTuneRun) -> None:
    now = [0.0]
    reporter = Reporter(run, clock=lambda: now[0])
    reporter.plan({"Encoding": (10, 1.0), "Training": (20, 2.0)})
    reporter.report(Progress("Encoding", 0, 10, None))
    now[0] = 15.0  # five slices took three times as long as was thought
    reporter.report(Progress("Encoding", 5, 10, 15.0))
    first, second = run.read_events()
    assert first["total_seconds_left"] is None
    assert second["total_seconds_left"] == pytest.approx(3 * (5 + 40))


def test_two_processes_cannot_do_one_run(run: FineTuneRun) -> None:
    other = ProcessLock(run.folder / "lock")
    assert other.take()
    assert other.take()  # by the same holder once more
    assert not run.lock.take()
    with pytest.raises(InputError, match="going on in another process"):
        work(run)
    with pytest.raises(InputError, match="cancel it first"):
        run.remove()
    other.release()
    assert not run.lock.is_taken()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX; TerminateProcess lets go of locks as well")
def test_a_killed_process_is_known_for_dead(run: FineTuneRun) -> None:
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(run.folder)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert run.state == "running"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(20)
        assert run.state == "stopped"
    finally:
        process.kill()


def test_the_process_says_in_one_line_what_it_cannot_do(run: FineTuneRun, tmp_path: Path) -> None:
    for words, sentence in (([str(tmp_path)], "is no fine-tuning run"), ([], "Name the folder")):
        done = subprocess.run(
            [sys.executable, "-m", "sammix_core.finetuning", *words], capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1


def test_watching_needs_no_torch(run: FineTuneRun) -> None:
    code = (
        "import sys\nfrom sammix_core.finetuning import CorrectionSet, FineTuneRun\n"
        "run = FineTuneRun.open(sys.argv[1]); run.pause(); run.read_events(); print(run.state, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run.folder)], capture_output=True, text=True, timeout=120)
    assert done.stdout == "new False\n", done.stderr


def test_a_stage_stops_as_asked(run: FineTuneRun) -> None:
    from sammix_core.errors import Cancelled

    reporter = Reporter(run)
    stage = ProgressReporter("Encoding", 3, reporter.report, reporter.should_stop)
    stage.step()
    run.cancel()
    with pytest.raises(Cancelled):
        stage.step()
    done: list[Any] = [event["done"] for event in run.read_events()]
    assert done == [0, 1]
