"""Locates `sammix_core`: the bundled package, or one installed with pip that shadows it."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

_VERSION = re.compile(r"^__version__\s*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)


@dataclass(frozen=True)
class CoreInfo:
    """The `sammix_core` in use.

    Attributes:
        version: Version of the core in use.
        folder: Its folder.
        bundledVersion: Version of the core that came with this module, or None if there is none.
        bundledFolder: Its folder, or None.
    """

    version: str
    folder: Path
    bundledVersion: str | None
    bundledFolder: Path | None

    @property
    def isShadowed(self) -> bool:
        """Whether a core other than the bundled one is in use."""
        return self.bundledFolder is not None and self.bundledFolder != self.folder


def addBundledCore(moduleFolder: Path) -> None:
    """Lets `import sammix_core` find the bundled core when the module runs from the source tree.

    In the installed extension the core lies beside the module, where Slicer finds it anyway. The path is appended, as
    Slicer does with module paths, so that a core installed with pip takes precedence; `coreInfo` reports that.

    Args:
        moduleFolder: The folder of `SAMMixSlicer.py`.
    """
    folder = _bundledFolder(moduleFolder)
    if folder is not None and str(folder.parent) not in sys.path:
        sys.path.append(str(folder.parent))


def coreInfo(moduleFolder: Path) -> CoreInfo:
    """Returns which core is in use and which was bundled.

    Args:
        moduleFolder: The folder of `SAMMixSlicer.py`.
    """
    import sammix_core

    bundled = _bundledFolder(moduleFolder)
    version = _VERSION.search((bundled / "version.py").read_text(encoding="utf-8")) if bundled else None
    return CoreInfo(
        version=sammix_core.__version__,
        folder=Path(sammix_core.__file__).resolve().parent,
        bundledVersion=version[1] if version else None,
        bundledFolder=bundled,
    )


def forgetModules() -> None:
    """Removes our modules from `sys.modules`, so that reloading the module reads changed files."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("SAMMixSlicerLib", "sammix_core")]:
        del sys.modules[name]


def _bundledFolder(moduleFolder: Path) -> Path | None:
    for parent in (moduleFolder, moduleFolder.parent):
        folder = (parent / "sammix_core").resolve()
        if (folder / "__init__.py").is_file():
            return folder
    return None
