"""Undo and redo of what the user did to slices or lesions, one step an action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from SAMMixSlicerLib.signals import Signal

_LIMIT = 100


@dataclass(frozen=True)
class Step:
    """What an action changed.

    Attributes:
        name: What people call it.
        states: The slices or lesions, by number, as they were before (on the undo side) or after it (on the redo side).
    """

    name: str
    states: Mapping[int, Any]


class UndoStack:
    """The steps of one case.

    A step holds the slices (or lesions) as they were. Undoing exchanges it with the slices as they are now, so that
    what came to a slice after the action's start (a mask that was computed for a box) belongs to the action.

    Args:
        stateOf: Gives a slice's state as it is now: an immutable value.
        setStates: Puts slices back, by number.
    """

    def __init__(self, stateOf: Callable[[int], Any], setStates: Callable[[Mapping[int, Any]], None]) -> None:
        self.changed = Signal()
        self._stateOf = stateOf
        self._setStates = setStates
        self._undo: list[Step] = []
        self._redo: list[Step] = []

    @property
    def undoName(self) -> str:
        """Name of what undo would undo, or ""."""
        return self._undo[-1].name if self._undo else ""

    @property
    def redoName(self) -> str:
        """Name of what redo would do again, or ""."""
        return self._redo[-1].name if self._redo else ""

    def push(self, name: str, before: Mapping[int, Any]) -> None:
        """Notes an action that was done; slices that it left as they were are not kept.

        Args:
            name: What people call it.
            before: Slices as they were before it.
        """
        states = {index: state for index, state in sorted(before.items()) if self._stateOf(index) != state}
        if not states:
            return
        self._undo = [*self._undo[1 - _LIMIT :], Step(name, states)]
        self._redo = []
        self.changed.emit()

    def forget(self) -> None:
        """Drops all steps: what they would put back belongs to another segment now."""
        self._undo, self._redo = [], []
        self.changed.emit()

    def undo(self) -> tuple[int, ...]:
        """Takes the last action back.

        Returns:
            The slices that changed.
        """
        return self._exchange(self._undo, self._redo)

    def redo(self) -> tuple[int, ...]:
        """Does the last action that was undone again.

        Returns:
            The slices that changed.
        """
        return self._exchange(self._redo, self._undo)

    def _exchange(self, source: list[Step], target: list[Step]) -> tuple[int, ...]:
        if not source:
            return ()
        step = source.pop()
        target.append(Step(step.name, {index: self._stateOf(index) for index in step.states}))
        self._setStates(step.states)
        self.changed.emit()
        return tuple(step.states)
