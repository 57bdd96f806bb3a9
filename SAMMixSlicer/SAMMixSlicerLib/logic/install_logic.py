"""Installs required packages when the user asks for it: torch through the PyTorch extension first, then the rest.

Nothing here runs at import or at the module's setup.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from SAMMixSlicerLib.signals import Signal

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_log = logging.getLogger("SAMMixSlicerLib")
TORCH_REQUIREMENT, TORCHVISION_REQUIREMENT = ">=2.4,!=2.13.0", ">=0.19"
REQUESTER = "SAMMix"
_TORCH = ("torch", "torchvision")
# Writes DICOM SEG. Slicer 5.10 brings pydicom 2.4.4, 5.12 pydicom 3.0.2 and highdicom 0.27.0.
_HIGHDICOM, _PYDICOM = "highdicom", "pydicom"
_PYDICOM_REQUIREMENT = ">=3.0.1"  # of highdicom


class InstallLogic:
    """Finds packages that are missing or have an unsuitable version, and installs them.

    Args:
        requirementsFile: `Resources/requirements.txt`.
        installedVersion: Returns the version of an installed distribution, or None; replaced in tests.

    Attributes:
        progressed: Emits (sentence, step, steps).
        finished: Emits (isInstalled, sentence).
    """

    def __init__(self, requirementsFile: Path, installedVersion: Callable[[str], str | None] | None = None) -> None:
        self.progressed = Signal()
        self.finished = Signal()
        self._file = requirementsFile
        self._version = installedVersion or _installedVersion
        self._satisfied: set[str] = set()

    def requirements(self) -> list[str]:
        """The lines of the requirements file, without comments."""
        lines = (line.split("#")[0].strip() for line in self._file.read_text(encoding="utf-8").splitlines())
        return [line for line in lines if line]

    def missing(self) -> list[str]:
        """Required distributions that are not installed in a suitable version, torch first."""
        return [requirement.name for requirement in self._unsatisfied()]

    def explanation(self) -> str:
        """Sentences for the panel: what would be installed, its size and source, and what the user has to do first."""
        unsatisfied = self._unsatisfied()
        if not unsatisfied:
            return ""
        names = [requirement.name for requirement in unsatisfied]
        size = _("0.3 GB, with an NVIDIA GPU up to 3 GB") if "torch" in names else _("about 0.2 GB")
        sentence = _(
            "SAMMix needs Python packages that are not installed yet: {names}. "
            "Press Install to download them from the Python package index ({size})."
        ).format(names=", ".join(map(self._described, unsatisfied)), size=size)
        return " ".join(filter(None, (self._unsuitableTorch(), sentence)))

    def dicomQuestion(self) -> str:
        """What to ask before the packages for DICOM files are installed; "" where they are."""
        if self._isMet(self._highdicom()):
            return ""
        old = self._oldPydicom()
        if old:
            return _(
                "DICOM files need the package highdicom, and that needs pydicom {needed}. Slicer has pydicom "
                "{version}, which its DICOM module and other extensions use too. Replace it? Slicer must be restarted "
                "afterwards."
            ).format(needed=_PYDICOM_REQUIREMENT, version=old)
        return _("DICOM files need the package highdicom, which is not installed. Install it?")

    def installDicom(self) -> str:
        """Installs highdicom, and where Slicer's pydicom is too old a later one; the user has been asked.

        Returns:
            What to tell the user.
        """
        replaced = bool(self._oldPydicom())
        try:
            with self._constraints(keepPydicom=False) as constraints:
                self._pip([self._highdicom()], constraints)
        except Exception as error:  # pip and the network fail in many ways
            _log.exception("SAMMix: installation of highdicom failed")
            return _("The installation failed ({error}); the Python console has the details.").format(
                error=str(error).splitlines()[0] if str(error) else type(error).__name__
            )
        importlib.invalidate_caches()
        if not self._isMet(self._highdicom()):
            return _("highdicom was not installed.")
        if replaced:
            return _("highdicom is installed. Restart Slicer, and save the DICOM file then.")
        return _("highdicom is installed. Save the DICOM file again.")

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

    def _unsatisfied(self) -> list[Requirement]:
        """The requirements that the installed packages do not meet."""
        # Called often, and a check takes 10 ms: what is there stays there.
        missing = [
            requirement
            for requirement in self._required()
            if requirement.name not in self._satisfied
            and not self._isMet(requirement)
            and not self._mustWait(requirement.name)
        ]
        self._satisfied = {requirement.name for requirement in self._required()} - {
            requirement.name for requirement in missing
        }
        return missing

    def _required(self) -> list[Requirement]:
        from packaging.requirements import Requirement

        torch = [Requirement("torch" + TORCH_REQUIREMENT), Requirement("torchvision" + TORCHVISION_REQUIREMENT)]
        others = [Requirement(line) for line in self.requirements()]
        return torch + [
            requirement for requirement in others if requirement.marker is None or requirement.marker.evaluate()
        ]

    def _mustWait(self, name: str) -> bool:
        """Whether a package would replace Slicer's own pydicom, so that it is installed only after a question."""
        return name == _HIGHDICOM and bool(self._oldPydicom())

    def _oldPydicom(self) -> str:
        """The version of Slicer's pydicom where it is too old for highdicom, else ""."""
        from packaging.requirements import Requirement

        version = self._version(_PYDICOM)
        return "" if version is None or self._isMet(Requirement(_PYDICOM + _PYDICOM_REQUIREMENT)) else version

    def _highdicom(self) -> Requirement:
        from packaging.requirements import Requirement

        return next(one for one in map(Requirement, self.requirements()) if one.name == _HIGHDICOM)

    def _isMet(self, requirement: Requirement) -> bool:
        from packaging.version import InvalidVersion

        version = self._version(requirement.name)
        try:
            return version is not None and requirement.specifier.contains(version, prereleases=True)
        except InvalidVersion:
            return False

    def _described(self, requirement: Requirement) -> str:
        version = self._version(requirement.name)
        if version is None:
            return requirement.name
        return _("{requirement} ({version} is installed)").format(
            requirement=f"{requirement.name}{requirement.specifier}", version=version
        )

    def _unsuitableTorch(self) -> str:
        """What to do about a torch or torchvision of the wrong version, or ""; other extensions may need that one."""
        wrong = [
            requirement
            for requirement in self._unsatisfied()
            if requirement.name in _TORCH and self._version(requirement.name) is not None
        ]
        if not wrong:
            return ""
        return _(
            "Slicer has {name} {version}, and SAMMix needs {needed}. Other extensions may use it too, so SAMMix does "
            "not replace it: uninstall PyTorch in the module PyTorch Utils, restart Slicer, and press Install."
        ).format(name=wrong[0].name, version=self._version(wrong[0].name), needed=wrong[0].specifier)

    def _installTorch(self) -> str:
        if not any(requirement.name in _TORCH for requirement in self._unsatisfied()):
            return ""
        refusal = self._unsuitableTorch()
        if refusal:
            return refusal
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
        from packaging.requirements import Requirement

        packaging = _slicerPackaging()
        required = packaging.load_requirements(str(self._file)) if packaging else map(Requirement, self.requirements())
        with self._constraints() as constraints:
            self._pip([one for one in required if not self._mustWait(one.name)], constraints)
        return ""

    @staticmethod
    def _pip(required: list[Requirement], constraints: str) -> None:
        """Installs packages; the user has pressed a button for it already and is not asked again."""
        packaging = _slicerPackaging()
        if packaging is None:
            slicer.util.pip_install(["-c", constraints, *map(str, required)])
        else:
            packaging.pip_ensure(required, constraints=constraints, requester=REQUESTER, prompt_install=False)

    @contextmanager
    def _constraints(self, keepPydicom: bool = True) -> Iterator[str]:
        """A constraints file that keeps pip from replacing torch and Slicer's pydicom, which others use too."""
        kept = (*_TORCH, _PYDICOM) if keepPydicom else _TORCH
        versions = ((name, self._version(name)) for name in kept)
        handle, path = tempfile.mkstemp(suffix=".txt", prefix="sammix_constraints_")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.writelines(f"{name}=={version}\n" for name, version in versions if version is not None)
        try:
            yield path
        finally:
            Path(path).unlink(missing_ok=True)


def _slicerPackaging() -> Any:
    """`slicer.packaging` where it can ensure requirements (Slicer 5.11 and later), else None."""
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ImportError:
        return None
    return packaging if hasattr(packaging, "pip_ensure") else None


def _installedVersion(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
