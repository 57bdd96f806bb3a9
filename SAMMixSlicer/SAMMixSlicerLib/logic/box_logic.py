"""Shows the boxes of the slice in view, and lets the user drag, add, delete, reset and interpolate boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.scene.box_geometry import Edges
from SAMMixSlicerLib.scene.box_rois import BoxRois
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker.commands import DeleteBox, InterpolateBoxes, ResetSlices, SegmentSlice

Confirm = Callable[[str], bool]


class BoxLogic:
    """Edits boxes; the worker updates the masks.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.
        confirm: Asks the user a yes-or-no question.

    Attributes:
        changed: Emits when other boxes, or none, are shown, or another one is selected.
        rois: The boxes in view.
    """

    def __init__(self, workspace: Workspace, actions: Actions, confirm: Confirm) -> None:
        self.changed = Signal()
        self.rois = BoxRois()
        self._workspace = workspace
        self._actions = actions
        self._confirm = confirm
        self._case: Case | None = None
        self._selectedPart: int | None = None
        self.rois.grabbed.connect(self.select)
        self.rois.released.connect(self._onReleased)
        workspace.caseChanged.connect(self._onCaseChanged)
        workspace.parameterChanged.connect(lambda _parameter: self.refresh())
        workspace.views.moved.connect(lambda _index: self.refresh())
        workspace.views.viewsChanged.connect(self.refresh)
        actions.ended.connect(lambda _action, _event: self.refresh())

    def refresh(self) -> None:
        """Shows the current boxes of the slice in view; while one is being dragged, all stay where they are."""
        if self.rois.isDragged:
            return
        case, index, selected = self._case, self._workspace.views.current, self.selected
        isShown = self._workspace.parameter.showBoxes and not self._workspace.isSceneBusy
        if case is None or index is None or selected is None or not isShown:
            self.rois.hide()
        else:
            viewIds = [node.GetID() for node in self._workspace.views.alignedViews()]
            self.rois.show(case.volumeNode, case.sliceAxis, case.state(index).boxes, selected.part, viewIds)
        self.changed.emit()

    @property
    def selected(self) -> Box | None:
        """The selected box of the slice in view: the part that was selected last, else the first; None without any."""
        case, index = self._case, self._workspace.views.current
        boxes = () if case is None or index is None else case.state(index).boxes
        return next((box for box in boxes if box.part == self._selectedPart), boxes[0] if boxes else None)

    def select(self, part: int) -> None:
        """Selects the box of a part, here and on the other slices."""
        self._selectedPart = part
        self.rois.select(part)
        self.refresh()

    def setBox(self, index: int, edges: Edges, part: int | None = None) -> None:
        """Sets a box of a slice as the user's own, and segments that slice.

        Args:
            index: The slice.
            edges: Half-open (i_min, j_min, i_max, j_max).
            part: The part whose box it replaces, or a new one; None for the slice's first, or a new one without any.

        Raises:
            InputError: The slice cannot be segmented; the sentence says why.
        """
        case = self._workspace.prepareCase()
        force = self._mayReplace(case, [index])
        if force is None:
            self.refresh()
            return
        before = {index: case.state(index)}
        if part is None:
            boxes = case.state(index).boxes
            part = boxes[0].part if boxes else case.boxes().part_at(index, edges)
        box = Box(index, *edges, source=BoxSource.EDITED, part=part)
        request = self._workspace.worker.submit(SegmentSlice(case.volumeId, box, force))
        self._actions.begin(_("Box"), case, before, request, corrected=index)

    def add(self) -> None:
        """Adds a box to the slice in view, and selects it.

        The first box of a slice is a copy of the nearest one. A further one is where the user drew a part that this
        slice lacks on another slice, or where the next slices show one, else in the middle of the view.

        Raises:
            InputError: No slice is in view.
        """
        case = self._workspace.prepareCase()
        index = self._current()
        track = case.boxes()
        edges, part = self._place(case, index, track)
        self._selectedPart = track.part_at(index, edges) if part is None else part
        self.setBox(index, edges, self._selectedPart)

    def delete(self) -> None:
        """Deletes the selected box of the slice in view; a run does not bring back an automatic box in its place.

        The mask of a slice without boxes is deleted as well.

        Raises:
            InputError: No slice is in view, or it cannot be segmented from its other boxes.
        """
        case, index = self._case, self._current()
        if case is None:
            return
        force = self._mayReplace(case, [index])
        if force is None:
            return
        before, selected = case.state(index), self.selected
        if selected is None or len(before.boxes) < 2:
            case.setStates([before.cleared()])
            case.undo.push(_("Delete box"), {index: before})
            return
        case = self._workspace.prepareCase()
        request = self._workspace.worker.submit(DeleteBox(case.volumeId, index, selected.part, force))
        self._actions.begin(_("Delete box"), case, {index: before}, request, corrected=index)

    def reset(self) -> None:
        """Restores the automatic box of the slice in view.

        Raises:
            InputError: No slice is in view.
        """
        case = self._workspace.prepareCase()
        index = self._current()
        force = self._mayReplace(case, [index])
        if force is None:
            return
        before = {index: case.state(index)}
        request = self._workspace.worker.submit(ResetSlices(case.volumeId, (index,), force))
        self._actions.begin(_("Reset box"), case, before, request)

    def interpolate(self) -> None:
        """Fills the slices between edited boxes with interpolated boxes, and segments them.

        Raises:
            InputError: Fewer than two boxes were edited, or they are on adjacent slices.
        """
        case = self._workspace.prepareCase()
        keyframes = case.boxes().keyframes
        if len(keyframes) < 2 or keyframes[-1] - keyframes[0] < 2:
            raise InputError(_("Edit the boxes of two slices with other slices between them, then interpolate."))
        before = {index: case.state(index) for index in range(keyframes[0], keyframes[-1] + 1)}
        request = self._workspace.worker.submit(InterpolateBoxes(case.volumeId))
        self._actions.begin(_("Interpolate"), case, before, request)

    def teardown(self) -> None:
        """Removes the ROI from the scene."""
        self.rois.remove()

    def _mayReplace(self, case: Case, indices: list[int]) -> bool | None:
        """Whether to replace corrected masks: False if there are none, None if the user wants to keep them."""
        corrected = [index for index in indices if case.state(index).corrected]
        if not corrected:
            return False
        question = _("Slice {index} was corrected by hand. Replace its mask?").format(index=corrected[0])
        return True if self._confirm(question) else None

    def _current(self) -> int:
        index = self._workspace.views.current
        if index is None:
            raise InputError(_("Show a slice of the volume in a slice view first."))
        return index

    def _place(self, case: Case, index: int, track: BoxTrack) -> tuple[Edges, int | None]:
        """Where a box is added to a slice, and its part; None for one that is not known from other slices."""
        taken = {box.part for box in track.on(index)}
        known = [
            box
            for box in track.every_box
            if box.part not in taken
            and (not taken or box.source is BoxSource.EDITED or abs(box.slice_index - index) == 1)
        ]
        if known:
            nearest = min(known, key=lambda box: (abs(box.slice_index - index), box.part))
            return nearest.edges, nearest.part
        width, height = (track.shape["ijk".index(axis)] for axis in track.in_plane_axes)
        if not taken:
            return _middle((0, 0, width, height), 1 / 2), None
        return _middle(self._workspace.views.voxelsInView() or (0, 0, width, height), 1 / 4), None

    def _onReleased(self, index: int, part: int, edges: Edges) -> None:
        case = self._case
        boxes = () if case is None else case.state(index).boxes
        if all(box.part != part or box.edges == edges for box in boxes):
            self.refresh()  # snap back to voxel borders
            return
        self._workspace.attempt(lambda: self.setBox(index, edges, part))

    def _onCaseChanged(self, case: Case | None) -> None:
        if self._case is not None:
            self._case.changed.disconnect(self._onSlicesChanged)
        self._case = case
        if case is None:
            self.rois.remove()
        else:
            case.changed.connect(self._onSlicesChanged)
        self.refresh()

    def _onSlicesChanged(self, indices: Any) -> None:
        if self._workspace.views.current in indices:
            self.refresh()


def _middle(edges: Edges, share: float) -> Edges:
    """The middle of a box, of a share of its width and height, at least one voxel wide."""
    low, high = (1 - share) / 2, (1 + share) / 2
    (i_min, i_max), (j_min, j_max) = (
        (int(start + low * (end - start)), int(start + high * (end - start)))
        for start, end in ((edges[0], edges[2]), (edges[1], edges[3]))
    )
    return i_min, j_min, max(i_min + 1, i_max), max(j_min + 1, j_max)
