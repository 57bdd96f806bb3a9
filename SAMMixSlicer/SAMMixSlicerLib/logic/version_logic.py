"""Versions of the model of a target: which there are, which one is in use, and going from one to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from SAMMixSlicerLib.logic.install_logic import InstallLogic
from SAMMixSlicerLib.logic.workspace import Workspace
from SAMMixSlicerLib.signals import Signal

if TYPE_CHECKING:
    from sammix_core.model_store import ModelFolder


class VersionLogic:
    """The versions in the model store.

    Args:
        workspace: What the logics share.
        install: Knows whether the core can be used.

    Attributes:
        changed: Emits when another version is in use.
    """

    def __init__(self, workspace: Workspace, install: InstallLogic) -> None:
        self.changed = Signal()
        self._workspace = workspace
        self._install = install

    def versions(self, target: str) -> list[ModelFolder]:
        """The versions of a target, those of the user's own first."""
        if self._install.missing():
            return []
        from sammix_core.model_store import list_models

        found = [model for model in list_models() if model.manifest.segments and model.manifest.target == target]
        return sorted(found, key=lambda model: model.shipped)

    def inUse(self, target: str) -> str:
        """The full name of the version that a target means, or ""."""
        if self._install.missing():
            return ""
        from sammix_core.model_store import is_active

        return next((model.spec for model in self.versions(target) if is_active(model)), "")

    def warning(self, spec: str) -> str:
        """What speaks against a version: that it was found worse than the one it was made of; "" where nothing does."""
        from sammix_core.model_store import resolve

        metrics = resolve(spec).manifest.metrics
        found = metrics.get("finetuning") if isinstance(metrics, dict) else None
        return str(found.get("sentence", "")) if isinstance(found, dict) and found.get("verdict") == "worse" else ""

    def use(self, spec: str) -> None:
        """Makes a version the one that its target means; what is computed from now on is computed with it.

        Raises:
            InputError: There is no such version, or it cannot be used; what was in use stays in use.
        """
        from sammix_core.model_store import activate
        from sammix_core.model_store.activation import default_name

        model = activate(spec)
        self._workspace.update(model=default_name(model.manifest.target), newTarget="")
        self._workspace.forgetModel()
        self._workspace.worker.describe()
        self._workspace.say(_("{spec} is in use from now on.").format(spec=model.spec))
        self.changed.emit()
