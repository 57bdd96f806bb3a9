"""The window of Slicer: the panel of a module at the left, the views beside it, a line for messages below."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import Property, QObject
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QMainWindow, QScrollArea, QWidget

# Pixels, about what Slicer gives them on a screen of 1920
_PANEL_WIDTH = 500
_PLOT_HEIGHT = 260


class ModuleSelector(QObject):
    """Stand-in of qSlicerModuleSelectorToolBar."""

    def __init__(self, window: Any) -> None:
        super().__init__(window)
        self._window = window
        self._selected = ""

    def selectModule(self, name: str) -> None:
        """Leave the module that is open and enter another.

        Raises:
            LookupError: for a module that is not loaded or has no panel here.
        """
        module = slicer.app.moduleManager().module(name)
        if module is None or module.widgetRepresentation() is None:
            raise LookupError(f"the host has no module {name} with a panel")
        if self._selected:
            before = slicer.app.moduleManager().module(self._selected).widgetRepresentation()
            if before is not None and before.isEntered:
                before.exit()
        self._selected = name
        panel = module.widgetRepresentation()
        self._window.show_panel(panel)
        if not panel.isEntered:
            panel.enter()

    selectedModule = Property(str, lambda self: self._selected)


class MainWindow(QMainWindow):
    """Stand-in of qSlicerMainWindow.

    Args:
        layout_manager: whose views it shows, four up.
    """

    def __init__(self, layout_manager: Any) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = ModuleSelector(self)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFixedWidth(_PANEL_WIDTH)
        views = QWidget()
        grid = QGridLayout(views)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        grid.addWidget(layout_manager.sliceWidget("Red"), 0, 0)
        grid.addWidget(layout_manager.threeDWidget(0), 0, 1)
        grid.addWidget(layout_manager.sliceWidget("Green"), 1, 0)
        grid.addWidget(layout_manager.sliceWidget("Yellow"), 1, 1)
        grid.addWidget(layout_manager.plotWidget(0), 2, 0, 1, 2)
        centre = QWidget()
        row = QHBoxLayout(centre)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._scroll)
        row.addWidget(views, 1)
        self.setCentralWidget(centre)
        self._plot = layout_manager.plotWidget(0)
        self._plot.setFixedHeight(_PLOT_HEIGHT)
        self._plot.hide()
        layout_manager.layoutChanged.connect(self._lay_out)

    def moduleSelector(self) -> ModuleSelector:
        return self._selector

    def show_panel(self, panel: QWidget) -> None:
        """Put a module's panel to the left; the one before is only taken out, not deleted."""
        if self._scroll.widget() is panel:
            return
        if self._scroll.widget() is not None:
            self._scroll.takeWidget()
        self._scroll.setWidget(panel)
        panel.show()

    def _lay_out(self, layout: int) -> None:
        plots = (
            slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalPlotView,
            slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView,
            slicer.vtkMRMLLayoutNode.SlicerLayoutThreeOverThreePlotView,
            slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpPlotView,
        )
        self._plot.setVisible(layout in plots)
