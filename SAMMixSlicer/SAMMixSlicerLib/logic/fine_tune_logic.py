"""Fine-tuning on the corrections that were kept: started, paused, stopped, gone on with, and watched."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.correction_keeper import CorrectionKeeper
from SAMMixSlicerLib.logic.fine_tune_process import FineTuneProcess
from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.run_logic import duration
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.training_plot import TrainingPlot
from SAMMixSlicerLib.signals import Signal

if TYPE_CHECKING:
    from sammix_core.finetuning import FineTuneResult, FineTuneRun

_LOOK_SECONDS = 0.3
_GOING = ("running", "paused")
_CAN_GO_ON = ("new", "cancelled", "stopped", "failed")


class FineTuneLogic:
    """The last run of the user, in a process of its own.

    Args:
        workspace: What the logics share.
        install: Knows whether the core can be used.
        keeper: Knows where the corrections are.
        interpreter: A Python interpreter, or a launcher of one such as PythonSlicer.
        clock: Seconds; for tests.

    Attributes:
        changed: Emits when the run is in another state, or there is another run.
        progressed: Emits (sentence, done, total).
        finished: Emits (result).
        plot: Loss and Dice of the run.
    """

    def __init__(
        self,
        workspace: Workspace,
        install: InstallLogic,
        keeper: CorrectionKeeper,
        interpreter: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.changed = Signal()
        self.progressed = Signal()
        self.finished = Signal()
        self.plot = TrainingPlot()
        self._workspace = workspace
        self._install = install
        self._keeper = keeper
        self._interpreter = interpreter
        self._clock = clock
        self._run: FineTuneRun | None = None
        self._result: FineTuneResult | None = None
        self._process: FineTuneProcess | None = None
        self._state = ""
        self._lookedAt = clock()

    @property
    def state(self) -> str:
        """How the run stands, as `FineTuneRun.state` says it; "" without a run."""
        return self._state

    @property
    def isGoing(self) -> bool:
        """Whether a process works or waits."""
        return self._state in _GOING or (self._process is not None and self._process.isRunning)

    @property
    def canGoOn(self) -> bool:
        """Whether there is a run that ended before it was done."""
        return self._run is not None and not self.isGoing and self._state in _CAN_GO_ON

    def result(self) -> FineTuneResult | None:
        """What the run came to, or None before it is finished, and where its file cannot be read; that is said."""
        return self._result

    def takeUp(self) -> None:
        """Shows the user's last run, which an earlier session may have left; called when the module is opened."""
        if self._run is not None or self._install.missing():
            return
        from sammix_core.finetuning import FineTuneRun

        runs = FineTuneRun.all()
        if runs:
            self._watch(runs[0])
            self.look()

    def start(self) -> None:
        """Makes a new run of what was kept, and starts it.

        Raises:
            InputError: There is nothing to learn from, or something cannot be used; the sentence says what.
        """
        if self.isGoing:
            raise InputError(_("Fine-tuning is going on; wait for it or stop it first."))
        entries = self._keeper.entries()
        if not entries:
            raise InputError(_("There is nothing to learn from yet: correct some slices first."))
        from sammix_core.finetuning import FineTuneRun, FineTuneSettings

        parameter = self._workspace.parameter
        settings = FineTuneSettings(
            name=parameter.newModel.strip(),
            sources=(self._keeper.folder,),
            parent=parameter.model,
            target=parameter.newTarget or None,
            check=Path(parameter.checkFolder) if parameter.checkFolder else None,
            device=parameter.device,
        )
        self._watch(FineTuneRun.create(settings))
        self._launch()

    def pause(self) -> None:
        """Has the process wait at its next step."""
        if self._run is not None:
            self._run.pause()

    def goOn(self) -> None:
        """Goes on: with a process that waits, or with a new one where the last has ended."""
        if self._run is None:
            return
        if self.isGoing:
            self._run.go_on()
        else:
            self._launch()

    def stop(self) -> None:
        """Has the process save what is done and end; the run can go on from there."""
        if self._run is not None:
            self._run.cancel()
            self.progressed.emit(_("Stopping after the step in work…"), 0, 0)

    def tick(self) -> None:
        """Looks what the process has said, some times a second; called by the panel's timer."""
        # A run of another process is watched too: that of a panel before a reload, or of the command line.
        if self._state in _GOING or self._process is not None:
            now = self._clock()
            if now - self._lookedAt >= _LOOK_SECONDS:
                self._lookedAt = now
                self.look()

    def look(self) -> None:
        """Takes the run's events and its state."""
        run = self._run
        if run is None:
            return
        curves = False
        for event in run.read_events():
            curves = self.plot.take(event) or curves
            self._tell(event)
        if curves:
            self.plot.refresh()
        self._setState(run.state)

    def giveUp(self) -> None:
        """Has our own process save and end; it does so by itself, and nobody waits for it."""
        if self._process is not None and self._process.isRunning:
            self.stop()
        self.plot.remove()

    def _watch(self, run: FineTuneRun) -> None:
        self.plot.remove()
        self._run, self._process, self.plot = run, None, TrainingPlot()
        self._state = run.state
        self._readResult()
        self.changed.emit()

    def _launch(self) -> None:
        assert self._run is not None
        try:
            self._process = FineTuneProcess(self._run, self._interpreter)
        except OSError as error:
            raise InputError(
                _("Fine-tuning could not be started ({error}).").format(error=error.strerror or error)
            ) from error
        self._state = "running"
        self.progressed.emit(_("Starting…"), 0, 0)
        self.changed.emit()

    def _setState(self, state: str) -> None:
        process = self._process
        if process is not None:
            if process.isRunning and state not in _GOING:
                state = "running"  # it is starting, or leaving
            elif not process.isRunning and state == "new":
                state = "stopped"  # before it could say anything
        if state == self._state:
            return
        self._state = state
        self._readResult()
        if process is not None and state not in _GOING:
            self._process = None
        if process is not None and state in ("failed", "stopped"):
            logging.error("SAMMix: fine-tuning %s\n%s", state, process.lastWords())
        self.changed.emit()
        if self._result is not None:
            self.finished.emit(self._result)

    def _readResult(self) -> None:
        """Reads it once, so that a file that cannot be read is said once."""
        isFinished = self._run is not None and self._state == "finished"
        self._result = self._workspace.attempt(self._run.result) if isFinished else None

    def _tell(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        left = event.get("total_seconds_left")
        rest = "" if left is None else _(", about {time} to go").format(time=duration(left))
        if kind == "stage":
            text = _("{stage}: {done} of {total}").format(
                stage=event["stage"], done=event["done"], total=event["total"]
            )
            self.progressed.emit(text + rest, event["done"], event["total"])
        elif kind == "step":
            text = _("Learning: step {step} of {steps}").format(step=event["step"], steps=event["steps"])
            self.progressed.emit(text + rest, event["step"], event["steps"])
        elif kind == "failed":
            self._workspace.say(event["message"], isError=True)
