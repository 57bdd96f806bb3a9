"""Section "Correct": boxes, clicks, carrying and painting, and undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.box_logic import BoxLogic
from SAMMixSlicerLib.logic.carry_logic import CarryLogic
from SAMMixSlicerLib.logic.click_logic import ClickLogic, Mode
from SAMMixSlicerLib.logic.correction_logic import CorrectionLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.parameter import Parameter
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.widgets.keys import Keys
from SAMMixSlicerLib.widgets.slices_section import sourceLabel

_MAX_LISTED = 12


class CorrectSection:
    """Buttons and keys for everything but dragging, and what was done to the slice in view.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        boxes: Edits boxes.
        clicks: Handles clicks.
        carry: Carries corrections to other slices.
        corrections: Notices manual corrections.
        actions: Undo and redo.
        visited: Emits (isEntered) when the user opens the module, or another one.
    """

    def __init__(
        self,
        ui: Any,
        workspace: Workspace,
        boxes: BoxLogic,
        clicks: ClickLogic,
        carry: CarryLogic,
        corrections: CorrectionLogic,
        actions: Actions,
        visited: Signal,
    ) -> None:
        self._ui = ui
        self._workspace = workspace
        self._actions = actions
        self._boxes = boxes
        self._clicks = clicks
        self._case: Any = None
        for button, action in (
            (ui.addBoxButton, boxes.add),
            (ui.deleteBoxButton, boxes.delete),
            (ui.resetBoxButton, boxes.reset),
            (ui.interpolateButton, boxes.interpolate),
            (ui.carryButton, carry.carry),
            (ui.paintButton, corrections.openEditor),
            (ui.releaseButton, corrections.release),
        ):
            self._connect(button, action)
        self._modes = {Mode.INCLUDE: ui.includeButton, Mode.EXCLUDE: ui.excludeButton}
        for mode, button in self._modes.items():
            button.connect("clicked()", lambda mode=mode: self._onMode(mode))
        ui.undoButton.connect("clicked()", actions.undo)
        ui.redoButton.connect("clicked()", actions.redo)
        ui.carryCheck.connect("toggled(bool)", lambda checked: workspace.update(carryByItself=checked))
        # Slicer's slice views use f, b, g, t, v, r, s, brackets and arrows, its Segment Editor I, but not beside this.
        self._keys = Keys(ui.correctSection)
        for key, button in (
            ("D", ui.addBoxButton),
            ("I", ui.includeButton),
            ("E", ui.excludeButton),
            ("C", ui.carryButton),
            ("P", ui.paintButton),
        ):
            self._keys.add(key, button.click)
        self._escape = Keys(ui.correctSection)
        self._escape.add("Esc", clicks.stop)
        visited.connect(self._keys.setEnabled)
        boxes.changed.connect(self.refresh)
        clicks.changed.connect(self.refresh)
        actions.changed.connect(self.refresh)
        workspace.caseChanged.connect(self._onCaseChanged)
        workspace.parameterChanged.connect(self._onParameter)
        self._onParameter(workspace.parameter)
        self._onCaseChanged(workspace.case)

    def teardown(self) -> None:
        """Removes the keys from Slicer's window."""
        self._keys.teardown()
        self._escape.teardown()

    def refresh(self) -> None:
        """Describes the slice in view, and enables the possible actions."""
        ui, case, index = self._ui, self._case, self._workspace.views.current
        hasVolume = self._workspace.volumeNode is not None
        state = None if case is None or index is None else case.state(index)
        ui.boxLabel.setText(self._sentence(hasVolume, state))
        ui.addBoxButton.setEnabled(hasVolume)
        for mode, button in self._modes.items():
            button.setEnabled(hasVolume)
            button.setChecked(self._clicks.mode is mode)
        self._escape.setEnabled(self._clicks.isOn)  # left to others while no clicks are accepted
        ui.carryButton.setEnabled(state is not None and not self._actions.isBusy)
        ui.paintButton.setEnabled(case is not None and case.labelmap is not None)
        ui.deleteBoxButton.setEnabled(state is not None and (bool(state.boxes) or state.mask is not None))
        ui.resetBoxButton.setEnabled(state is not None and (state.boxes != state.automatic_boxes or bool(state.clicks)))
        ui.interpolateButton.setEnabled(case is not None and len(case.boxes().keyframes) > 1)
        self._refreshProtected()
        self._refreshUndo()

    def _refreshProtected(self) -> None:
        corrected = [] if self._case is None else self._case.corrected()
        names = ", ".join(str(number) for number in corrected[:_MAX_LISTED])
        more = _(" and {count} more").format(count=len(corrected) - _MAX_LISTED)
        self._ui.correctLabel.setText(
            _("Corrected by hand and protected: slice {names}{more}.").format(
                names=names, more=more if len(corrected) > _MAX_LISTED else ""
            )
        )
        self._ui.correctLabel.setVisible(bool(corrected))
        self._ui.releaseButton.setEnabled(self._workspace.views.current in corrected)

    def _refreshUndo(self) -> None:
        undo = None if self._case is None else self._case.undo
        idle = not self._actions.isBusy
        for button, word, name in (
            (self._ui.undoButton, _("Undo"), undo.undoName if undo else ""),
            (self._ui.redoButton, _("Redo"), undo.redoName if undo else ""),
        ):
            button.setEnabled(bool(name) and idle)
            button.setToolTip(f"{word}: {name}" if name else word)

    def _sentence(self, hasVolume: bool, state: SliceState | None) -> str:
        if not hasVolume:
            return _("Select a CT volume first.")
        if self._clicks.mode is Mode.INCLUDE:
            return _("Click what belongs to the mask in a slice view. Press Esc to stop.")
        if self._clicks.mode is Mode.EXCLUDE:
            return _("Click what does not belong to the mask in a slice view. Press Esc to stop.")
        if state is None:
            return _("Segment the liver, or add a box to the slice in view.")
        box = self._boxes.selected
        if box is None:
            return _("Slice {index}: no box.").format(index=state.slice_index)
        values = {
            "index": state.slice_index,
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

    def _connect(self, button: Any, action: Callable[[], object]) -> None:
        button.connect("clicked()", lambda: self._workspace.attempt(action))

    def _onMode(self, mode: Mode) -> None:
        newMode = Mode.OFF if self._clicks.mode is mode else mode
        self._workspace.attempt(lambda: self._clicks.setMode(newMode))
        self.refresh()  # releases the button if the mode was refused

    def _onParameter(self, parameter: Parameter) -> None:
        self._ui.carryCheck.setChecked(parameter.carryByItself)

    def _onCaseChanged(self, case: Any) -> None:
        if self._case is not None:
            self._case.undo.changed.disconnect(self._refreshUndo)
            self._case.changed.disconnect(self._onSlicesChanged)
        self._case = case
        if case is not None:
            case.undo.changed.connect(self._refreshUndo)
            case.changed.connect(self._onSlicesChanged)
        self.refresh()

    def _onSlicesChanged(self, _indices: Any) -> None:
        self._refreshProtected()
