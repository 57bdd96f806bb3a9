"""The lesions of one case: what is known of each, their segments, and undo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.lesions.state import LesionState, LesionStatus
from sammix_core.masks.boxed_mask import BoxedMask
from sammix_core.masks.packed_mask import PackedMask
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.undo import UndoStack
from SAMMixSlicerLib.scene.lesion_node import readLesions, writeLesions
from SAMMixSlicerLib.scene.lesion_segments import LesionSegments
from SAMMixSlicerLib.signals import Signal

_MOST = 254  # with the liver that is what a labelmap of bytes holds


class LesionList:
    """Lesions by number; each has a segment unless it was rejected.

    Args:
        case: Theirs.

    Attributes:
        changed: Emits when any is not what it was.
        undo: What can be undone.

    Raises:
        InputError: What the scene kept of them cannot be read.
    """

    def __init__(self, case: Case) -> None:
        self.changed = Signal()
        self.case = case
        self._states, self._savedIds = readLesions(case.node)
        self._segments: LesionSegments | None = None
        self._searched: dict[int, PackedMask] | None = None
        self.undo = UndoStack(self.state, self._set)
        self.undo.changed.connect(self.save)

    @property
    def states(self) -> dict[int, LesionState]:
        """All, by number."""
        return dict(sorted(self._states.items()))

    @property
    def segments(self) -> LesionSegments | None:
        """Their segments in the segmentation that the case writes to; None without one."""
        node = self.case.segmentationNode
        if node is None or self.case.labelmap is None:
            return None
        if self._segments is None or self._segments.segmentationNode is not node:
            # In another segmentation than before all are shown anew, and those of the one before stay as they are.
            ids, self._savedIds = self._savedIds, {}
            self._segments = LesionSegments(node, self.case.volumeNode, ids)
            missing = {number: one for number, one in self._states.items() if number not in self._segments.ids}
            self._segments.show(missing)
            self.save()
        return self._segments

    @property
    def isLiverNewer(self) -> bool:
        """Whether the liver's mask is another than when candidates were looked for in it."""
        return self._searched is not None and self._searched != self._liver()

    def noteSearched(self) -> None:
        """Notes that candidates were looked for in the liver as it is now."""
        self._searched = self._liver()

    def state(self, number: int) -> LesionState | None:
        """One; None where there is none of that number."""
        return self._states.get(number)

    def present(self) -> list[LesionState]:
        """Those that were not rejected, by number."""
        return [state for state in self.states.values() if state.status is not LesionStatus.REJECTED]

    def accepted(self) -> list[LesionState]:
        """Those that a person has accepted, by number."""
        return [state for state in self.states.values() if state.status is LesionStatus.ACCEPTED]

    def untouched(self) -> list[int]:
        """Candidates of which nobody has said anything."""
        return [number for number, state in self.states.items() if state.status is LesionStatus.CANDIDATE]

    def freeNumbers(self, count: int, freed: Mapping[int, Any]) -> list[int]:
        """The lowest numbers that no lesion has.

        Args:
            count: How many are wanted.
            freed: Numbers that are about to be given up.

        Raises:
            InputError: There are too many lesions.
        """
        free = [one for one in range(1, _MOST + 1) if one not in self._states or one in freed]
        if len(free) < count:
            raise InputError(_("No more than {most} lesions fit into a labelmap.").format(most=_MOST))
        return free[:count]

    def do(self, name: str, states: Mapping[int, LesionState | None]) -> None:
        """Changes some in one step.

        Args:
            name: What people call it; shown as "Undo ...".
            states: By number; None for one that goes.
        """
        before = {number: self.state(number) for number in states}
        self._set(states)
        self.undo.push(name, before)

    def fill(self, states: Mapping[int, LesionState]) -> None:
        """Takes figures of lesions that changed in nothing else; no step of its own."""
        self._set(states)
        self.save()

    def takeEdits(self) -> dict[int, BoxedMask | None]:
        """Takes what was changed by hand in the segments for the lesions' masks, as one step; called now and then.

        Returns:
            What was changed; None for a lesion whose segment is gone.
        """
        segments = self.segments
        if segments is not None and segments.work():
            self.save()  # which segment is whose
        changed = {} if segments is None else segments.changedByOthers(self._states)
        if changed:
            self.do(_("Lesion by hand"), {number: self._edited(number, mask) for number, mask in changed.items()})
        return changed

    def save(self) -> None:
        """Writes them into the case's node, so that the scene keeps them."""
        ids = self._savedIds if self._segments is None else self._segments.ids
        writeLesions(self.case.node, self._states, ids)

    def _liver(self) -> dict[int, PackedMask]:
        return {index: state.mask for index, state in self.case.states.items() if state.mask is not None}

    def _edited(self, number: int, mask: BoxedMask | None) -> LesionState | None:
        if mask is None:
            return None
        # What was painted over another lesion, or over the liver, may change one that nobody has looked at.
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
