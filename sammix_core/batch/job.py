"""What goes to a worker and what comes back, by pipe or by Ray: plain values that can be pickled."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sammix_core.batch.figures import Figures
from sammix_core.batch.study import Study

MASK, REPORT, PREVIEW = "mask", "report", "preview"


@dataclass(frozen=True)
class Job:
    """A study for a worker.

    Attributes:
        study: The study.
        name: What its outputs and sentences call it.
        known_hash: The hash of the content for which all is done already; "" where it is to be segmented in any case.
    """

    study: Study
    name: str
    known_hash: str = ""


class Verdict(StrEnum):
    """How a worker ended a job."""

    SEGMENTED = "segmented"
    UNCHANGED = "unchanged"
    REFUSED = "refused"  # the input cannot be segmented
    NO_ROOM = "no room"  # the worker could not write its temporary files


@dataclass(frozen=True)
class Outcome:
    """What a worker made of a job.

    Attributes:
        verdict: How it ended.
        input_hash: SHA-256 of the input's content; "" where it could not be read.
        sentence: Why there is no result, without a patient's identifiers; or "".
        files: Content of the output files, by `MASK`, `REPORT` and `PREVIEW`.
        figures: Those of the result, or None.
        detail: Where an unexpected error came from, without its message, which may quote a header; for the log.
    """

    verdict: Verdict
    input_hash: str = ""
    sentence: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    figures: Figures | None = None
    detail: str = ""


@dataclass(frozen=True)
class Finished:
    """A worker finished a job."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True)
class Lost:
    """A worker ended before it finished a job; another one takes its place.

    Attributes:
        job: The job.
        reason: How it ended: "killed by SIGKILL".
    """

    job: Job
    reason: str


Event = Finished | Lost


@dataclass(frozen=True)
class Hello:
    """What a worker says when its model is loaded.

    Attributes:
        version: Its SAMMix.
        model_hash: See `SegmentationSettings.model_hash`.
        sentence: Why it cannot work; "" where it can.
    """

    version: str
    model_hash: str = ""
    sentence: str = ""
