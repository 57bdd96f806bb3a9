"""Undo and redo of the user's actions on slices or lesions, one step for each action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from SAMMixSlicerLib.signals import Signal

_LIMIT = 100


@dataclass(frozen=True)
class Step:
    """The changes of one action.

    Attributes:
        name: Name for the user.
        states: The slices or lesions, by number, as they were before (undo) or after it (redo).
    """

    name: str
    states: Mapping[int, Any]


class UndoStack:
    """The undo and redo steps of one case.

    A step holds the slices (or lesions) as they were. Undoing swaps them with the current slices, so that changes which
    arrive after the action has started (a mask computed for a box) belong to the action.

    Args:
        stateOf: Returns a slice's current state, an immutable value.
        setStates: Sets slices, by number.

    Attributes:
        changed: Emits when there are other steps than before.
    """

    def __init__(self, stateOf: Callable[[int], Any], setStates: Callable[[Mapping[int, Any]], None]) -> None:
        self.changed = Signal()
        self._stateOf = stateOf
        self._setStates = setStates
        self._undo: list[Step] = []
        self._redo: list[Step] = []

    @property
    def undoName(self) -> str:
        """Name of the action that `undo` would undo, or ""."""
        return self._undo[-1].name if self._undo else ""

    @property
    def redoName(self) -> str:
        """Name of the action that `redo` would redo, or ""."""
        return self._redo[-1].name if self._redo else ""

    def push(self, name: str, before: Mapping[int, Any]) -> None:
        """Adds a step for an action; slices that it did not change are left out.

        Args:
            name: Name for the user.
            before: Slices as they were before it.
        """
        states = {index: state for index, state in sorted(before.items()) if self._stateOf(index) != state}
        if not states:
            return
        self._undo = [*self._undo[1 - _LIMIT :], Step(name, states)]
        self._redo = []
        self.changed.emit()

    def clear(self) -> None:
        """Drops all steps, for a new segment."""
        self._undo, self._redo = [], []
        self.changed.emit()

    def undo(self) -> tuple[int, ...]:
        """Undoes the last action.

        Returns:
            The slices that changed.
        """
        return self._swap(self._undo, self._redo)

    def redo(self) -> tuple[int, ...]:
        """Redoes the action that was undone last.

        Returns:
            The slices that changed.
        """
        return self._swap(self._redo, self._undo)

    def _swap(self, source: list[Step], target: list[Step]) -> tuple[int, ...]:
        if not source:
            return ()
        step = source.pop()
        target.append(Step(step.name, {index: self._stateOf(index) for index in step.states}))
        self._setStates(step.states)
        self.changed.emit()
        return tuple(step.states)
