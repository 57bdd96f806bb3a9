"""Model versions of a target: lists them, and changes the version in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker.commands import Describe

if TYPE_CHECKING:
    from sammix_core.model_store import ModelFolder


class VersionLogic:
    """The model versions in the model store.

    Args:
        workspace: State shared by the logics.
        install: Knows whether the required packages are installed.

    Attributes:
        changed: Emits when another version was put into use.
    """

    def __init__(self, workspace: Workspace, install: InstallLogic) -> None:
        self.changed = Signal()
        self._workspace = workspace
        self._install = install

    def versions(self, target: str) -> list[ModelFolder]:
        """The versions of a target, the user's own first."""
        if self._install.missing():
            return []
        from sammix_core.model_store import list_models

        models = [model for model in list_models() if model.manifest.segments and model.manifest.target == target]
        return sorted(models, key=lambda model: model.shipped)

    def inUse(self, target: str) -> str:
        """The full name of the active version of a target, or ""."""
        if self._install.missing():
            return ""
        from sammix_core.model_store import is_active

        return next((model.spec for model in self.versions(target) if is_active(model)), "")

    def warning(self, spec: str) -> str:
        """A warning if fine-tuning has found the version worse than its parent; "" otherwise."""
        from sammix_core.model_store import resolve

        metrics = resolve(spec).manifest.metrics
        finetuning = metrics.get("finetuning") if isinstance(metrics, dict) else None
        if not isinstance(finetuning, dict) or finetuning.get("verdict") != "worse":
            return ""
        return str(finetuning.get("sentence", ""))

    def use(self, spec: str) -> None:
        """Makes a version the active one of its target; the next computation uses it.

        Raises:
            InputError: There is no such version, or it cannot be used; the active version stays.
        """
        from sammix_core.model_store import activate
        from sammix_core.model_store.activation import default_name

        model = activate(spec)
        self._workspace.update(model=default_name(model.manifest.target), newTarget="")
        self._workspace.forgetModel()
        self._workspace.worker.submit(Describe())
        self._workspace.showMessage(_("Now using {spec}.").format(spec=model.spec))
        self.changed.emit()
