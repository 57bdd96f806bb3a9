"""Where `sammix_core` comes from: the bundled package, or one that pip installed and that shadows it."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

_VERSION = re.compile(r"^__version__\s*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)


@dataclass(frozen=True)
class CoreInfo:
    """Which core is in use.

    Attributes:
        version: Version of the core in use.
        folder: Where it lies.
        bundledVersion: Version of the core that came with this module, or None where there is none beside it.
        bundledFolder: Where that lies, or None.
    """

    version: str
    folder: Path
    bundledVersion: str | None
    bundledFolder: Path | None

    @property
    def isShadowed(self) -> bool:
        """Whether another core than the bundled one is in use."""
        return self.bundledFolder is not None and self.bundledFolder != self.folder


def addBundledCore(moduleFolder: Path) -> None:
    """Lets `import sammix_core` find the bundled core when the module runs from the source tree.

    The installed extension has the core beside the module, where Slicer looks anyway. Paths are appended, as Slicer
    does with module paths, so that a core that pip installed goes first; `coreInfo` tells.

    Args:
        moduleFolder: The folder of `SAMMixSlicer.py`.
    """
    folder = _bundledFolder(moduleFolder)
    if folder is not None and str(folder.parent) not in sys.path:
        sys.path.append(str(folder.parent))


def coreInfo(moduleFolder: Path) -> CoreInfo:
    """Says which core is in use and which was bundled.

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
    """Drops our modules from `sys.modules`, so that a reload of the module takes the changed files."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("SAMMixSlicerLib", "sammix_core")]:
        del sys.modules[name]


def _bundledFolder(moduleFolder: Path) -> Path | None:
    for parent in (moduleFolder, moduleFolder.parent):
        folder = (parent / "sammix_core").resolve()
        if (folder / "__init__.py").is_file():
            return folder
    return None
