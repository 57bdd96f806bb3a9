"""The manifest of a model: `manifest.json`, schema `sammix-model/1`."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sammix_core.documents import check_keys, read_json
from sammix_core.errors import InputError
from sammix_core.files import write_text_atomic

SCHEMA = "sammix-model/1"
MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "weights.safetensors"
PACK_FILE = "pack.safetensors"  # slices of the training patients, see `finetuning.pack`
# Kinds of models that start from a mask or a click; the guidance of all others finds boxes in a CT.
MSAM, REFINER = "msam", "refiner"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_VERSION = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})", re.ASCII)
# A plain file name: no folder, no drive, nothing hidden. What a manifest names is opened, so it stays in its folder.
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def is_name(text: str) -> bool:
    """Whether a text can be a model's name: small letters, digits, "_" and "-". No path is one."""
    return _NAME.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Whether a text is a version such as "1.0.0"."""
    return _VERSION.fullmatch(text) is not None


@dataclass(frozen=True)
class Manifest:
    """Everything that is needed to use a model's weights as they were trained, and to tell where they come from.

    The dicts are JSON values; their readers (preprocessing, guidance, post-processing) check the content.

    Attributes:
        name: The model's name, "liver".
        version: Its version, "1.0.0".
        target: The structure that it segments, "liver".
        created: When, as ISO 8601.
        base_model: `{"name": "lite_medsam", "sha256": ...}`: the weights that the model builds on.
        files: SHA-256 of each weights file in the folder, by its name; `weights.safetensors` is one of them.
        preprocessing: HU window, size, crop and whatever else must be the same in training and use.
        guidance: Which guidance, and its settings.
        postprocessing: Settings of how masks are made.
        metrics: Measured figures; a dict or a list.
        training_cases: Names of the cases in the training set.
        parent: "name/version" of the model that this one was fine-tuned from, or None.
        schema: The format's name.

    Raises:
        InputError: A value is not of its kind.
    """

    name: str
    version: str
    target: str
    created: str
    base_model: dict[str, str]
    files: dict[str, str]
    preprocessing: dict[str, Any]
    guidance: dict[str, Any]
    postprocessing: dict[str, Any]
    metrics: dict[str, Any] | list[Any]
    training_cases: list[str]
    parent: str | None = None
    schema: str = SCHEMA

    @classmethod
    def of_today(cls, **fields: Any) -> Self:
        """A manifest for a model that is about to be written; `write_model` puts in the sums of its files.

        Args:
            fields: All others.
        """
        return cls(created=datetime.now(UTC).date().isoformat(), files={WEIGHTS_FILE: "0" * 64}, **fields)

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise InputError(f"The schema {self.schema!r} is unknown; this version reads {SCHEMA!r} only.")
        _check(_is_text(self.name) and is_name(self.name), "name", self.name, 'small letters and digits, as "liver"')
        _check(
            _is_text(self.version) and is_version(self.version), "version", self.version, 'three numbers, as "1.0.0"'
        )
        _check(_is_text(self.target) and self.target != "", "target", self.target, "the name of what is segmented")
        _check(_is_date(self.created), "created", self.created, 'a date, as "2025-01-31"')
        self._check_files()
        for name in ("preprocessing", "guidance", "postprocessing"):
            _check(isinstance(getattr(self, name), dict), name, getattr(self, name), "an object")
        _check(isinstance(self.metrics, dict | list), "metrics", self.metrics, "an object or a list")
        cases = self.training_cases
        _check(isinstance(cases, list) and all(map(_is_text, cases)), "training_cases", cases, "a list of names")
        if self.parent is not None:
            parts = self.parent.split("/") if _is_text(self.parent) else []
            fine = len(parts) == 2 and is_name(parts[0]) and is_version(parts[1])
            _check(fine, "parent", self.parent, 'a model, as "liver/1.0.0", or null')

    def _check_files(self) -> None:
        base = self.base_model
        fine = isinstance(base, dict) and base.keys() == {"name", "sha256"} and _is_text(base["name"])
        _check(fine and _is_sha256(base["sha256"]), "base_model", base, "a name and a SHA-256")
        _check(isinstance(self.files, dict), "files", self.files, "an object of file names and SHA-256")
        for file, digest in self.files.items():
            _check(_is_text(file) and _FILE_NAME.fullmatch(file) is not None, "files", file, "plain file names")
            _check(_is_sha256(digest), f"SHA-256 of {file}", digest, "64 small hexadecimal digits")
        _check(WEIGHTS_FILE in self.files, "files", sorted(self.files), f"files with {WEIGHTS_FILE} among them")

    @property
    def spec(self) -> str:
        """The model's full name, "liver/1.0.0"."""
        return f"{self.name}/{self.version}"

    @property
    def segments(self) -> bool:
        """Whether it segments a CT by itself; refiners and M-SAMs start from a mask or a click."""
        return self.guidance.get("name") not in (MSAM, REFINER)

    @property
    def version_key(self) -> tuple[int, ...]:
        """Sort key: 1.10.0 is newer than 1.9.0. Versions are three numbers, so that `packaging` is not needed."""
        return tuple(int(number) for number in self.version.split("."))

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain JSON values, a copy."""
        values = asdict(self)
        return {"schema": values.pop("schema"), **values}

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Reads what `to_json` wrote, strictly.

        Args:
            document: What `json.loads` returns for a `manifest.json`.

        Returns:
            The manifest.

        Raises:
            InputError: The schema or a key is unknown, a key is missing, or a value is not of its kind.
        """
        if not isinstance(document, dict) or "schema" not in document:
            raise InputError(f'This is no manifest: it must be a JSON object with "schema": "{SCHEMA}".')
        if document["schema"] != SCHEMA:
            raise InputError(f"The schema {document['schema']!r} is unknown; this version reads {SCHEMA!r} only.")
        names = {field.name for field in fields(cls)}
        check_keys(document, required=names, allowed=names, what="The manifest")
        return cls(**deepcopy(document))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads a `manifest.json`.

        Args:
            path: The file.

        Returns:
            The manifest.

        Raises:
            InputError: The file is missing or no manifest; the sentence names the file.
        """
        document = read_json(path, "model manifest")
        try:
            return cls.from_json(document)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def write(self, path: str | Path) -> None:
        """Writes a `manifest.json`, whole or not at all.

        Args:
            path: The file.

        Raises:
            InputError: It cannot be written.
            ValueError: A figure in it is NaN or infinite, which JSON does not know.
        """
        write_text_atomic(path, json.dumps(self.to_json(), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def _check(fine: bool, name: str, value: Any, expected: str) -> None:
    if not fine:
        raise InputError(f"The manifest's {name} must be {expected}, not {value!r}.")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_date(value: Any) -> bool:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True
