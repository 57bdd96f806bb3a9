"""What a slice view and a 3-D view have in common: a window that nobody sees, its pixels, its mouse."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy


class OffscreenView:
    """A render window without a screen, with the displayable managers that draw a view node into it.

    Pixels are (x, y) from the lower left corner, as VTK counts them.

    Args:
        size: width and height in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.SetRenderer(self.renderer)

    def add_managers(self, factory: Any, names: Iterable[str]) -> None:
        """Have these displayable managers draw into the view.

        Args:
            factory: the factory of slice views or the one of 3-D views.
            names: class names of the managers.
        """
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for name in names:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.managers.Initialize(factory, self.renderer)

    def render(self) -> None:
        """Draw now."""
        self.window.Render()

    def pixels(self) -> np.ndarray:
        """Draw, and return the picture: (rows, columns, 3) uint8, the first row at the top."""
        self.render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.SetInputBufferTypeToRGB()
        grab.ReadFrontBufferOff()
        # Rendered a line above; once more would double the time of every picture.
        grab.ShouldRerenderOff()
        grab.Update()
        image = grab.GetOutput()
        columns, rows, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1].copy()

    def save_png(self, path: Path) -> None:
        """Write the picture as a PNG file."""
        from PIL import Image

        Image.fromarray(self.pixels()).save(path)

    def resize(self, width: int, height: int) -> None:
        """Make the window as large as the widget that shows it, in pixels."""
        self.window.SetSize(width, height)
        self.interactor.UpdateSize(width, height)

    def send(self, event: int, x: float, y: float, control: bool = False, shift: bool = False) -> None:
        """Give the view a mouse event at a pixel, as a window system does."""
        self.interactor.SetEventInformation(round(x), round(y), int(control), int(shift))
        self.interactor.InvokeEvent(event)

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 8) -> None:
        """Press the left button at a pixel, move to another in steps, release."""
        self.send(vtk.vtkCommand.MouseMoveEvent, *start)
        self.render()
        self.send(vtk.vtkCommand.LeftButtonPressEvent, *start)
        for share in np.linspace(0, 1, steps):
            position = np.asarray(start) * (1 - share) + np.asarray(end) * share
            self.send(vtk.vtkCommand.MouseMoveEvent, *position)
        self.send(vtk.vtkCommand.LeftButtonReleaseEvent, *end)
