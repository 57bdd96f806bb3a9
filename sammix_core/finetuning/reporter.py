"""What the process of a run reports while it works, and how it is paused and cancelled."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sammix_core.errors import InputError
from sammix_core.finetuning.run_folder import CANCEL, EVENTS_FILE, PAUSE, FineTuneRun
from sammix_core.progress import CancelCheck, Progress, ProgressCallback

_LOOK_SECONDS = 0.1


@dataclass
class _Planned:
    """A stage of the plan.

    Attributes:
        units: Steps.
        seconds: Of one step, on two cores; only how stages compare matters.
        done: Steps done.
    """

    units: int
    seconds: float
    done: int = 0


class Reporter:
    """Reports the progress of one run, and polls its control file.

    Args:
        run: The run.
        progress: Called for each stage as well, for a command line.
        cancel: Polled as well, for Ctrl-C; return True to stop.
        clock: Seconds; for tests.
    """

    def __init__(
        self,
        run: FineTuneRun,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._progress = progress
        self._cancel = cancel
        self._clock = clock
        self._start = clock()
        self._paused = 0.0
        self._plan: dict[str, _Planned] = {}
        self._begun = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of work so far, without pauses."""
        return self._clock() - self._start - self._paused

    def event(self, kind: str, **fields: Any) -> None:
        """Writes an event.

        Raises:
            InputError: The disk is full.
        """
        line = json.dumps({"event": kind, **fields, "time": round(self.seconds, 2)}, allow_nan=False) + "\n"
        try:
            with (self._run.folder / EVENTS_FILE).open("ab") as stream:
                stream.write(line.encode())
        except OSError as error:
            raise InputError(
                f"{self._run.folder} cannot be written: {(error.strerror or str(error)).lower()}."
            ) from error

    def plan(self, stages: dict[str, tuple[int, float]]) -> None:
        """Announces the stages: steps and seconds a step, by name."""
        self._plan = {name: _Planned(units, seconds) for name, (units, seconds) in stages.items()}
        self._begun = self.seconds

    def should_stop(self) -> bool:
        """Whether to stop; waits here while the run is paused."""
        if self._run.request == PAUSE:
            self._wait()
        return self._run.request == CANCEL or (self._cancel is not None and self._cancel())

    def report(self, progress: Progress) -> None:
        """A `ProgressCallback`."""
        self._note(progress.stage, progress.done)
        if self._progress is not None:
            self._progress(progress)
        self.event(
            "stage",
            stage=progress.stage,
            done=progress.done,
            total=progress.total,
            seconds_left=_rounded(progress.seconds_left),
            total_seconds_left=self._left(),
        )

    def report_step(self, part: str, step: int, steps: int, loss: float, seconds_left: float | None) -> None:
        """Reports one step of a training."""
        self.event(
            "step",
            part=part,
            step=step,
            steps=steps,
            loss=round(loss, 5) if abs(loss) < 1e9 else None,
            seconds_left=_rounded(seconds_left),
            total_seconds_left=self._left(),
        )

    def report_dice(self, part: str, step: int, auto: float | None, oracle: float | None) -> None:
        """Reports the Dice of the held-back slices; it is only shown, nothing is chosen by it."""
        self.event("dice", part=part, step=step, auto=_rounded(auto, 4), oracle=_rounded(oracle, 4))

    def _note(self, stage: str, done: int) -> None:
        if stage in self._plan:
            self._plan[stage].done = done

    def _left(self) -> float | None:
        """Seconds to the end of all stages, at the pace so far."""
        done = sum(stage.done * stage.seconds for stage in self._plan.values())
        to_do = sum((stage.units - stage.done) * stage.seconds for stage in self._plan.values())
        return round(max(0.0, to_do) * (self.seconds - self._begun) / done, 1) if done > 0 else None

    def _wait(self) -> None:
        began = self._clock()
        self._run.set_state("paused")
        self.event("paused")
        while self._run.request == PAUSE and not (self._cancel is not None and self._cancel()):
            time.sleep(_LOOK_SECONDS)
        self._paused += self._clock() - began
        if self._run.request != CANCEL:
            self._run.set_state("running")
            self.event("going_on")


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
