"""The process of a fine-tuning run; all communication goes through the run's folder."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import sammix_core
from SAMMixSlicerLib.worker.process import PASSIVE_WAIT, PROCESS_GROUP

if TYPE_CHECKING:
    from sammix_core.finetuning import FineTuneRun

_OUTPUT_BYTES = 4000


class FineTuneProcess:
    """A process that executes a run, and ends when the run is cancelled.

    Args:
        run: The run.
        interpreter: A Python interpreter, or a launcher of one such as PythonSlicer.

    Raises:
        OSError: The interpreter cannot be started.
        ValueError: Python refuses to start it.
    """

    def __init__(self, run: FineTuneRun, interpreter: str) -> None:
        core = str(Path(sammix_core.__file__).resolve().parents[1])
        path = os.pathsep.join(part for part in (core, os.environ.get("PYTHONPATH", "")) if part)
        # Its output goes into a file: a pipe that nobody reads would eventually block it.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        try:
            self._process = subprocess.Popen(
                run.command(interpreter),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env={**PASSIVE_WAIT, **os.environ, "PYTHONPATH": path},
                **PROCESS_GROUP,
            )
        except (OSError, ValueError):
            self._log.close()
            raise

    @property
    def isRunning(self) -> bool:
        """Whether it is still running; reaps the process once it has ended."""
        return self._process.poll() is None

    def lastOutput(self) -> str:
        """The last lines of its output, for the log."""
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - _OUTPUT_BYTES))
        return self._log.read().decode("utf-8", "replace").strip()

    def wait(self, seconds: float) -> bool:
        """Waits up to `seconds`; returns whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.isRunning
