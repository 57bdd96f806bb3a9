"""Stand-in of slicer.packaging, which Slicer has from 5.11 on. Checks what is installed, and installs nothing.

``asked`` keeps what it was to install, for tests. A Slicer before 5.11 has no such module; a test of one sets
``sys.modules["slicer.packaging"]`` to None.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

asked: list[list[str]] = []


def load_requirements(path: str | Path) -> list[Requirement]:
    """The requirements in a file, without comments and options of pip."""
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def _as_list(requirements: Any) -> list[Requirement]:
    if isinstance(requirements, str | Requirement):
        requirements = [requirements]
    return [Requirement(str(requirement)) for requirement in requirements]


def pip_check(req: Any) -> bool:
    """Whether all of these are installed in a version that fits."""
    for requirement in _as_list(req):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            return False
        if installed not in requirement.specifier:
            return False
    return True


def pip_install(
    requirements: Any,
    constraints: Any = None,
    no_deps_requirements: Any = None,
    skip_packages: Any = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    logCallback: Any = None,
    completedCallback: Any = None,
) -> None:
    """Remember what was asked for; tell the caller that it is done."""
    asked.append([str(requirement) for requirement in _as_list(requirements)])
    if completedCallback is not None:
        completedCallback(0)


def pip_ensure(
    requirements: Any,
    constraints: Any = None,
    skip_packages: Any = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> None:
    """Install what is missing, after asking the user; here: remember it."""
    missing = [requirement for requirement in _as_list(requirements) if not pip_check(requirement)]
    if missing and not skip_in_testing:
        pip_install(missing, constraints, requester=requester)
