"""A slice view: Slicer's slice logic and displayable managers, offscreen."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from slicer_host.views.offscreen_view import OffscreenView

_MANAGERS = (
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)
# By the name of the view, as Slicer's layouts give them
_COLORS = {"Red": (0.953, 0.290, 0.200), "Yellow": (0.929, 0.835, 0.298), "Green": (0.431, 0.690, 0.294)}


class SliceView(OffscreenView):
    """What qMRMLSliceWidget shows, without Qt: volume, segmentation and markups of one slice.

    Args:
        name: layout name of the slice node: "Red", "Yellow" or "Green".
        orientation: "Axial", "Sagittal" or "Coronal".
        size: width and height in pixels.
    """

    def __init__(self, name: str = "Red", orientation: str = "Axial", size: tuple[int, int] = (512, 512)) -> None:
        super().__init__(size)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self._mapper = vtk.vtkImageMapper()
        # The slice logic gives colours already; the mapper shows them as they are.
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(self._image)
        self.add_managers(slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), _MANAGERS)

        application_logic = slicer.app.applicationLogic()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application_logic)
        application_logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        # A layout makes the nodes of its views; one more of that name would be copied over it and be in no scene.
        self.node = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")
        if self.node is None:
            self.node = self.logic.AddSliceNode(name)
        else:
            self.logic.SetSliceNode(self.node)
        self.node.SetOrientation(orientation)
        self.node.SetLayoutColor(*_COLORS.get(name, (0.5, 0.5, 0.5)))
        self.managers.SetMRMLDisplayableNode(self.node)
        self.style = slicer.vtkMRMLSliceViewInteractorStyle()
        self.style.SetSliceLogic(self.logic)
        self.style.SetDisplayableManagers(self.managers)
        self.style.SetInteractor(self.interactor)
        self.logic.ResizeSliceNode(*size)

    def show_volume(self, volume: Any) -> None:
        """Put a volume into the background, fit the view to it and snap to its nearest slice."""
        self.logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        self.logic.FitSliceToBackground()
        self.logic.SnapSliceOffsetToIJK()

    def jump_to(self, right: float, anterior: float, superior: float) -> None:
        """Show the slice through a point in RAS mm."""
        self.node.JumpSliceByOffsetting(right, anterior, superior)

    def resize(self, width: int, height: int) -> None:
        super().resize(width, height)
        self.logic.ResizeSliceNode(width, height)

    def render(self) -> None:
        # The logic rebuilds its pipeline when a layer is added or removed.
        connection = self.logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        self._image.SetVisibility(connection is not None)
        super().render()

    def pixel_of(self, ras: tuple[float, float, float]) -> tuple[float, float]:
        """The pixel (x, y from the lower left) at which a point in RAS mm is seen."""
        ras_to_xy = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), ras_to_xy)
        x, y, _, _ = ras_to_xy.MultiplyPoint((*ras, 1))
        return x, y
