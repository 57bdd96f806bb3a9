"""Installs required packages when the user asks for it: torch through the PyTorch extension first, then the rest.

Nothing here runs at import or at the module's setup.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from SAMMixSlicerLib.signals import Signal

_log = logging.getLogger("SAMMixSlicerLib")
TORCH_REQUIREMENT, TORCHVISION_REQUIREMENT = ">=2.4,!=2.13.0", ">=0.19"
REQUESTER = "SAMMix"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


class InstallLogic:
    """Finds missing packages and installs them.

    Args:
        requirementsFile: `Resources/requirements.txt`.
        installed: Returns whether a distribution is installed; replaced in tests.

    Attributes:
        progressed: Emits (sentence, step, steps).
        finished: Emits (isInstalled, sentence).
    """

    def __init__(self, requirementsFile: Path, installed: Callable[[str], bool] | None = None) -> None:
        self.progressed = Signal()
        self.finished = Signal()
        self._file = requirementsFile
        self._installed = installed or _isInstalled
        self._isComplete = False

    def requirements(self) -> list[str]:
        """The lines of the requirements file, without comments."""
        lines = (line.split("#")[0].strip() for line in self._file.read_text(encoding="utf-8").splitlines())
        return [line for line in lines if line]

    def missing(self) -> list[str]:
        """Required distributions that are not installed, torch first."""
        if self._isComplete:
            return []
        names = ["torch", "torchvision", *(_NAME.match(line)[0] for line in self._requiredLines())]  # type: ignore[index]
        missing = [name for name in names if not self._installed(name)]
        self._isComplete = not missing  # called often, and a check takes 10 ms
        return missing

    def explanation(self) -> str:
        """Sentence for the panel: what would be installed, its size and source."""
        if not self.missing():
            return ""
        torch = "torch" in self.missing()
        size = _("0.3 GB, with an NVIDIA GPU up to 3 GB") if torch else _("about 0.2 GB")
        return _(
            "SAMMix needs Python packages that are not installed yet: {names}. "
            "Press Install to download them from the Python package index ({size})."
        ).format(names=", ".join(self.missing()), size=size)

    def install(self) -> bool:
        """Installs the missing packages.

        Returns:
            Whether everything is installed now; `finished` emits the sentence.
        """
        steps = [(_("Installing PyTorch…"), self._installTorch), (_("Installing the rest…"), self._installRest)]
        for number, (text, step) in enumerate(steps):
            self.progressed.emit(text, number, len(steps))
            try:
                refusal = step()
            except Exception as error:  # pip, the network and other extensions fail in many ways
                _log.exception("SAMMix: installation failed")
                refusal = _("The installation failed ({error}); the Python console has the details.").format(
                    error=str(error).splitlines()[0] if str(error) else type(error).__name__
                )
            if refusal:
                self.finished.emit(False, refusal)
                return False
        importlib.invalidate_caches()
        missing = self.missing()
        sentence = _("These packages are still missing: {names}.").format(names=", ".join(missing)) if missing else ""
        self.finished.emit(not missing, sentence or _("Everything is installed."))
        return not missing

    def _requiredLines(self) -> list[str]:
        return [line for line in self.requirements() if _NAME.match(line) and _appliesHere(line)]

    def _installTorch(self) -> str:
        if self._installed("torch") and self._installed("torchvision"):
            return ""
        try:
            utils = importlib.import_module("PyTorchUtils")
        except ImportError:
            return _(
                "Install the PyTorch extension in Slicer's Extensions Manager, restart Slicer, and press Install again."
            )
        torch = utils.PyTorchUtilsLogic().installTorch(
            askConfirmation=False,
            torchVersionRequirement=TORCH_REQUIREMENT,
            torchvisionVersionRequirement=TORCHVISION_REQUIREMENT,
        )
        return "" if torch is not None else _("PyTorch was not installed.")

    def _installRest(self) -> str:
        packaging = _slicerPackaging()
        if packaging is not None:
            # The user has pressed Install already; do not ask again.
            packaging.pip_ensure(
                packaging.load_requirements(str(self._file)), requester=REQUESTER, prompt_install=False
            )
        else:
            slicer.util.pip_install(["-r", str(self._file)])
        return ""


def _slicerPackaging() -> Any:
    """`slicer.packaging` where it can ensure requirements (Slicer 5.11 and later), else None."""
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ImportError:
        return None
    return packaging if hasattr(packaging, "pip_ensure") else None


def _isInstalled(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)  # `version` would parse all its metadata
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _appliesHere(line: str) -> bool:
    """Whether a requirement's marker, after the semicolon, is true on this machine."""
    _before, _semicolon, marker = line.partition(";")
    if not marker.strip():
        return True
    try:
        from packaging.markers import Marker
    except ImportError:
        return False  # pip evaluates markers itself; do not report optional packages as missing
    return Marker(marker.strip()).evaluate()
