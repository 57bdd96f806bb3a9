"""Starts a structure that no model knows yet, so that a new model can learn it from drawings."""

from __future__ import annotations

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.workspace import Workspace


class NewStructure:
    """Starts another structure on the selected volume.

    Args:
        workspace: State shared by the logics.
        actions: The actions in progress.
    """

    def __init__(self, workspace: Workspace, actions: Actions) -> None:
        self._workspace = workspace
        self._actions = actions

    def start(self, name: str) -> None:
        """Creates an empty segment in a new segmentation; the previous one stays as it is.

        Args:
            name: Name of the structure, such as "right kidney".

        Raises:
            InputError: The name is empty, no volume is selected, or something is being computed.
        """
        name = " ".join(name.split())
        if not name:
            raise InputError(_("Enter the name of the structure first, for example: right kidney."))
        if self._actions.isBusy:
            raise InputError(_("Something is being computed. Wait for it, or cancel it first."))
        workspace = self._workspace
        case = workspace.prepareCase()
        workspace.update(newTarget=name, newModel="-".join(name.lower().split()))
        case.target = name
        before = {index: state for index, state in case.states.items() if state != SliceState(index)}
        case.useSegmentation(None, isNew=True)
        case.setStates([SliceState(index) for index in before])
        case.undo.clear()
        case.save()
        workspace.caseChanged.emit(case)
        workspace.showMessage(
            _("Draw {name} on a few slices in the Segment Editor. They are saved for fine-tuning.").format(name=name)
        )
