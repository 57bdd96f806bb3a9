"""The protocol of all refinements of one structure: a mask, clicks, stages, and undo. Needs numpy alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from sammix_core.errors import InputError

Point = TypeVar("Point", bound=tuple[int, ...])
State = TypeVar("State")
Ijk = tuple[int, int, int]

NOTHING_TO_REFINE = "There is nothing to refine yet: begin with a mask or a click."


@dataclass(frozen=True, slots=True)
class Click(Generic[Point]):
    """A click on a structure.

    Attributes:
        point: Where: (i, j, k) of a volume, or (row, col) of a slice.
        inside: Whether the point belongs to the structure.
    """

    point: Point
    inside: bool


@dataclass(frozen=True, slots=True)
class _Stage(Generic[Point, State]):
    state: State
    clicks: tuple[Click[Point], ...]


class StagedRefinement(ABC, Generic[Point, State]):
    """One structure whose mask gets better stage by stage.

    A stage is a click, or, where the method can, one more refinement with the clicks so far. Subclasses compute the
    state of a stage and add it; the history of stages and clicks, and undo, are here.
    """

    def __init__(self) -> None:
        self._history: list[_Stage[Point, State]] = []

    @property
    @abstractmethod
    def mask(self) -> np.ndarray:
        """Bool, after the last stage: (k, j, i) on the CT's grid, or (rows, cols) of a slice."""

    @abstractmethod
    def click(self, point: Point, inside: bool = True) -> None:
        """Adds a stage with one more click.

        Args:
            point: See `Click`.
            inside: Whether the point belongs to the structure.

        Raises:
            InputError: The click cannot be used; nothing has changed.
        """

    @property
    def stages(self) -> int:
        """How many stages there are."""
        return len(self._history)

    @property
    def clicks(self) -> tuple[Click[Point], ...]:
        """The clicks so far, in their order."""
        return self._history[-1].clicks if self._history else ()

    def undo(self) -> None:
        """Takes the last stage back, with its click if it had one; without a stage nothing happens."""
        if self._history:
            self._revert(self._history.pop().state)

    @property
    def _state(self) -> State | None:
        """State of the last stage; None before the first."""
        return self._history[-1].state if self._history else None

    def _add_stage(self, state: State, click: Click[Point] | None = None) -> None:
        clicks = self.clicks if click is None else (*self.clicks, click)
        self._history.append(_Stage(state, clicks))

    def _revert(self, state: State) -> None:
        """Called with the state of a stage that was just undone, for what a subclass keeps beside the history."""


def check_voxel(ijk: Ijk, shape_kji: tuple[int, int, int]) -> None:
    """Refuses a click outside a CT.

    Args:
        ijk: Voxel that was clicked.
        shape_kji: Shape of the CT's array.

    Raises:
        InputError: It lies outside.
    """
    n_k, n_j, n_i = shape_kji
    if not all(0 <= index < size for index, size in zip(ijk, (n_i, n_j, n_k), strict=True)):
        raise InputError(f"The click {','.join(map(str, ijk))} lies outside the CT of {n_i} x {n_j} x {n_k} voxels.")
