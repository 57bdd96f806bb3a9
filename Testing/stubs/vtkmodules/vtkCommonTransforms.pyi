from vtkmodules.vtkCommonMath import vtkMatrix4x4

class vtkTransform:
    def SetMatrix(self, matrix: vtkMatrix4x4) -> None: ...
