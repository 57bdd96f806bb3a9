"""What Slicer 5.10 has in another way than later ones: stand-ins for tests of a Slicer of that age."""

from __future__ import annotations

from collections.abc import Callable

import slicer

installed: list[str | list[str]] = []
# Called while pip runs, for tests that look at what a user could do meanwhile.
meanwhile: list[Callable[[], None]] = []


def pip_install(requirements: str | list[str]) -> None:
    """``slicer.util.pip_install``: waits for pip, and lets Qt handle events after each line that pip prints."""
    installed.append(requirements)
    for look in meanwhile:
        slicer.app.processEvents()
        look()
