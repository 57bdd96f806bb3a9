"""The process of a run: takes its lock, works, and records how it ended."""

from __future__ import annotations

from sammix_core.errors import Cancelled, InputError
from sammix_core.finetuning.reporter import Reporter
from sammix_core.finetuning.result import FineTuneResult
from sammix_core.finetuning.run_folder import GO, FineTuneRun
from sammix_core.progress import CancelCheck, ProgressCallback

STOPPED = "Stopped as asked; what is finished stays, and the run can go on from there."


def work(
    run: FineTuneRun, progress: ProgressCallback | None = None, cancel: CancelCheck | None = None
) -> FineTuneResult:
    """Does a run, or resumes it; a finished one returns its result at once.

    Args:
        run: The run.
        progress: Called for each stage.
        cancel: Polled after each step, besides the run's own control file; return True to stop.

    Raises:
        InputError: Another process works on it, or something cannot be used; no model was written.
        Cancelled: The user stopped; what is done stays for the next start.
    """
    if not run.lock.take():
        raise InputError(f"The run in {run.folder} is going on in another process.")
    try:
        done = run.result()
        if done is not None:
            return done
        first = run.state == "new"
        run.send(GO)
        run.set_state("running")
        reporter = Reporter(run, progress, cancel)
        reporter.event("started" if first else "resumed")
        return _work(run, reporter)
    finally:
        run.lock.release()


def _work(run: FineTuneRun, reporter: Reporter) -> FineTuneResult:
    # Imported here, so that a host that only watches needs no torch.
    from sammix_core.finetuning.engine import FineTuning

    try:
        result = FineTuning(run, reporter).work()
    except Cancelled as error:
        run.set_state("cancelled")
        reporter.event("cancelled")
        raise Cancelled(STOPPED) from error
    except InputError as error:
        _fail(run, reporter, str(error))
        raise
    except OSError as error:
        sentence = f"The run could not continue: {(error.strerror or str(error)).lower()}."
        _fail(run, reporter, sentence)
        raise InputError(sentence) from error
    except BaseException as error:
        _fail(run, reporter, f"The run ended unexpectedly: {error or type(error).__name__}.")
        raise
    run.set_state("finished")
    reporter.event("finished", model=result.model, verdict=result.verdict, sentence=result.sentence)
    return result


def _fail(run: FineTuneRun, reporter: Reporter, sentence: str) -> None:
    try:
        run.set_state("failed")
        reporter.event("failed", message=sentence)
    except InputError:
        pass  # the disk is full: the state stays "running", which without a process reads as "stopped"
