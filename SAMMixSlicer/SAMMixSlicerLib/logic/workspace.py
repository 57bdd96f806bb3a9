"""What all parts of the panel share: the parameter, the case in work, the slice views, the status line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from sammix_core.errors import InputError
from SAMMixSlicerLib.logic.case import Case
from SAMMixSlicerLib.logic.cases import Cases
from SAMMixSlicerLib.parameter import Parameter, ParameterNode
from SAMMixSlicerLib.scene.geometry import checkIsCt
from SAMMixSlicerLib.scene.scene_changes import SceneChanges
from SAMMixSlicerLib.scene.slice_views import SliceViews
from SAMMixSlicerLib.scene.window_level import setAbdomenWindow
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import Finished, Outcome, Worker


class Workspace:
    """The state that the logics share.

    Args:
        worker: Computes.
        parameterNodeSource: Gives the module's parameter node; asked again after the scene was closed.

    Attributes:
        caseChanged: Emits (case or None) when another volume is worked on, or another scene.
        choiceChanged: Emits when the node selectors have to show again what is chosen.
        parameterChanged: Emits (parameter).
        said: Emits (sentence, isError) for the status line.
        modelTarget: What the model in use segments.
    """

    def __init__(self, worker: Worker, parameterNodeSource: Callable[[], Any]) -> None:
        self.caseChanged = Signal()
        self.choiceChanged = Signal()
        self.parameterChanged = Signal()
        self.said = Signal()
        self.worker = worker
        self.views = SliceViews()
        self.sceneChanges = SceneChanges()
        self.cases = Cases(worker, self.sceneChanges)
        self._parameterNodeSource = parameterNodeSource
        self._case: Case | None = None
        self.modelTarget = "liver"
        self._loadedModel: tuple[str, str, str] | None = None
        self._segmentationChoice: Any = None
        self._wantsNew = False
        self.cases.removed.connect(self._onCaseRemoved)
        self.cases.reloaded.connect(self._onSceneReplaced)
        self.sceneChanges.nodeRemoved.connect(self._onNodeRemoved)
        self.cases.failed.connect(lambda sentence: self.say(sentence, isError=True))
        worker.died.connect(self._onDied)
        worker.finished.connect(self._onFinished)

    @property
    def parameterNode(self) -> ParameterNode:
        """The parameter node of the scene."""
        return ParameterNode(self._parameterNodeSource())

    @property
    def parameter(self) -> Parameter:
        """What the user has set."""
        return self.parameterNode.read()

    def update(self, **changes: Any) -> None:
        """Changes fields of the parameter."""
        before = self.parameter
        now = self.parameterNode.update(**changes)
        if now != before:
            self.parameterChanged.emit(now)

    @property
    def case(self) -> Case | None:
        """The case in work; None before anything was done with the chosen volume."""
        return self._case

    @property
    def volumeNode(self) -> Any:
        """The chosen CT, or None."""
        return self.parameterNode.volumeNode

    @property
    def target(self) -> str:
        """What is segmented: the structure that is being drawn for a new model, else that of the model in use."""
        return self.parameter.newTarget or (self._case.target if self._case is not None else self.modelTarget)

    def forgetModel(self) -> None:
        """Has the model loaded again with the next action: its name means another version now."""
        self._loadedModel = None

    @property
    def segmentationNode(self) -> Any:
        """Where the masks go from the next action on, or None for a new one."""
        if self._segmentationChoice is not None or self._wantsNew:
            return self._segmentationChoice
        return None if self._case is None else self._case.segmentationNode

    def chooseVolume(self, volumeNode: Any) -> None:
        """Works on another volume, and shows it if work on it has begun; what was done on the one before stays."""
        case = None if volumeNode is None else self.cases.find(volumeNode.GetID())
        if volumeNode is self.volumeNode and case is self._case:
            return  # selectors name a node again when others go, or when it has another name
        self.parameterNode.volumeNode = volumeNode
        self._segmentationChoice, self._wantsNew = None, False
        self._take(case)
        if case is not None:
            self._show(case)

    def chooseSegmentation(self, segmentationNode: Any) -> None:
        """Sets where the masks go from the next action on; None for a new one."""
        if segmentationNode is self.segmentationNode:
            return
        self._segmentationChoice, self._wantsNew = segmentationNode, segmentationNode is None

    def readyCase(self) -> Case:
        """The case of the chosen volume with all that computing needs: a segment, a model, the volume in the worker.

        Raises:
            InputError: Something is missing or cannot be used; the sentence says what.
        """
        valid, reason = self.parameter.isValid()
        if not valid:
            raise InputError(reason)
        volumeNode = self.volumeNode
        if volumeNode is None:
            raise InputError(_("Choose a CT volume first."))
        if self.cases.find(volumeNode.GetID()) is None:
            checkIsCt(volumeNode)
        case = self.cases.of(volumeNode)
        self._loadModel()
        case.open()
        case.useSegmentation(self._segmentationChoice, self._wantsNew)
        isOther, self._wantsNew = case is not self._case or self._wantsNew, False
        if isOther:
            self._take(case)
            setAbdomenWindow(volumeNode)
            self._show(case)
        return case

    def _show(self, case: Case) -> None:
        """Has the views show the case's slices: the one in view, or the middle one."""
        self.views.jumpTo(self.views.current if self.views.current is not None else case.sliceCount // 2)

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Does something that the user asked for; a refusal becomes a sentence in the status line.

        Returns:
            What the action returned; None where it was refused.
        """
        try:
            return action()
        except InputError as error:
            self.say(str(error), isError=True)
            return None

    def say(self, sentence: str, isError: bool = False) -> None:
        """Shows a sentence in the status line."""
        if isError:
            logging.warning("SAMMix: %s", sentence)
        self.said.emit(sentence, isError)

    def giveUp(self) -> None:
        """Saves everything into the scene and stops listening to it."""
        self._case = None
        self.views.follow(None, "k")
        self.sceneChanges.teardown()
        self.cases.giveUp()

    def _loadModel(self) -> None:
        parameter = self.parameter
        wanted = (parameter.model, parameter.device, parameter.baseWeights)
        if wanted == self._loadedModel:
            return
        self.worker.loadModel(parameter.model, device=parameter.device, baseWeights=parameter.baseWeights or None)
        self._loadedModel = wanted
        for case in self.cases.all():
            case.close()  # sessions belong to the model before

    def _take(self, case: Case | None) -> None:
        self._case = case
        if case is None:
            self.views.follow(None, "k")
        else:
            self.views.follow(case.volumeNode, case.sliceAxis)
        self.caseChanged.emit(case)

    def _onCaseRemoved(self, case: Case) -> None:
        if case is self._case:
            self._take(None)

    def takeUp(self) -> None:
        """Goes on with what the scene holds: at the start, and after a scene was loaded."""
        self.parameterChanged.emit(self.parameter)
        volumeNode = self.volumeNode
        case = None if volumeNode is None else self.cases.find(volumeNode.GetID())
        if case is not self._case:
            self._take(case)

    def _onSceneReplaced(self) -> None:
        """Shows what the scene holds after it was closed or loaded: no choice of the scene before is one in this."""
        self._segmentationChoice, self._wantsNew = None, False
        self.parameterChanged.emit(self.parameter)
        volumeNode = self.volumeNode
        self._take(None if volumeNode is None else self.cases.find(volumeNode.GetID()))
        self.choiceChanged.emit()

    def _onNodeRemoved(self, node: Any) -> None:
        """A node that was chosen is replaced by none; Slicer's selectors take its neighbour."""
        if not node.IsA("vtkMRMLScalarVolumeNode") and not node.IsA("vtkMRMLSegmentationNode"):
            return
        if node is self._segmentationChoice:
            self._segmentationChoice = None
        if node is self.volumeNode:  # its references go after this event
            self.parameterNode.volumeNode = None
        self.choiceChanged.emit()

    def _onFinished(self, event: Finished) -> None:
        if event.command == "LoadModel" and event.outcome is not Outcome.DONE:
            self._loadedModel = None  # tried again with the next action
        if event.detail:
            logging.error("SAMMix: %s\n%s", event.sentence, event.detail)

    def _onDied(self, sentence: str, detail: str) -> None:
        logging.error("SAMMix: %s\n%s", sentence, detail)
        self.say(sentence, isError=True)

    @property
    def isSceneBusy(self) -> bool:
        """Whether the scene is being closed or loaded, when selectors say what no user chose."""
        return bool(slicer.mrmlScene.IsClosing() or slicer.mrmlScene.IsImporting())
