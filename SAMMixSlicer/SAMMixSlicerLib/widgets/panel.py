"""The panel: its sections, and the timer that updates them."""

from __future__ import annotations

from typing import Any

import qt

from SAMMixSlicerLib.core_location import CoreInfo
from SAMMixSlicerLib.logic.diagnostics import Diagnostics
from SAMMixSlicerLib.logic.panel_logic import PanelLogic, pythonInterpreter
from SAMMixSlicerLib.widgets.about_section import AboutSection
from SAMMixSlicerLib.widgets.click_list import ClickList
from SAMMixSlicerLib.widgets.correct_section import CorrectSection
from SAMMixSlicerLib.widgets.corrections_list import CorrectionsList
from SAMMixSlicerLib.widgets.dialogs import Dialogs
from SAMMixSlicerLib.widgets.export_section import ExportSection
from SAMMixSlicerLib.widgets.fine_tune_section import FineTuneSection
from SAMMixSlicerLib.widgets.input_section import InputSection
from SAMMixSlicerLib.widgets.lesions_section import LesionsSection
from SAMMixSlicerLib.widgets.run_section import RunSection
from SAMMixSlicerLib.widgets.show_section import ShowSection
from SAMMixSlicerLib.widgets.slices_section import SlicesSection
from SAMMixSlicerLib.widgets.unlabelled_section import UnlabelledSection
from SAMMixSlicerLib.widgets.versions_row import VersionsRow

_BUSY_MS, _IDLE_MS = 20, 200


class Panel:
    """Connects the widgets of `SAMMixSlicer.ui` to the logics.

    Args:
        ui: The widgets by name.
        logic: The logics.
        core: The core in use.
        dialogs: Dialogs.
    """

    def __init__(self, ui: Any, logic: PanelLogic, core: CoreInfo, dialogs: Dialogs) -> None:
        self._ui = ui
        self._logic = logic
        workspace, actions = logic.workspace, logic.actions
        self.slices = SlicesSection(ui, workspace, actions, logic.review, logic.show)
        self._diagnostics = Diagnostics(logic.worker, core, pythonInterpreter())
        lesions = LesionsSection(ui, workspace, logic.lesions, logic.lesionClicks, logic.lesionExport, actions, dialogs)
        self._lesions = lesions
        self._correct = CorrectSection(
            ui, workspace, logic.boxes, logic.clicks, logic.carry, logic.corrections, actions, logic.visited
        )
        self._unlabelled = UnlabelledSection(ui, workspace, logic.unlabelled, dialogs)
        self.sections = [
            InputSection(ui, workspace, logic.install),
            RunSection(ui, workspace, logic.run, actions, logic.install, dialogs),
            self.slices,
            self._correct,
            ClickList(ui, workspace, logic.clicks, actions),
            ShowSection(ui, workspace, logic.surface),
            lesions,
            CorrectionsList(ui, workspace, logic.recorder, logic.newStructure, logic.install),
            self._unlabelled,
            FineTuneSection(ui, workspace, logic.fineTuning, logic.recorder, logic.install, dialogs),
            VersionsRow(ui, workspace, logic.versions, logic.fineTuning, dialogs),
            ExportSection(ui, workspace, logic.export, dialogs),
            AboutSection(ui, workspace, core, dialogs, self._diagnostics),
        ]
        # A timer instead of a Python thread: Slicer's main thread holds the GIL while Qt idles.
        self._timer = qt.QTimer()
        self._intervalMs = _IDLE_MS
        self._timer.setInterval(self._intervalMs)
        self._timer.connect("timeout()", self._onTimeout)
        actions.changed.connect(self._updateInterval)
        logic.clicks.changed.connect(self._updateInterval)
        self._timer.start()

    def stop(self) -> None:
        """Stops the timer, and blocks the signals of the selectors."""
        self._timer.stop()
        self._lesions.teardown()
        self._correct.teardown()
        self._diagnostics.teardown()
        self._ui.volumeSelector.blockSignals(True)
        self._ui.segmentationSelector.blockSignals(True)

    def _onTimeout(self) -> None:
        self._logic.tick()
        self.slices.tick()
        self._unlabelled.tick()
        self._updateInterval()

    def _updateInterval(self) -> None:
        logic = self._logic
        isClicking = logic.clicks.isOn or logic.lesionClicks.isOn
        interval = _BUSY_MS if logic.workspace.worker.busy or isClicking else _IDLE_MS
        if interval != self._intervalMs:
            self._intervalMs = interval
            self._timer.setInterval(interval)
