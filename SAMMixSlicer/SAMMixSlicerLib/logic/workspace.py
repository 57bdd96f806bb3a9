"""State shared by all parts of the panel: parameter, current case, slice views, status line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.model_store.organs import DEFAULT_ORGAN
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.cases import Cases
from SAMMixSlicerLib.parameter import Parameter, ParameterNode
from SAMMixSlicerLib.scene.geometry import checkIsCt, takeValuesAsHu
from SAMMixSlicerLib.scene.scene_changes import SceneChanges
from SAMMixSlicerLib.scene.slice_views import SliceViews
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished, Outcome, ProcessDied, Worker
from SAMMixSlicerLib.worker.commands import LoadModel

_log = logging.getLogger("SAMMixSlicerLib")
WINDOW_WIDTH, WINDOW_LEVEL = 400.0, 40.0  # HU, for the abdomen


class Workspace:
    """The state shared by the logics.

    Args:
        worker: The computing process.
        parameterNodeSource: Returns the module's parameter node; called each time, since closing the scene replaces it.

    Attributes:
        caseChanged: Emits (case or None) when the current case changes, or the scene was replaced.
        choiceChanged: Emits when the node selectors must show the current choice again.
        parameterChanged: Emits (parameter).
        messageShown: Emits (sentence, isError) for the status line.
        modelTarget: The structure that the current model segments.
    """

    def __init__(self, worker: Worker, parameterNodeSource: Callable[[], Any]) -> None:
        self.caseChanged = Signal()
        self.choiceChanged = Signal()
        self.parameterChanged = Signal()
        self.messageShown = Signal()
        self.worker = worker
        self.views = SliceViews()
        self.sceneChanges = SceneChanges()
        self.cases = Cases(worker, self.sceneChanges)
        self._parameterNodeSource = parameterNodeSource
        self._case: Case | None = None
        self.modelTarget = DEFAULT_ORGAN.name
        self._loadedModel: tuple[str, str, str] | None = None
        self._segmentationChoice: Any = None
        self._wantsNewSegmentation = False
        self.cases.removed.connect(self._onCaseRemoved)
        self.cases.reloaded.connect(self.restore)
        self.sceneChanges.nodeRemoved.connect(self._onNodeRemoved)
        self.cases.failed.connect(lambda sentence: self.showMessage(sentence, isError=True))
        worker.on(ProcessDied).connect(self._onDied)
        worker.on(Finished).connect(self._onFinished)

    @property
    def parameterNode(self) -> ParameterNode:
        """The parameter node of the scene."""
        return ParameterNode(self._parameterNodeSource())

    @property
    def parameter(self) -> Parameter:
        """The user's settings."""
        return self.parameterNode.read()

    def update(self, **changes: Any) -> None:
        """Changes fields of the parameter."""
        before = self.parameter
        after = self.parameterNode.update(**changes)
        if after != before:
            self.parameterChanged.emit(after)

    @property
    def case(self) -> Case | None:
        """The current case; None before the first action on the selected volume."""
        return self._case

    @property
    def volumeNode(self) -> Any:
        """The selected CT, or None."""
        return self.parameterNode.volumeNode

    @property
    def target(self) -> str:
        """The structure that is segmented: one drawn for a new model, else that of the current model."""
        return self.parameter.newTarget or (self._case.target if self._case is not None else self.modelTarget)

    def forgetModel(self) -> None:
        """Loads the model again with the next action, because another version is active now."""
        self._loadedModel = None

    @property
    def segmentationNode(self) -> Any:
        """The output segmentation of the next action, or None for a new one."""
        if self._segmentationChoice is not None or self._wantsNewSegmentation:
            return self._segmentationChoice
        return None if self._case is None else self._case.segmentationNode

    def chooseVolume(self, volumeNode: Any) -> None:
        """Selects another volume, and shows its case if there is one; other cases stay as they are."""
        case = None if volumeNode is None else self.cases.find(volumeNode.GetID())
        if volumeNode is self.volumeNode and case is self._case:
            return  # selectors emit their node again when a row above it goes, or when it is renamed
        self.parameterNode.volumeNode = volumeNode
        self._segmentationChoice, self._wantsNewSegmentation = None, False
        self._setCase(case)
        if case is not None:
            self._show(case)

    def chooseSegmentation(self, segmentationNode: Any) -> None:
        """Selects the output segmentation for the next action; None for a new one."""
        if segmentationNode is self.segmentationNode:
            return
        self._segmentationChoice, self._wantsNewSegmentation = segmentationNode, segmentationNode is None

    def prepareCase(self) -> Case:
        """Returns the case of the selected volume, with a segment, a model, and the volume open in the worker.

        Raises:
            InputError: Something is missing or cannot be used; the sentence says what.
        """
        valid, reason = self.parameter.isValid()
        if not valid:
            raise InputError(reason)
        volumeNode = self.volumeNode
        if volumeNode is None:
            raise InputError(_("Select a CT volume first."))
        if self.cases.find(volumeNode.GetID()) is None:
            checkIsCt(volumeNode)
        case = self.cases.getOrCreate(volumeNode)
        self._loadModel()
        case.open()
        case.useSegmentation(self._segmentationChoice, self._wantsNewSegmentation)
        isOther, self._wantsNewSegmentation = case is not self._case or self._wantsNewSegmentation, False
        if isOther:
            self._setCase(case)
            setAbdomenWindow(volumeNode)
            self._show(case)
        return case

    def startOver(self) -> None:
        """Drops the case of the selected volume, whose voxels have become others."""
        self.cases.discard(self.volumeNode)

    def takeValuesAsHu(self) -> None:
        """Takes the values of the selected volume as Hounsfield units, whatever they look like."""
        takeValuesAsHu(self.volumeNode)

    def _show(self, case: Case) -> None:
        """Shows the case's slices in the views: the slice in view, or the middle one."""
        self.views.jumpTo(self.views.current if self.views.current is not None else case.sliceCount // 2)

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Calls an action of the user, and shows an `InputError` in the status line.

        Returns:
            What the action returned; None after an error.
        """
        try:
            return action()
        except InputError as error:
            self.showMessage(str(error), isError=True)
            return None

    def showMessage(self, sentence: str, isError: bool = False) -> None:
        """Shows a sentence in the status line."""
        if isError:
            _log.warning("SAMMix: %s", sentence)
        self.messageShown.emit(sentence, isError)

    def teardown(self) -> None:
        """Saves everything into the scene, and stops observing it."""
        self._case = None
        self.views.follow(None, "k")
        self.sceneChanges.teardown()
        self.cases.teardown()

    def _loadModel(self) -> None:
        parameter = self.parameter
        selected = (parameter.model, parameter.device, parameter.baseWeights)
        if selected == self._loadedModel:
            return
        self.worker.submit(LoadModel(parameter.model, parameter.device, parameter.baseWeights or None))
        self._loadedModel = selected
        for case in self.cases.all():
            case.close()  # their sessions belong to the previous model

    def _setCase(self, case: Case | None) -> None:
        self._case = case
        if case is None:
            self.views.follow(None, "k")
        else:
            self.views.follow(case.volumeNode, case.sliceAxis)
        self.caseChanged.emit(case)

    def _onCaseRemoved(self, case: Case) -> None:
        if case is self._case:
            self._setCase(None)

    def restore(self) -> None:
        """Restores the state from the scene: at the start, and after a scene was closed or loaded."""
        self._segmentationChoice, self._wantsNewSegmentation = None, False
        self.parameterChanged.emit(self.parameter)
        volumeNode = self.volumeNode
        self._setCase(None if volumeNode is None else self.cases.find(volumeNode.GetID()))
        self.choiceChanged.emit()

    def _onNodeRemoved(self, node: Any) -> None:
        """Replaces a removed node by no node; Slicer's selectors would choose its neighbour."""
        if not node.IsA("vtkMRMLScalarVolumeNode") and not node.IsA("vtkMRMLSegmentationNode"):
            return
        if node is self._segmentationChoice:
            self._segmentationChoice = None
        if node is self.volumeNode:  # Slicer removes references to it after this event
            self.parameterNode.volumeNode = None
        self.choiceChanged.emit()

    def _onFinished(self, event: Finished) -> None:
        if event.command == "LoadModel" and event.outcome is not Outcome.DONE:
            self._loadedModel = None  # the next action tries again
        if event.detail:
            _log.error("SAMMix: %s\n%s", event.sentence, event.detail)

    def _onDied(self, event: ProcessDied) -> None:
        _log.error("SAMMix: %s\n%s", event.sentence, event.detail)
        self.showMessage(event.sentence, isError=True)

    @property
    def isSceneBusy(self) -> bool:
        """Whether the scene is being closed or loaded, so that selectors change without the user."""
        return bool(slicer.mrmlScene.IsClosing() or slicer.mrmlScene.IsImporting())


def setAbdomenWindow(volumeNode: Any) -> bool:
    """Sets the display window 400/40 HU, unless the user has set a window already.

    Returns:
        Whether it was set.
    """
    volumeNode.CreateDefaultDisplayNodes()
    display = volumeNode.GetScalarVolumeDisplayNode()
    if display is None or not display.GetAutoWindowLevel():
        return False
    display.AutoWindowLevelOff()
    display.SetWindowLevel(WINDOW_WIDTH, WINDOW_LEVEL)
    return True
