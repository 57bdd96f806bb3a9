"""What the user sets in the panel, typed, and kept in a parameter node."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

DEVICES = ("auto", "cpu", "cuda")
_ATTRIBUTE = "SAMMix.Parameter"
VOLUME = "SAMMix.InputVolume"


@dataclass(frozen=True)
class Parameter:
    """What the user sets in the panel.

    Attributes:
        model: The model to use, "liver" for its newest version or "liver/1.0.0".
        device: "auto", "cpu" or "cuda".
        baseWeights: A local file with the base model's weights, or "" for the installed one.
        showMap: Whether the class activation map is shown.
        mapOpacity: Its opacity, from 0 to 1.
        showBoxes: Whether the box of the slice in view is shown.
        showFill: Whether the mask is filled.
        showOutline: Whether the mask has an outline.
        keepCorrections: Whether corrected slices are kept on disk to learn from.
        newTarget: A structure that no model knows yet and that slices are drawn for, or "".
        newModel: What the next fine-tuned model is called.
        checkFolder: A folder of cases that every fine-tuning is checked on, or "".

    Example:
        >>> Parameter(device="abacus").isValid()
        (False, 'There is no device abacus; choose auto, cpu or cuda.')
    """

    model: str = "liver"
    device: str = "auto"
    baseWeights: str = ""
    showMap: bool = False
    mapOpacity: float = 0.4
    showBoxes: bool = True
    showFill: bool = True
    showOutline: bool = True
    keepCorrections: bool = True
    newTarget: str = ""
    newModel: str = "my-liver"
    checkFolder: str = ""

    def isValid(self) -> tuple[bool, str]:
        """Whether one can compute with these, and if not, why, in a sentence."""
        if not self.model:
            return False, _("Choose what to segment.")
        if self.device not in DEVICES:
            return False, _("There is no device {device}; choose auto, cpu or cuda.").format(device=self.device)
        if self.baseWeights and not Path(self.baseWeights).is_file():
            return False, _("The weights file {path} is not there.").format(path=self.baseWeights)
        if not 0 <= self.mapOpacity <= 1:
            return False, _("The opacity must lie between 0 and 1.")
        return True, ""


class ParameterNode:
    """The parameter, saved with the scene in a plain `vtkMRMLScriptedModuleNode`.

    Args:
        node: The module's singleton parameter node.
    """

    def __init__(self, node: Any) -> None:
        self.node = node

    def read(self) -> Parameter:
        """The parameter; values that are missing, unknown or of another type are those of a new one."""
        try:
            saved = json.loads(self.node.GetAttribute(_ATTRIBUTE) or "{}")
        except ValueError:
            saved = {}
        known = {}
        for field in fields(Parameter):
            value = saved.get(field.name) if isinstance(saved, dict) else None
            if type(value) is type(field.default):
                known[field.name] = value
        return Parameter(**known)

    def write(self, parameter: Parameter) -> None:
        """Puts a parameter into the node."""
        text = json.dumps(asdict(parameter))
        if self.node.GetAttribute(_ATTRIBUTE) != text:
            self.node.SetAttribute(_ATTRIBUTE, text)

    def update(self, **changes: Any) -> Parameter:
        """Changes some fields, and returns the parameter as it is then."""
        parameter = replace(self.read(), **changes)
        self.write(parameter)
        return parameter

    @property
    def volumeNode(self) -> Any:
        """The CT that was chosen, or None."""
        return self.node.GetNodeReference(VOLUME)

    @volumeNode.setter
    def volumeNode(self, volumeNode: Any) -> None:
        self.node.SetNodeReferenceID(VOLUME, volumeNode.GetID() if volumeNode is not None else None)
