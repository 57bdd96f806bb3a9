"""Section "Input": volume, segmentation, target and device; installs missing packages."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from sammix_core.model_store.organs import DEFAULT_MODEL, DEFAULT_ORGAN
from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.parameter import Parameter
from SAMMixSlicerLib.scene.cam_overlay import overlayNodes
from SAMMixSlicerLib.worker import Description, ModelInfo, ModelLoaded
from SAMMixSlicerLib.worker.commands import Describe


class InputSection:
    """Volume, segmentation, target and device.

    Args:
        ui: The panel's widgets by name.
        workspace: State shared by the logics.
        installLogic: Installs missing packages.
    """

    def __init__(self, ui: Any, workspace: Workspace, installLogic: InstallLogic) -> None:
        self._ui = ui
        self._workspace = workspace
        self._install = installLogic
        self._targets: list[str] = []
        self._devices: list[str] = []
        self._isFilling = False
        self._panel = ui.inputSection.parent()
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onVolume)
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onSegmentation)
        ui.targetBox.connect("activated(int)", lambda index: workspace.update(model=self._targets[index], newTarget=""))
        ui.deviceBox.connect("activated(int)", lambda index: workspace.update(device=self._devices[index]))
        ui.installButton.connect("clicked()", self._onInstall)
        workspace.worker.on(Description).connect(self._onDescribed)
        workspace.worker.on(ModelLoaded).connect(self._onModelLoaded)
        workspace.caseChanged.connect(lambda _case: self._showChoice())
        workspace.choiceChanged.connect(self._showChoice)
        workspace.parameterChanged.connect(self._onParameter)
        installLogic.progressed.connect(self._onInstallProgress)
        installLogic.finished.connect(self._onInstallFinished)
        self._setTargets([(DEFAULT_MODEL, _(DEFAULT_ORGAN.title))])
        self._setDevices([("auto", _("Automatic")), ("cpu", _("CPU"))])
        self.refresh()

    def refresh(self) -> None:
        """Shows the current selection and missing packages."""
        explanation = self._install.explanation()
        self._ui.installFrame.setVisible(bool(explanation))
        self._ui.installLabel.setText(explanation)
        self._showChoice()
        self._onParameter(self._workspace.parameter)

    def _setTargets(self, targets: list[tuple[str, str]]) -> None:
        self._targets = [name for name, _title in targets]
        self._ui.targetBox.clear()
        self._ui.targetBox.addItems([title for _name, title in targets])
        self._onParameter(self._workspace.parameter)

    def _setDevices(self, devices: list[tuple[str, str]]) -> None:
        self._devices = [name for name, _title in devices]
        self._ui.deviceBox.clear()
        self._ui.deviceBox.addItems([title for _name, title in devices])
        self._onParameter(self._workspace.parameter)

    def _onParameter(self, parameter: Parameter) -> None:
        for box, names, value in (
            (self._ui.targetBox, self._targets, parameter.model),
            (self._ui.deviceBox, self._devices, parameter.device),
        ):
            if value in names:
                box.setCurrentIndex(names.index(value))

    def _onVolume(self, node: Any) -> None:
        if not self._isFilling and not self._workspace.sceneChanges.isBusy:
            self._workspace.chooseVolume(node)

    def _onSegmentation(self, node: Any) -> None:
        if not self._isFilling and not self._workspace.sceneChanges.isBusy:
            self._workspace.chooseSegmentation(node)

    def _showChoice(self) -> None:
        """Sets the selectors to the current choice; Slicer changes them without the user."""
        self._isFilling = True
        self._ui.volumeSelector.sortFilterProxyModel().hiddenNodeIDs = [node.GetID() for node in overlayNodes()]
        self._ui.volumeSelector.setCurrentNode(self._workspace.volumeNode)
        self._ui.segmentationSelector.setCurrentNode(self._workspace.segmentationNode)
        self._isFilling = False

    def _onDescribed(self, event: Description) -> None:
        # One entry for each target, with the name of the active version, so that a saved scene uses the version that is
        # active when it is loaded.
        models: dict[str, ModelInfo] = {}
        for model in event.models:
            if model.target not in models or (model.in_use and not models[model.target].in_use):
                models[model.target] = model
        self._setTargets(
            [(_nameOf(model), f"{target.capitalize()} ({model.spec})") for target, model in sorted(models.items())]
            or [(DEFAULT_MODEL, _(DEFAULT_ORGAN.title))]
        )
        devices = [(device.name, device.title) for device in event.devices]
        bestDevice = devices[0][1] if devices else _("CPU")
        self._setDevices([("auto", _("Automatic ({device})").format(device=bestDevice)), *devices])
        self._ui.detectedLabel.setText(" ".join(event.faults))
        self._ui.detectedLabel.setVisible(bool(event.faults))

    def _onModelLoaded(self, event: ModelLoaded) -> None:
        self._ui.detectedLabel.setText(
            _("Using {spec} on {device} ({engine}).").format(
                spec=event.spec, device=event.device.upper(), engine=event.engine
            )
        )
        self._ui.detectedLabel.setVisible(True)

    def _onInstall(self) -> None:
        # Slicer 5.10 handles events while pip runs, so every enabled button could be pressed.
        self._panel.setEnabled(False)
        self._ui.installProgress.setVisible(True)
        try:
            self._install.install()
        finally:
            self._panel.setEnabled(True)

    def _onInstallProgress(self, sentence: str, step: int, steps: int) -> None:
        self._ui.installProgress.setRange(0, steps)
        self._ui.installProgress.setValue(step)
        self._ui.installLabel.setText(sentence)
        slicer.app.processEvents()  # paint it before pip blocks

    def _onInstallFinished(self, isInstalled: bool, sentence: str) -> None:
        self._ui.installProgress.setVisible(False)
        self.refresh()
        self._workspace.showMessage(sentence, isError=not isInstalled)
        if isInstalled:
            self._workspace.worker.restart()
            self._workspace.worker.submit(Describe())


def _nameOf(model: ModelInfo) -> str:
    """The name that selects this version: its target's name if it is active, else its own."""
    from sammix_core.model_store.activation import default_name

    return default_name(model.target) if model.in_use else model.spec.split("/")[0]
