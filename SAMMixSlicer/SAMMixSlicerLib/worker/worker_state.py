"""What a worker can do at a moment."""

from __future__ import annotations

from enum import StrEnum


class WorkerState(StrEnum):
    """What can be done now."""

    STOPPED = "stopped"
    STARTING = "starting"
    NOT_INSTALLED = "not installed"  # packages are missing
    IDLE = "idle"  # no model yet
    LOADING = "loading"
    READY = "ready"
    BROKEN = "broken"  # the process cannot be had
