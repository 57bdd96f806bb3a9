"""A Python in which nothing is installed but what the Slicer module's requirements bring.

Everything else is hidden, modules and metadata alike, in the process and in those that it starts; so that what a user
lacks in Slicer is missing here, too.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

_ROOT = Path(__file__).parents[2]
REQUIREMENTS = _ROOT / "SAMMixSlicer" / "Resources" / "requirements.txt"
# Installed by the extension PyTorch, before all else
TORCH = ("torch", "torchvision")
_SLICERS_OWN = {"vtk"}
_OURS = ("sammix_core", "SAMMixSlicerLib")

# Read by every Python that has its folder on PYTHONPATH, before anything else is imported.
_SITE = """
import importlib.metadata, json, re, sys
from importlib.machinery import PathFinder
from pathlib import Path

_allowed = json.loads((Path(__file__).parent / "allowed.json").read_text())
_modules, _distributions = set(_allowed["modules"]) | sys.stdlib_module_names, set(_allowed["distributions"])

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        top = name.partition(".")[0]
        return PathFinder.find_spec(name, path, target) if top in _modules or top.startswith("_") else None

    @staticmethod
    def invalidate_caches():
        PathFinder.invalidate_caches()

    @staticmethod
    def find_distributions(context=importlib.metadata.DistributionFinder.Context()):
        for found in PathFinder.find_distributions(context):
            if re.sub(r"[-_.]+", "-", found.metadata["Name"] or "").lower() in _distributions:
                yield found

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""


def _name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def _required(name: str) -> list[str]:
    """What a distribution requires here, without its extras."""
    from packaging.requirements import Requirement

    found = [Requirement(line) for line in importlib.metadata.requires(name) or []]
    return [
        _name(requirement.name)
        for requirement in found
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    ]


def installed_with(requirements: Iterable[str]) -> set[str]:
    """The distributions that come with some requirements: theirs, and those that these require in turn."""
    from packaging.requirements import Requirement

    todo = [Requirement(line) for line in requirements]
    names = [_name(one.name) for one in todo if one.marker is None or one.marker.evaluate()]
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            try:
                names += _required(name)
            except importlib.metadata.PackageNotFoundError:
                found.discard(name)  # not here: a package of another platform
    return found


def module_requirements() -> list[str]:
    """The lines of the module's requirements, and torch."""
    lines = (line.split("#")[0].strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines())
    return [*TORCH, *(line for line in lines if line)]


def bare_site(folder: Path) -> Path:
    """Makes the folder that hides everything else, for PYTHONPATH."""
    distributions = installed_with(module_requirements()) | _SLICERS_OWN
    owners = importlib.metadata.packages_distributions()
    modules = [name for name, by in owners.items() if {_name(one) for one in by} & distributions]
    folder.mkdir()
    allowed = {"modules": sorted([*modules, *_OURS, "__main__"]), "distributions": sorted(distributions)}
    (folder / "allowed.json").write_text(json.dumps(allowed), encoding="utf-8")
    (folder / "sitecustomize.py").write_text(_SITE, encoding="utf-8")
    return folder


def bare_environment(site: Path, **more: str) -> dict[str, str]:
    """The variables for a process in such a Python, which finds the core in this source tree."""
    path = os.pathsep.join([str(site), str(_ROOT), str(_ROOT / "SAMMixSlicer")])
    return {**os.environ, "PYTHONPATH": path, **more}
