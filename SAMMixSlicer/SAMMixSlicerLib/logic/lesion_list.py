"""The lesions of one case: their states, their segments, and undo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.lesions.lesion import MAX_LESIONS
from sammix_core.lesions.state import LesionState, LesionStatus
from sammix_core.masks.packed_mask import BoxedMask, PackedMask
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.undo import UndoStack
from SAMMixSlicerLib.scene.lesion_node import readLesions, writeLesions
from SAMMixSlicerLib.scene.lesion_segments import LesionSegments
from SAMMixSlicerLib.signals import Signal


class LesionList:
    """Lesions by number; each has a segment unless it was rejected.

    Args:
        case: The case.

    Attributes:
        changed: Emits when any lesion has changed.
        undo: The undo stack.

    Raises:
        InputError: The lesions saved in the scene cannot be read.
    """

    def __init__(self, case: Case) -> None:
        self.changed = Signal()
        self.case = case
        self._states, self._savedIds = readLesions(case.node)
        self._segments: LesionSegments | None = None
        self._searchedLiver: dict[int, PackedMask] | None = None
        self.undo = UndoStack(self.state, self._set)
        self.undo.changed.connect(self.save)

    @property
    def states(self) -> dict[int, LesionState]:
        """All lesions, by number."""
        return dict(sorted(self._states.items()))

    @property
    def segments(self) -> LesionSegments | None:
        """The lesions' segments in the case's segmentation; None without one."""
        node = self.case.segmentationNode
        if node is None or self.case.labelmap is None:
            return None
        if self._segments is None or self._segments.segmentationNode is not node:
            # In a new segmentation all lesions are shown again; segments in the old one stay as they are.
            ids, self._savedIds = self._savedIds, {}
            self._segments = LesionSegments(node, self.case.volumeNode, ids)
            missing = {number: state for number, state in self._states.items() if number not in self._segments.ids}
            self._segments.show(missing)
            self.save()
        return self._segments

    @property
    def isLiverNewer(self) -> bool:
        """Whether the liver's mask has changed since the last search for candidates."""
        return self._searchedLiver is not None and self._searchedLiver != self._liverMask()

    def markSearched(self) -> None:
        """Records that candidates were searched for in the current liver mask."""
        self._searchedLiver = self._liverMask()

    def state(self, number: int) -> LesionState | None:
        """The state of a lesion, or None."""
        return self._states.get(number)

    def present(self) -> list[LesionState]:
        """The lesions that were not rejected, by number."""
        return [state for state in self.states.values() if state.status is not LesionStatus.REJECTED]

    def accepted(self) -> list[LesionState]:
        """The accepted lesions, by number."""
        return [state for state in self.states.values() if state.status is LesionStatus.ACCEPTED]

    def unreviewed(self) -> list[int]:
        """Numbers of the candidates that were neither accepted nor rejected."""
        return [number for number, state in self.states.items() if state.status is LesionStatus.CANDIDATE]

    def freeNumbers(self, count: int, freed: Mapping[int, Any]) -> list[int]:
        """Returns the lowest unused numbers.

        Args:
            count: How many.
            freed: Numbers in use that will become free.

        Raises:
            InputError: There are too many lesions.
        """
        free = [number for number in range(1, MAX_LESIONS + 1) if number not in self._states or number in freed]
        if len(free) < count:
            raise InputError(_("A labelmap holds at most {most} lesions.").format(most=MAX_LESIONS))
        return free[:count]

    def apply(self, name: str, states: Mapping[int, LesionState | None]) -> None:
        """Changes lesions in one undo step.

        Args:
            name: Name for the user; shown as "Undo: ...".
            states: By number; None to remove a lesion.
        """
        before = {number: self.state(number) for number in states}
        self._set(states)
        self.undo.push(name, before)

    def setFigures(self, states: Mapping[int, LesionState]) -> None:
        """Sets measurements of lesions that are otherwise unchanged; no undo step."""
        self._set(states)
        self.save()

    def collectEdits(self) -> dict[int, BoxedMask | None]:
        """Takes over manual edits of the segments as one undo step; called regularly.

        Returns:
            The edited masks by number; None for a lesion whose segment was removed.
        """
        segments = self.segments
        if segments is not None and segments.work():
            self.save()  # the IDs of the segments
        changed = {} if segments is None else segments.externalChanges(self._states)
        if changed:
            self.apply(
                _("Manual lesion edit"), {number: self._edited(number, mask) for number, mask in changed.items()}
            )
        return changed

    def save(self) -> None:
        """Writes the lesions into the case's node, so that they are saved with the scene."""
        ids = self._savedIds if self._segments is None else self._segments.ids
        writeLesions(self.case.node, self._states, ids)

    def _liverMask(self) -> dict[int, PackedMask]:
        return {index: state.mask for index, state in self.case.states.items() if state.mask is not None}

    def _edited(self, number: int, mask: BoxedMask | None) -> LesionState | None:
        if mask is None:
            return None
        # Painting over another lesion, or over the liver, may change a lesion that was not reviewed.
        return LesionState(number, self._states[number].status, mask, start=mask)

    def _set(self, states: Mapping[int, LesionState | None]) -> None:
        for number, state in states.items():
            if state is None:
                self._states.pop(number, None)
            else:
                self._states[number] = state
        if self.segments is not None:
            self.segments.show(states)
        self.changed.emit()
