"""Installs what computing needs, when the user asks for it: torch through the PyTorch extension first, then the rest.

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

TORCH_REQUIREMENT, TORCHVISION_REQUIREMENT = ">=2.4,!=2.13.0", ">=0.19"
REQUESTER = "SAMMix"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


class InstallLogic:
    """Knows what is missing and installs it.

    Args:
        requirementsFile: `Resources/requirements.txt`.
        installed: Whether a distribution of that name is installed; for tests.

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
        """Distributions that computing needs and that are not installed, torch first."""
        if self._isComplete:
            return []
        names = ["torch", "torchvision", *(_NAME.match(line)[0] for line in self._needed())]  # type: ignore[index]
        left = [name for name in names if not self._installed(name)]
        self._isComplete = not left  # asked many times, and looking takes 10 ms
        return left

    def explanation(self) -> str:
        """What would be installed, how large it is and from where, in words for the panel."""
        if not self.missing():
            return ""
        torch = "torch" in self.missing()
        size = _("0.3 GB, with an NVIDIA GPU up to 3 GB") if torch else _("about 0.2 GB")
        return _(
            "To compute, SAMMix needs Python packages that are not installed yet: {names}. "
            "They are downloaded from the Python package index ({size}) when you press Install, not before."
        ).format(names=", ".join(self.missing()), size=size)

    def install(self) -> bool:
        """Installs what is missing.

        Returns:
            Whether everything is there now; `finished` says it in words.
        """
        steps = [(_("Installing PyTorch…"), self._installTorch), (_("Installing the rest…"), self._installRest)]
        for number, (text, step) in enumerate(steps):
            self.progressed.emit(text, number, len(steps))
            try:
                refusal = step()
            except Exception as error:  # pip, the network and other extensions fail in many ways
                logging.exception("SAMMix: installation failed")
                refusal = _("The installation failed ({error}); the Python console has the details.").format(
                    error=str(error).splitlines()[0] if str(error) else type(error).__name__
                )
            if refusal:
                self.finished.emit(False, refusal)
                return False
        importlib.invalidate_caches()
        left = self.missing()
        sentence = _("These packages are still missing: {names}.").format(names=", ".join(left)) if left else ""
        self.finished.emit(not left, sentence or _("Everything is installed."))
        return not left

    def _needed(self) -> list[str]:
        return [line for line in self.requirements() if _NAME.match(line) and _appliesHere(line)]

    def _installTorch(self) -> str:
        if self._installed("torch") and self._installed("torchvision"):
            return ""
        try:
            utils = importlib.import_module("PyTorchUtils")
        except ImportError:
            return _(
                "Install the extension PyTorch with Slicer's Extensions Manager, restart it, and press Install again."
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
            # The user has pressed Install; a second question would say the same.
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
        importlib.metadata.distribution(name)  # `version` would read all that it says of itself
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
        return False  # pip evaluates it when it installs; what is optional is not called missing
    return Marker(marker.strip()).evaluate()
