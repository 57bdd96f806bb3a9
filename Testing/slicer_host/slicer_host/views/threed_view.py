"""A 3-D view: Slicer's displayable managers for models, segmentations and markups, offscreen."""

from __future__ import annotations

import slicer

from slicer_host.views.offscreen_view import OffscreenView

_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)


class ThreeDView(OffscreenView):
    """What qMRMLThreeDWidget shows, without Qt.

    Args:
        name: layout name of the view node.
        size: width and height in pixels.
    """

    def __init__(self, name: str = "1", size: tuple[int, int] = (512, 512)) -> None:
        super().__init__(size)
        self.add_managers(slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), _MANAGERS)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        slicer.app.applicationLogic().GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = self.logic.AddViewNode(name)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self.style.SetDisplayableManagers(self.managers)
        self.style.SetInteractor(self.interactor)

    def reset_camera(self) -> None:
        """Move the camera back until everything is in view."""
        self.renderer.ResetCamera()
        self.renderer.ResetCameraClippingRange()

    def look_from(self, direction: str) -> None:
        """Look from a side of the patient: "anterior", "left", "superior", ..."""
        axes = {
            "anterior": slicer.vtkMRMLCameraNode.Anterior,
            "posterior": slicer.vtkMRMLCameraNode.Posterior,
            "left": slicer.vtkMRMLCameraNode.Left,
            "right": slicer.vtkMRMLCameraNode.Right,
            "superior": slicer.vtkMRMLCameraNode.Superior,
            "inferior": slicer.vtkMRMLCameraNode.Inferior,
        }
        camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(self.node)
        camera.RotateTo(axes[direction])
        self.reset_camera()

    def turn(self, azimuth: float, elevation: float) -> None:
        """Turn the camera round what it looks at, in degrees."""
        camera = self.renderer.GetActiveCamera()
        camera.Azimuth(azimuth)
        camera.Elevation(elevation)
        camera.OrthogonalizeViewUp()
        self.renderer.ResetCameraClippingRange()
