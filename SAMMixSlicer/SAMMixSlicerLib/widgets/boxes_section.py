"""Section "Boxes": the boxes of the slice in view, and undo."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.box_logic import BoxLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.widgets.slices_section import sourceLabel


class BoxesSection:
    """Buttons for everything but dragging.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        boxLogic: Edits boxes.
        actions: Undo and redo.
    """

    def __init__(self, ui: Any, workspace: Workspace, boxLogic: BoxLogic, actions: Actions) -> None:
        self._ui = ui
        self._workspace = workspace
        self._actions = actions
        self._boxLogic = boxLogic
        self._case: Any = None
        for name in ("add", "delete", "reset", "interpolate"):
            self._connect(
                getattr(ui, f"{name}BoxButton" if name != "interpolate" else "interpolateButton"),
                getattr(boxLogic, name),
            )
        ui.undoButton.connect("clicked()", actions.undo)
        ui.redoButton.connect("clicked()", actions.redo)
        boxLogic.changed.connect(self.refresh)
        actions.changed.connect(self.refresh)
        workspace.caseChanged.connect(self._onCaseChanged)
        self._onCaseChanged(workspace.case)

    def refresh(self) -> None:
        """Describes the boxes of the slice in view, and enables the possible actions."""
        case, index = self._case, self._workspace.views.current
        isVolumeSelected = self._workspace.volumeNode is not None
        if not isVolumeSelected:
            self._ui.boxLabel.setText(_("Select a CT volume first."))
        elif case is None or index is None:
            self._ui.boxLabel.setText(_("Segment the liver, or add a box to the slice in view."))
        else:
            self._ui.boxLabel.setText(self._sentence(case.state(index), index))
        hasCase = case is not None and index is not None
        state = case.state(index) if hasCase else None
        self._ui.addBoxButton.setEnabled(isVolumeSelected)
        self._ui.deleteBoxButton.setEnabled(state is not None and (bool(state.boxes) or state.mask is not None))
        self._ui.resetBoxButton.setEnabled(state is not None and state.boxes != state.automatic_boxes)
        self._ui.interpolateButton.setEnabled(case is not None and len(case.boxes().keyframes) > 1)
        self._refreshUndo()

    def _refreshUndo(self) -> None:
        undo = None if self._case is None else self._case.undo
        idle = not self._actions.isBusy
        for button, word, name in (
            (self._ui.undoButton, _("Undo"), undo.undoName if undo else ""),
            (self._ui.redoButton, _("Redo"), undo.redoName if undo else ""),
        ):
            button.setEnabled(bool(name) and idle)
            button.setToolTip(f"{word}: {name}" if name else word)

    def _sentence(self, state: SliceState, index: int) -> str:
        box = self._boxLogic.selected
        if box is None:
            return _("Slice {index}: no box.").format(index=index)
        values = {
            "index": index,
            "source": sourceLabel(box.source),
            "width": box.i_max - box.i_min,
            "height": box.j_max - box.j_min,
            "count": len(state.boxes),
        }
        if len(state.boxes) == 1:
            text = _("Slice {index}: {source} box, {width} × {height} voxels. Drag its edges in the slice view.")
        else:
            text = _(
                "Slice {index}: {count} boxes. Selected: {source} box, {width} × {height} voxels. Drag its edges in "
                "the slice view, or click a handle of another box to select that one."
            )
        return text.format(**values)

    def _connect(self, button: Any, action: Any) -> None:
        button.connect("clicked()", lambda: self._workspace.attempt(action))

    def _onCaseChanged(self, case: Any) -> None:
        if self._case is not None:
            self._case.undo.changed.disconnect(self._refreshUndo)
        self._case = case
        if case is not None:
            case.undo.changed.connect(self._refreshUndo)
        self.refresh()
