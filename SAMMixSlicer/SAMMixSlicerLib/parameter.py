"""The user's settings in the panel, typed and saved in a parameter node."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from sammix_core.model_store.organs import DEFAULT_MODEL

DEVICES = ("auto", "cpu", "cuda")
_ATTRIBUTE = "SAMMix.Parameter"
VOLUME = "SAMMix.InputVolume"


@dataclass(frozen=True)
class Parameter:
    """The user's settings in the panel.

    Attributes:
        model: The model to use: "liver" for the active version, or "liver/1.0.0".
        device: "auto", "cpu" or "cuda".
        baseWeights: A local file with the base model's weights, or "" for the installed ones.
        showMap: Whether to show the class activation map.
        mapOpacity: Opacity of the map, from 0 to 1.
        showBoxes: Whether to show the boxes and clicks of the slice in view.
        showFill: Whether to fill the mask.
        showOutline: Whether to outline the mask.
        carryByItself: Whether each correction of a slice is carried to its neighbours at once.
        keepCorrections: Whether to save corrected slices to disk for fine-tuning.
        newTarget: A structure that no model knows yet and that the user draws, or "".
        newModel: Name of the next fine-tuned model.
        checkFolder: A folder of cases on which every fine-tuned model is checked, or "".
        unlabelledFolders: Folders of CTs without labels that fine-tuning learns from, too.

    Example:
        >>> Parameter(device="abacus").isValid()
        (False, 'There is no device abacus. Choose auto, cpu or cuda.')
    """

    model: str = DEFAULT_MODEL
    device: str = "auto"
    baseWeights: str = ""
    showMap: bool = False
    mapOpacity: float = 0.4
    showBoxes: bool = True
    showFill: bool = True
    showOutline: bool = True
    carryByItself: bool = False
    keepCorrections: bool = True
    newTarget: str = ""
    newModel: str = "my-liver"
    checkFolder: str = ""
    unlabelledFolders: tuple[str, ...] = ()

    def isValid(self) -> tuple[bool, str]:
        """Whether the settings are valid, and if not, why, in a sentence."""
        if not self.model:
            return False, _("Select what to segment.")
        if self.device not in DEVICES:
            return False, _("There is no device {device}. Choose auto, cpu or cuda.").format(device=self.device)
        if self.baseWeights and not Path(self.baseWeights).is_file():
            return False, _("The weights file {path} does not exist.").format(path=self.baseWeights)
        if not 0 <= self.mapOpacity <= 1:
            return False, _("The opacity must lie between 0 and 1.")
        return True, ""


class ParameterNode:
    """The settings, saved with the scene in a plain `vtkMRMLScriptedModuleNode`.

    Args:
        node: The module's singleton parameter node.
    """

    def __init__(self, node: Any) -> None:
        self.node = node

    def read(self) -> Parameter:
        """Reads the settings; missing values and values of the wrong type become the defaults."""
        try:
            saved = json.loads(self.node.GetAttribute(_ATTRIBUTE) or "{}")
        except ValueError:
            saved = {}
        values: dict[str, Any] = {}
        for field in fields(Parameter):
            value = saved.get(field.name) if isinstance(saved, dict) else None
            if isinstance(field.default, tuple) and isinstance(value, list):
                value = tuple(item for item in value if isinstance(item, str))
            if type(value) is type(field.default):
                values[field.name] = value
        return Parameter(**values)

    def write(self, parameter: Parameter) -> None:
        """Writes the settings into the node."""
        text = json.dumps(asdict(parameter))
        if self.node.GetAttribute(_ATTRIBUTE) != text:
            self.node.SetAttribute(_ATTRIBUTE, text)

    def update(self, **changes: Any) -> Parameter:
        """Changes some settings, and returns the result."""
        parameter = replace(self.read(), **changes)
        self.write(parameter)
        return parameter

    @property
    def volumeNode(self) -> Any:
        """The selected CT, or None."""
        return self.node.GetNodeReference(VOLUME)

    @volumeNode.setter
    def volumeNode(self, volumeNode: Any) -> None:
        self.node.SetNodeReferenceID(VOLUME, volumeNode.GetID() if volumeNode is not None else None)
