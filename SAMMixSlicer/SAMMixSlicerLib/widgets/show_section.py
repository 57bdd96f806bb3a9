"""Section "Show": activation map, boxes, fill and outline, 3-D surface."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.surface_logic import SurfaceLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.parameter import Parameter


class ShowSection:
    """Connects the controls to the settings.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        surfaceLogic: Shows the 3-D surface.
    """

    def __init__(self, ui: Any, workspace: Workspace, surfaceLogic: SurfaceLogic) -> None:
        self._ui = ui
        self._workspace = workspace
        self._surface = surfaceLogic
        for checkBox, field in self._checkBoxes():
            checkBox.connect("toggled(bool)", lambda checked, field=field: workspace.update(**{field: checked}))
        ui.mapOpacitySlider.connect("valueChanged(double)", lambda value: workspace.update(mapOpacity=float(value)))
        ui.surfaceButton.connect("clicked()", self._onSurface)
        workspace.parameterChanged.connect(self.refresh)
        surfaceLogic.changed.connect(self._refreshSurface)
        self.refresh(workspace.parameter)

    def refresh(self, parameter: Parameter) -> None:
        """Updates the controls from the settings."""
        for checkBox, field in self._checkBoxes():
            checkBox.setChecked(getattr(parameter, field))
        self._ui.mapOpacitySlider.setValue(parameter.mapOpacity)
        self._ui.mapOpacitySlider.setEnabled(parameter.showMap)
        self._refreshSurface()

    def _checkBoxes(self) -> list[tuple[Any, str]]:
        ui = self._ui
        return [
            (ui.mapCheck, "showMap"),
            (ui.boxesCheck, "showBoxes"),
            (ui.fillCheck, "showFill"),
            (ui.outlineCheck, "showOutline"),
        ]

    def _onSurface(self) -> None:
        if self._surface.isShown:
            self._surface.hide()
        else:
            self._workspace.attempt(self._surface.show)
        self._refreshSurface()

    def _refreshSurface(self) -> None:
        # An edit removes the surface; the button then offers to make it again.
        shown = self._surface.isShown
        self._ui.surfaceButton.setChecked(shown)
        self._ui.surfaceButton.setText(_("Hide 3-D") if shown else _("Show 3-D"))
