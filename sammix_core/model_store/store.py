"""Finds models by name or folder, checks them, and removes the user's own."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sammix_core.errors import InputError
from sammix_core.files import sha256_of
from sammix_core.model_store.active_file import read_active
from sammix_core.model_store.manifest import MANIFEST_FILE, WEIGHTS_FILE, Manifest, is_name, is_version
from sammix_core.model_store.third_party_weights import THIRD_PARTY_WEIGHTS

CARD_FILE = "MODEL_CARD.md"
HOME_VARIABLE = "SAMMIX_HOME"


@dataclass(frozen=True)
class ModelFolder:
    """A model on disk whose manifest was read and whose files are there; `verify` checks their content.

    Attributes:
        path: The folder.
        manifest: What it says about itself.
        shipped: Whether it is part of the package.
    """

    path: Path
    manifest: Manifest
    shipped: bool = False

    @property
    def spec(self) -> str:
        """The model's full name, "liver/1.0.0"."""
        return self.manifest.spec

    @property
    def weights(self) -> Path:
        """The file with the weights; read it through `sammix_core.model_store.weights`, which checks it."""
        return self.path / WEIGHTS_FILE


def shipped_models_folder() -> Path:
    """The folder inside the package with the shipped models; may be absent."""
    return Path(__file__).resolve().parents[1] / "models"


def user_folder() -> Path:
    """The folder for the user's data; may be absent. The environment variable SAMMIX_HOME overrides it."""
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home).expanduser().resolve()
    # Imported here, so that a host can list the shipped models before it is installed.
    import platformdirs

    return Path(platformdirs.user_data_dir("sammix", appauthor=False)).resolve()


def user_models_folder() -> Path:
    """The folder for the user's own models; may be absent."""
    return user_folder() / "models"


def open_model(folder: str | Path) -> ModelFolder:
    """Opens the model in a folder, wherever it lies.

    Args:
        folder: The folder with the `manifest.json`.

    Returns:
        The model. The content of its files is not checked yet.

    Raises:
        InputError: There is no model, its manifest is not understood, or a file that it names is missing.
    """
    path = Path(folder).expanduser()
    if not (path / MANIFEST_FILE).is_file():
        raise InputError(f"There is no model in {path}: {MANIFEST_FILE} is missing.")
    path = path.resolve()
    manifest = Manifest.read(path / MANIFEST_FILE)
    for file in manifest.files:
        if not (path / file).is_file():
            raise InputError(f"The model in {path} is not complete: {file} is missing.")
    return ModelFolder(path, manifest, shipped=path.is_relative_to(shipped_models_folder()))


def list_models() -> list[ModelFolder]:
    """All models that can be named, shipped ones first, then by name, newest version first."""
    return [entry for entry in _scan() if isinstance(entry, ModelFolder)]


def find_faults() -> list[str]:
    """A sentence for each folder that lies where models lie but cannot be used."""
    return [entry for entry in _scan() if isinstance(entry, str)]


def resolve(name_or_dir: str | Path) -> ModelFolder:
    """Finds a model.

    Args:
        name_or_dir: "liver" for the version of that model that the user has activated, or else its newest one;
            "liver/1.0.0" for that version, or a folder. A text that can be a name is read as one; write "./liver" for
            a folder of that name.

    Returns:
        The model. The content of its files is not checked yet.

    Raises:
        InputError: There is no such model, or the folder has none that can be used.
    """
    name, version = _split(name_or_dir) if isinstance(name_or_dir, str) else ("", None)
    if not name:
        return open_model(name_or_dir)
    models = list_models()
    # Where the activated version is gone, the newest one is used: something must work.
    active = read_active(user_models_folder()).get(name) if version is None else None
    for model in models:
        if model.spec == active:
            return model
    for model in models:
        if model.manifest.name == name and version in (None, model.manifest.version):
            return model
    if name in THIRD_PARTY_WEIGHTS and version is None:
        raise InputError(
            f"{THIRD_PARTY_WEIGHTS[name].title} is not there yet; fetch it first: sammix models fetch {name}."
        )
    broken = [fault for fault in find_faults() if name in fault]
    names = ", ".join(model.spec for model in models) or "none"
    raise InputError(" ".join([f"There is no model {name_or_dir!r}; installed: {names}.", *broken]))


def verify(model: ModelFolder) -> list[str]:
    """Checks that a model's files are those that its manifest names.

    Args:
        model: The model.

    Returns:
        A sentence for each fault; empty when all is well.
    """
    faults = []
    for file, expected in model.manifest.files.items():
        try:
            actual = sha256_of(model.path / file)
        except OSError as error:
            faults.append(f"{model.spec}: {file} cannot be read: {(error.strerror or str(error)).lower()}.")
            continue
        if actual != expected:
            faults.append(f"{model.spec}: {file} is not the file that the manifest names; its SHA-256 is another one.")
    if not (model.path / CARD_FILE).is_file():
        faults.append(f"{model.spec}: {CARD_FILE} is missing.")
    return faults


def remove(spec: str) -> Path:
    """Deletes one of the user's own models, for good.

    Args:
        spec: The full name, "my-liver/1.0.0".

    Returns:
        The deleted folder.

    Raises:
        InputError: It is no full name, there is no such model, it is shipped with SAMMix, or it cannot be deleted.
    """
    name, version = _split(spec)
    if not name or version is None:
        raise InputError(f'{spec!r} is no full name of a model; name it with its version, as "my-liver/1.0.0".')
    if (shipped_models_folder() / name / version).is_dir():
        raise InputError(f"{spec} is shipped with SAMMix and cannot be removed.")
    folder = user_models_folder() / name / version
    if not folder.is_dir() or folder.is_symlink() or folder.parent.is_symlink():
        raise InputError(f"You have no model {spec} of your own.")
    # Renamed first: the rest of an interrupted deletion has a name that no search finds.
    removed = folder.with_name(f".removed-{secrets.token_hex(4)}")
    try:
        os.replace(folder, removed)
        shutil.rmtree(removed)
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()
    except OSError as error:
        raise InputError(f"{spec} could not be removed: {(error.strerror or str(error)).lower()}.") from error
    return folder


def _split(spec: str) -> tuple[str, str | None]:
    """The parts of "liver" or "liver/1.0.0"; an empty name where the text can only be a folder."""
    name, slash, version = spec.partition("/")
    if is_name(name) and (not slash or is_version(version)):
        return name, version or None
    return "", None


def _scan() -> Iterator[ModelFolder | str]:
    """Every model, or a sentence about why a folder is none."""
    shipped = shipped_models_folder()
    shipped_names = {folder.name for folder in _subfolders(shipped)}
    for root in (shipped, user_models_folder()):
        for of_name in _subfolders(root):
            if root != shipped and of_name.name in shipped_names:
                # Otherwise such a folder would silently become the default model.
                yield f"{of_name} is not used: the name {of_name.name!r} belongs to a shipped model."
                continue
            entries = [_open_stored(folder) for folder in _subfolders(of_name)]
            models = [entry for entry in entries if isinstance(entry, ModelFolder)]
            yield from sorted(models, key=lambda model: model.manifest.version_key, reverse=True)
            yield from (entry for entry in entries if isinstance(entry, str))


def _open_stored(folder: Path) -> ModelFolder | str:
    try:
        model = open_model(folder)
    except InputError as error:
        return str(error)
    if (model.manifest.name, model.manifest.version) != (folder.parent.name, folder.name):
        return f"{folder} is not used: its manifest says that it is {model.spec}."
    return model


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))
