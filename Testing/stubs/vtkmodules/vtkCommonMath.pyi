from collections.abc import Sequence

class vtkMatrix4x4:
    def DeepCopy(self, elements: Sequence[float]) -> None: ...
