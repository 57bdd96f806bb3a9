"""Processes of a batch when its driver is killed or the user presses Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from batch_inputs import Harness, write_ct
from batch_models import FOLDER_VARIABLE, SLEEPS

from sammix_core.batch.folder import BatchFolder
from sammix_core.batch.ledger import State

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")]

ROOT = Path(__file__).parents[3]
DRIVER = """
import sys
from batch_inputs import Harness
from sammix_core.batch.folder import BatchFolder
from sammix_core.errors import Cancelled
from pathlib import Path

harness = Harness(BatchFolder(Path(sys.argv[2])), workers=1)
try:
    with harness.interrupts:
        harness.run([sys.argv[1]])
except Cancelled as error:
    print(error)
    sys.exit(130)
"""


def started(inputs: Path, out: Path, marks: Path) -> tuple[subprocess.Popen[str], int]:
    """A driver whose worker is in the middle of a study, in a group of its own as in a terminal, and the worker."""
    for mark in marks.iterdir():
        mark.unlink()
    paths = os.pathsep.join([str(ROOT / "Testing" / "makers"), str(ROOT)])
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(inputs), str(out)],
        env={**os.environ, "PYTHONPATH": paths, FOLDER_VARIABLE: str(marks)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: (marks / "asleep").exists() or driver.poll() is not None, 120)
    assert driver.poll() is None, driver.communicate()
    (mark,) = marks.glob("loaded-*")
    return driver, int(mark.name.split("-")[1])


def until(happened, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_workers_end_with_a_killed_driver_and_at_ctrl_c(tmp_path: Path) -> None:
    inputs, out, marks = (tmp_path / name for name in ("in", "out", "marks"))
    marks.mkdir()
    write_ct(inputs / "sleeps.nii.gz", 1, SLEEPS)
    harness = Harness(BatchFolder(out))

    driver, worker = started(inputs, out, marks)
    driver.kill()
    driver.wait()
    until(lambda: not psutil.pid_exists(worker), 20)
    assert harness.entries()["sleeps"].state is State.RUNNING

    driver, worker = started(inputs, out, marks)
    os.killpg(driver.pid, signal.SIGINT)
    stdout, stderr = driver.communicate(timeout=30)
    assert (driver.returncode, stderr) == (130, "")
    assert stdout == "Stopped as asked; 0 of 1 studies are done, and the same command goes on from there.\n"
    assert not psutil.pid_exists(worker)
    assert harness.entries()["sleeps"].state is State.WAITING
    left = {path.name for path in out.rglob("*") if path.is_file()}
    assert left == {".lock", "ledger.sqlite", "table.csv", "table.html"}

    # The same file without the order to sleep
    write_ct(inputs / "sleeps.nii.gz", 1)
    assert harness.run([inputs]).counts == {State.DONE: 1}
