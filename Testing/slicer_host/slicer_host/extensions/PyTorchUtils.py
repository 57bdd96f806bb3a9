"""Stand-in of the module PyTorch Utils of the extension PyTorch: keeps what it was to install, and installs nothing.

This folder is on no path by itself; a test that has the extension adds it.
"""

from __future__ import annotations

from typing import Any

installed: list[dict[str, Any]] = []


class PyTorchUtilsLogic:
    """The logic, as far as other modules use it."""

    def installTorch(
        self,
        askConfirmation: bool = False,
        forceComputationBackend: str | None = None,
        torchVersionRequirement: str | None = None,
        torchvisionVersionRequirement: str | None = None,
    ) -> Any:
        """Install torch and torchvision, and return the module torch, or None where the user refused."""
        installed.append({name: value for name, value in locals().items() if name != "self" and value is not None})
        return object()
