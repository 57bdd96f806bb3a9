"""A command in progress, and the decorator that marks the method that handles it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from SAMMixSlicerLib.worker.commands import Command

_ATTRIBUTE = "handled_command"
Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass
class Job:
    """A command in progress.

    Attributes:
        request: Number of the command.
        received_at: Time of its arrival, in seconds of `time.monotonic`.
        is_cancelled: Polled between slices; True to stop.
        others_wait: Whether other commands are waiting.
        may_be_interrupted: Whether quick commands may be handled between its slices.
        changed: Slices that it has changed.
        protected: Slices that it left alone because they were corrected by hand.
    """

    request: int
    received_at: float
    is_cancelled: Callable[[], bool] = lambda: False
    others_wait: Callable[[], bool] = lambda: False
    may_be_interrupted: bool = False
    changed: set[int] = field(default_factory=set)
    protected: list[int] = field(default_factory=list)

    def protected_sentence(self) -> str:
        """Sentence for the user on the slices that were left alone; empty if there are none."""
        if not self.protected:
            return ""
        if len(self.protected) == 1:
            return f"Slice {self.protected[0]} was corrected by hand and stays as it is."
        return f"{len(self.protected)} slices were corrected by hand and stay as they are."


def handles(command_type: type[Command]) -> Callable[[Method], Method]:
    """Marks a method as the handler of a kind of command.

    The method takes the command and its `Job`. It sends its events itself, and raises `SammixError` with a sentence for
    the user if it cannot do what the command says.
    """

    def mark(method: Method) -> Method:
        setattr(method, _ATTRIBUTE, command_type)
        return method

    return mark


def handlers_of(owner: object) -> dict[type[Command], Callable[[Any, Job], None]]:
    """Returns the bound methods of an object that are marked with `handles`, by kind of command."""
    methods = inspect.getmembers(type(owner), lambda member: hasattr(member, _ATTRIBUTE))
    return {getattr(method, _ATTRIBUTE): getattr(owner, name) for name, method in methods}
