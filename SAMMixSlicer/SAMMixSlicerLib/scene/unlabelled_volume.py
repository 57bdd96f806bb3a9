"""What the user says of a CT without labels, noted on its node, so that it is saved and removed with the node."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import slicer

from SAMMixSlicerLib.scene.cam_overlay import overlayNodes

_ATTRIBUTE = "SAMMix.Unlabelled"


@dataclass(frozen=True)
class UnlabelledChoice:
    """What the user says of a CT.

    Attributes:
        isUsed: Whether fine-tuning learns from it.
        target: The structure that the slices show.
        first: First slice that shows it, or -1 if the user has not said.
        last: Last slice that shows it, or -1.
    """

    isUsed: bool = False
    target: str = ""
    first: int = -1
    last: int = -1

    def shows(self, target: str) -> tuple[int, int] | None:
        """First and last slice that show a structure; None if the user has not said so of this structure."""
        return (self.first, self.last) if self.target == target and 0 <= self.first <= self.last else None


def readChoice(volumeNode: Any) -> UnlabelledChoice:
    """What is noted on a volume; a damaged note is ignored."""
    try:
        saved = json.loads(volumeNode.GetAttribute(_ATTRIBUTE) or "{}")
        choice = UnlabelledChoice(**saved)
    except (ValueError, TypeError):
        return UnlabelledChoice()
    kinds = {"isUsed": bool, "target": str, "first": int, "last": int}
    return choice if all(type(getattr(choice, name)) is kind for name, kind in kinds.items()) else UnlabelledChoice()


def writeChoice(volumeNode: Any, choice: UnlabelledChoice) -> None:
    """Notes it on a volume."""
    volumeNode.SetAttribute(_ATTRIBUTE, json.dumps(asdict(choice)))


def volumeNodes() -> list[Any]:
    """The volumes of the scene that may be CTs: no labelmaps, colour images or activation maps, and nothing hidden."""
    overlays = overlayNodes()
    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors() and node not in overlays
    ]
