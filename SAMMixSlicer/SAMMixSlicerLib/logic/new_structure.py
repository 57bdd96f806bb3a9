"""Drawing a structure that no model knows yet, so that a new model can learn it."""

from __future__ import annotations

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.segmentation.slice_state import SliceState
from SAMMixSlicerLib.logic.actions import Actions
from SAMMixSlicerLib.logic.workspace import Workspace


class NewStructure:
    """Begins with another structure on the chosen volume.

    Args:
        workspace: What the logics share.
        actions: What is on its way.
    """

    def __init__(self, workspace: Workspace, actions: Actions) -> None:
        self._workspace = workspace
        self._actions = actions

    def begin(self, name: str) -> None:
        """Makes an empty segment of that name in a segmentation of its own; the one before stays as it is.

        Args:
            name: Of the structure, such as "right kidney".

        Raises:
            InputError: The name is empty, no volume is chosen, or something is being computed.
        """
        name = " ".join(name.split())
        if not name:
            raise InputError(_("Name the structure first, such as right kidney."))
        if self._actions.isBusy:
            raise InputError(_("Something is being computed; wait for it or cancel it first."))
        workspace = self._workspace
        case = workspace.readyCase()
        workspace.update(newTarget=name, newModel="-".join(name.lower().split()))
        case.target = name
        before = {index: state for index, state in case.states.items() if state != SliceState(index)}
        case.useSegmentation(None, isNew=True)
        case.setStates([SliceState(index) for index in before])
        case.undo.forget()
        case.save()
        workspace.caseChanged.emit(case)
        workspace.say(
            _("Draw {name} on a few slices in the Segment Editor; they are kept to learn from.").format(name=name)
        )
