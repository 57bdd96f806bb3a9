"""The user's corrected slices on disk, written as they work: whole or not at all, each to be seen and deleted.

See docs/formats/corrections.md.
"""

from __future__ import annotations

import io
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from sammix_core.datasets import correction_file as entry_file
from sammix_core.datasets.correction import Correction, case_key, hash_of
from sammix_core.datasets.correction_file import Entry, check_case, entry_id, read_entry
from sammix_core.datasets.split import Split
from sammix_core.documents import check_keys, read_json
from sammix_core.errors import InputError
from sammix_core.files import atomic_path, write_text_atomic
from sammix_core.model_store.store import user_folder
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume

SET_FILE = "set.json"
VIEWS_FOLDER = "views"
_SPLIT_FILE = "split.json"
# Another process may be writing; what a crash left is older than this by the time that anyone looks.
_LEFT_AFTER_SECONDS = 60


def default_corrections_folder(target: str) -> Path:
    """Where the corrections of a structure lie, unless the user names another folder; may be absent."""
    return user_folder() / "corrections" / "".join(sign if sign.isalnum() else "_" for sign in target.lower())


def is_correction_set(folder: str | Path) -> bool:
    """Whether a folder is a correction set."""
    return (Path(folder) / SET_FILE).is_file()


class CorrectionSet:
    """Corrected slices of one structure in a folder.

    Attributes:
        folder: The folder.
        target: What the masks show, "liver".
        leftovers: Plain sentences on what a crash or a damage left; it is not used.
    """

    def __init__(self, folder: Path, target: str) -> None:
        self.folder = folder
        self.target = target
        self.leftovers: list[str] = []
        self._split = Split(folder / _SPLIT_FILE)
        self._entries: dict[str, tuple[Entry, dict[str, Any]]] = {}
        self._read()

    @classmethod
    def create(cls, folder: str | Path, target: str) -> CorrectionSet:
        """Makes an empty set.

        Raises:
            InputError: There is one already, the folder holds something else, or it cannot be written.
        """
        path = Path(folder).expanduser().resolve()
        if not target.strip():
            raise InputError("A correction set needs the name of what its masks show, such as liver.")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"{folder} is not an empty folder, so no correction set can be made of it.")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be made: {(error.strerror or str(error)).lower()}.") from error
        write_text_atomic(path / SET_FILE, json.dumps({"schema": entry_file.SCHEMA, "target": target.strip()}) + "\n")
        return cls(path, target.strip())

    @classmethod
    def open(cls, folder: str | Path) -> CorrectionSet:
        """Opens a set, and clears away what a crash left half-written.

        Raises:
            InputError: The folder is no correction set, or one of another version.
        """
        path = Path(folder).expanduser().resolve()
        if not is_correction_set(path):
            raise InputError(f"{folder} is no correction set: {SET_FILE} is missing.")
        document = read_json(path / SET_FILE, "correction set")
        if not isinstance(document, dict) or document.get("schema") != entry_file.SCHEMA:
            raise InputError(f"{folder} is not a correction set of the kind {entry_file.SCHEMA}.")
        check_keys(document, required={"schema", "target"}, allowed={"schema", "target"}, what="The correction set")
        if not isinstance(document["target"], str) or not document["target"]:
            raise InputError(
                f"The correction set {folder} does not say what its masks show; its {SET_FILE} is damaged."
            )
        return cls(path, document["target"])

    @classmethod
    def open_or_create(cls, folder: str | Path, target: str) -> CorrectionSet:
        """Opens a set, or makes it.

        Raises:
            InputError: It shows another structure, or see `open` and `create`.
        """
        if not is_correction_set(folder):
            return cls.create(folder, target)
        corrections = cls.open(folder)
        if corrections.target != target:
            raise InputError(
                f"The corrections in {folder} show {corrections.target}, not {target}; name another folder."
            )
        return corrections

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> list[Entry]:
        """All entries in the order in which they were added."""
        return sorted((entry for entry, _ in self._entries.values()), key=lambda entry: entry.number)

    @staticmethod
    def case_key(volume: Volume, order: AxialOrder | None = None) -> str:
        """A name for a volume that says nothing of the patient; see `correction.case_key`."""
        return case_key(volume, order)

    def is_whole(self, case: str) -> bool:
        """Whether all of a case is held back."""
        return self._split.is_whole(case)

    def add(self, correction: Correction, case: str) -> Entry:
        """Adds a slice; one of the same case and slice is replaced, and stays on its side of the split.

        Args:
            correction: The slice.
            case: The key of its case.

        Raises:
            InputError: The slice and its mask do not fit, or the disk is full; the set is as it was.
        """
        check_case(case)
        if correction.mask.shape != correction.hu.shape:
            raise InputError("The mask and the slice lie on different grids; nothing can be learnt from them.")
        name = entry_id(case, correction.slice_index)
        before = self._entries.get(name)
        number = before[0].number if before else 1 + max((e.number for e, _ in self._entries.values()), default=0)
        held_back = self._split.side(case, correction.slice_index, bool(correction.mask.any()))
        image = self._image(correction.hu_sha256)
        for folder in (self._entries_folder, image.parent):
            _make_folder(folder)
        if not image.is_file():
            packed = io.BytesIO()
            np.savez_compressed(packed, hu=correction.hu.astype("<i2"))
            with atomic_path(image) as unfinished:
                unfinished.write_bytes(packed.getvalue())
        # The entry comes last: its presence says that all of it is there.
        path = self._entries_folder / f"{name}.json"
        write_text_atomic(path, entry_file.to_text(correction, case, number, held_back))
        self._entries[name] = read_entry(path)
        if before:
            self._drop_image(before[1]["hu_sha256"])
        return self._entries[name][0]

    def load(self, name: str) -> Correction:
        """Reads an entry with its pixels.

        Raises:
            InputError: There is no such entry, or its pixels are not those that were written.
        """
        _, document = self._get(name)
        damaged = f"The pixels of the correction {name} are damaged or gone; remove it and correct the slice again."
        try:
            with np.load(self._image(document["hu_sha256"]), allow_pickle=False) as arrays:
                hu = np.asarray(arrays["hu"], dtype=np.int16)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise InputError(damaged) from error
        if hash_of(hu) != document["hu_sha256"] or list(hu.shape) != document["shape"]:
            raise InputError(damaged)
        return entry_file.correction_from(document, hu)

    def remove(self, name: str) -> None:
        """Deletes an entry, its pixels and what was computed from them.

        Raises:
            InputError: There is no such entry, or it cannot be deleted.
        """
        path = self._entries_folder / f"{Path(name).name}.json"
        stored = self._entries.get(name)
        if stored is None and not path.is_file():
            raise InputError(f"There is no correction {name!r} in {self.folder}.")
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{name} could not be removed: {(error.strerror or str(error)).lower()}.") from error
        self._entries.pop(name, None)
        if stored is not None:
            self._drop_image(stored[1]["hu_sha256"])

    def clear(self) -> None:
        """Deletes all entries."""
        for entry in self.entries():
            self.remove(entry.id)

    @property
    def _entries_folder(self) -> Path:
        return self.folder / "entries"

    def _image(self, digest: str) -> Path:
        return self.folder / "images" / f"{digest[:32]}.npz"

    def _get(self, name: str) -> tuple[Entry, dict[str, Any]]:
        if name not in self._entries:
            raise InputError(f"There is no correction {name!r} in {self.folder}.")
        return self._entries[name]

    def _read(self) -> None:
        for path in sorted(self._entries_folder.glob("[!.]*.json")):
            try:
                self._entries[path.stem] = read_entry(path)
            except InputError as error:
                self.leftovers.append(str(error))
        self._clear_leftovers()

    def _clear_leftovers(self) -> None:
        """Deletes what a crash left: half-written files, and pixels that no entry names."""
        named = {document["hu_sha256"][:32] for _, document in self._entries.values()}
        images = list((self.folder / "images").glob("[!.]*.npz"))
        # An entry that could not be read may name pixels too, so then all of them stay.
        orphans = [] if self.leftovers else [path for path in images if path.stem not in named]
        unfinished = [path for name in (".", "entries", "images") for path in (self.folder / name).glob(".*")]
        for path in [*unfinished, *orphans]:
            with suppress(OSError):
                if path.is_file() and time.time() - path.stat().st_mtime > _LEFT_AFTER_SECONDS:
                    path.unlink()
                    self.leftovers.append(f"{path.name} was left half-written and has been cleared away.")

    def _drop_image(self, digest: str) -> None:
        """Deletes pixels that no entry names any more, and the views that were made of them."""
        if any(document["hu_sha256"] == digest for _, document in self._entries.values()):
            return
        for path in [self._image(digest), *(self.folder / VIEWS_FOLDER).glob(f"{digest[:16]}-*")]:
            with suppress(OSError):
                path.unlink()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {(error.strerror or str(error)).lower()}.") from error
