"""Fine-tuning on the saved corrections: start, pause, resume, stop, progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.correction_recorder import CorrectionRecorder
from SAMMixSlicerLib.logic.fine_tune_process import FineTuneProcess
from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.run_logic import duration
from SAMMixSlicerLib.logic.unlabelled_logic import UnlabelledLogic, store
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.training_plot import TrainingPlot
from SAMMixSlicerLib.signals import Signal

if TYPE_CHECKING:
    from sammix_core.finetuning import FineTuneResult, FineTuneRun

_log = logging.getLogger("SAMMixSlicerLib")
_UPDATE_SECONDS = 0.3
_ACTIVE_STATES = ("running", "paused")
_RESUMABLE_STATES = ("new", "cancelled", "stopped", "failed")


class FineTuneLogic:
    """The user's last fine-tuning run, in a process of its own.

    Args:
        workspace: State shared by the logics.
        install: Knows whether the required packages are installed.
        recorder: Lists the corrections.
        unlabelled: Lists the CTs without labels.
        interpreter: A Python interpreter, or a launcher of one such as PythonSlicer.
        clock: Returns seconds; replaced in tests.

    Attributes:
        changed: Emits when the state of the run changes, or there is another run.
        progressed: Emits (sentence, done, total).
        finished: Emits (result).
        plot: Plot of loss and Dice of the run.
    """

    def __init__(
        self,
        workspace: Workspace,
        install: InstallLogic,
        recorder: CorrectionRecorder,
        unlabelled: UnlabelledLogic,
        interpreter: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.changed = Signal()
        self.progressed = Signal()
        self.finished = Signal()
        self.plot = TrainingPlot()
        self._workspace = workspace
        self._install = install
        self._recorder = recorder
        self._unlabelled = unlabelled
        self._interpreter = interpreter
        self._clock = clock
        self._run: FineTuneRun | None = None
        self._result: FineTuneResult | None = None
        self._process: FineTuneProcess | None = None
        self._state = ""
        self._updatedAt = clock()

    @property
    def state(self) -> str:
        """State of the run, from `FineTuneRun.state`; "" without a run."""
        return self._state

    @property
    def isActive(self) -> bool:
        """Whether the run is running or paused."""
        return self._state in _ACTIVE_STATES or (self._process is not None and self._process.isRunning)

    @property
    def canResume(self) -> bool:
        """Whether the run ended before it was complete."""
        return self._run is not None and not self.isActive and self._state in _RESUMABLE_STATES

    def result(self) -> FineTuneResult | None:
        """Result of the run; None before it is finished, or if its file cannot be read (a message says so)."""
        return self._result

    def restore(self) -> None:
        """Shows the user's last run, perhaps of an earlier Slicer session; called when the module is opened."""
        if self._run is not None or self._install.missing():
            return
        from sammix_core.finetuning import FineTuneRun

        runs = FineTuneRun.all()
        if runs:
            self._setRun(runs[0])
            self.update()

    def start(self) -> None:
        """Creates a run from the saved corrections, and starts it.

        Raises:
            InputError: There are no corrections, or a setting or a CT without labels cannot be used; the sentence says
                which.
        """
        if self.isActive:
            raise InputError(_("Fine-tuning is already running. Wait for it, or stop it first."))
        entries = self._recorder.entries()
        if not entries:
            raise InputError(_("There is nothing to learn from yet. Correct some slices first."))
        from sammix_core.finetuning import FineTuneRun, FineTuneSettings

        parameter = self._workspace.parameter
        settings = FineTuneSettings(
            name=parameter.newModel.strip(),
            sources=(self._recorder.folder,),
            parent=parameter.model,
            target=parameter.newTarget or None,
            check=Path(parameter.checkFolder) if parameter.checkFolder else None,
            device=parameter.device,
            unlabelled=self._unlabelled.sources(),
        )
        volumes = self._unlabelled.volumes({entry.case for entry in entries})
        run = FineTuneRun.create(settings)
        store(run, volumes)
        self._setRun(run)
        self._launch()

    def pause(self) -> None:
        """Pauses the run at its next step."""
        if self._run is not None:
            self._run.pause()

    def resume(self) -> None:
        """Resumes a paused run, or restarts one that ended early."""
        if self._run is None:
            return
        if self.isActive:
            self._run.resume()
        else:
            self._launch()

    def stop(self) -> None:
        """Lets the process save its progress and end; the run can be resumed from there."""
        if self._run is not None:
            self._run.cancel()
            self.progressed.emit(_("Stopping after the current step…"), 0, 0)

    def tick(self) -> None:
        """Updates the run a few times a second; called by the panel's timer."""
        # Also a run of another process: started before the panel was reloaded, or from the command line.
        if self._state in _ACTIVE_STATES or self._process is not None:
            now = self._clock()
            if now - self._updatedAt >= _UPDATE_SECONDS:
                self._updatedAt = now
                self.update()

    def update(self) -> None:
        """Reads new events of the run and its state."""
        run = self._run
        if run is None:
            return
        isPlotStale = False
        for event in run.read_events():
            isPlotStale = self.plot.addEvent(event) or isPlotStale
            self._report(event)
        if isPlotStale:
            self.plot.refresh()
        self._setState(run.state)

    def teardown(self) -> None:
        """Lets our process save its progress and end by itself, without waiting for it."""
        if self._process is not None and self._process.isRunning:
            self.stop()
        self.plot.remove()

    def _setRun(self, run: FineTuneRun) -> None:
        self.plot.remove()
        self._run, self._process, self.plot = run, None, TrainingPlot()
        self._state = run.state
        self._readResult()
        self.changed.emit()

    def _launch(self) -> None:
        run = self._run
        if run is None:
            return
        try:
            self._process = FineTuneProcess(run, self._interpreter)
        except (OSError, ValueError) as error:
            raise InputError(
                _("Fine-tuning could not be started ({error}).").format(error=getattr(error, "strerror", None) or error)
            ) from error
        self._state = "running"
        self.progressed.emit(_("Starting…"), 0, 0)
        self.changed.emit()

    def _setState(self, state: str) -> None:
        process = self._process
        if process is not None:
            if process.isRunning and state not in _ACTIVE_STATES:
                state = "running"  # it is starting or ending
            elif not process.isRunning and state == "new":
                state = "stopped"  # before it wrote anything
        if state == self._state:
            return
        self._state = state
        self._readResult()
        if process is not None and state not in _ACTIVE_STATES:
            self._process = None
        if process is not None and state in ("failed", "stopped"):
            _log.error("SAMMix: fine-tuning %s\n%s", state, process.lastOutput())
        self.changed.emit()
        if self._result is not None:
            self.finished.emit(self._result)

    def _readResult(self) -> None:
        """Reads the result once, so that a damaged file is reported once."""
        run = self._run if self._state == "finished" else None
        self._result = None if run is None else self._workspace.attempt(run.result)

    def _report(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        seconds = event.get("total_seconds_left")
        timeLeft = "" if seconds is None else _(", about {time} left").format(time=duration(seconds))
        if kind == "stage":
            text = _("{stage}: {done} of {total}").format(
                stage=event["stage"], done=event["done"], total=event["total"]
            )
            self.progressed.emit(text + timeLeft, event["done"], event["total"])
        elif kind == "step":
            text = _("Learning: step {step} of {steps}").format(step=event["step"], steps=event["steps"])
            self.progressed.emit(text + timeLeft, event["step"], event["steps"])
        elif kind == "failed":
            self._workspace.showMessage(event["message"], isError=True)
