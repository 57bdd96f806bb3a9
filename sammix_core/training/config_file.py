"""Training configurations as YAML files: read, checked by pydantic, and refused in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails

from sammix_core.datasets.cases import CASE_NAME, CaseConfig
from sammix_core.errors import InputError

# Sections arrive as dataclasses (see `section`), whose values pydantic checks only when it validates instances again.
_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, revalidate_instances="always")
_LEAST = {"batch": 1, "size": 1, "window_level": -1000}  # all other numbers of a section begin at 0
_KINDS = {
    "string_type": "a text",
    "path_type": "a text",
    "is_instance_of": "a text",  # of a path, by the version of pydantic
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "dataclass_type": "keys and values",
    "dataclass_exact_type": "keys and values",
    "int_type": "a whole number",
    "float_type": "a number",
    "greater_than": "a whole number from 1",
    "greater_than_equal": "a whole number from 0",
}


def _resolved(value: Any, info: ValidationInfo) -> Any:
    """A path of the file, which lies beside the configuration unless it is absolute."""
    return (_folder_of(info) / value).resolve() if isinstance(value, str) else value


def _folder_of(info: ValidationInfo) -> Path:
    folder: Path = (info.context or {})["folder"]
    return folder


def _read_cases(entries: Any, info: ValidationInfo) -> Any:
    """The entries of `cases`; a CT and a mask lie under the data root, labels beside the configuration."""
    if not isinstance(entries, list) or "data_root" not in info.data:
        return entries
    return tuple(_read_case(entry, info.data["data_root"], _folder_of(info)) for entry in entries)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def section(kind: type) -> BeforeValidator:
    """Builds a section's dataclass from its keys and values.

    Args:
        kind: The dataclass.

    Returns:
        An annotation: `Annotated[HeadTraining, section(HeadTraining)]`.
    """
    names = {field.name for field in fields(kind)}

    def build(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if unknown := sorted(map(str, value.keys() - names)):
            raise InputError(f"The training configuration does not know the key {unknown[0]!r}.")
        return kind(**value)

    return BeforeValidator(build)


ConfigPath = Annotated[Path, BeforeValidator(_resolved)]
CaseName = Annotated[str, StringConstraints(pattern=f"^{CASE_NAME.pattern}$")]
Indices = Annotated[tuple[NonNegativeInt, ...], BeforeValidator(_tuple)]
Range = Annotated[tuple[NonNegativeInt, NonNegativeInt], BeforeValidator(_tuple)]
Ranges = Annotated[tuple[Range, ...], BeforeValidator(_tuple)]
Precision = Literal["32-true", "bf16-mixed"]


class CaseEntry(BaseModel):
    """A case as a configuration names it; see `CaseConfig`.

    Attributes:
        name: Name of the case.
        patient: Name of the patient where the patient has several cases; the case's own by default.
        ct: The CT, under the data root.
        labels: A label file beside the configuration; either this or `mask`.
        mask: A labelmap under the data root.
        values, labelled, image_level, values_are_hu: As of `CaseConfig`.
        present, absent: Closed ranges of slices, [[first, last], ...].
    """

    model_config = _STRICT

    name: CaseName
    patient: CaseName | None = None
    ct: str
    labels: str | None = None
    mask: str | None = None
    values: Indices = ()
    labelled: PositiveInt | Annotated[Indices, Field(min_length=1)] | None = None
    image_level: bool = True
    present: Ranges = ()
    absent: Ranges = ()
    values_are_hu: bool = False

    def resolved(self, data_root: Path, folder: Path) -> CaseConfig:
        """The case with its paths."""
        labels = None if self.labels is None else folder / self.labels
        if self.mask is not None:
            labels = data_root / self.mask
        labelled, present, absent = self.labelled, _slices(self.present), _slices(self.absent)
        return CaseConfig(
            name=self.name,
            ct=data_root / self.ct,
            labels=labels,
            values=self.values,
            labelled=labelled,
            image_level=self.image_level,
            present=present,
            absent=absent,
            patient=self.patient or self.name,
            values_are_hu=self.values_are_hu,
        )


class MethodConfig(BaseModel):
    """What the configurations of all methods have in common, paths resolved.

    Attributes:
        method: Name of the method in `run.METHODS`.
        name, version, target: Of the model that is made.
        seed: Of everything random.
        data_root: Folder of CTs and labelmaps.
        work: Folder for embeddings and checkpoints.
        output: Folder below which the model's folder is written.
        precision: Lightning Fabric's: "bf16-mixed" halves the time on processors that know bfloat16.
        cases: What is trained on.
    """

    model_config = _STRICT

    method: str = ""
    name: str
    version: Annotated[str, BeforeValidator(str)]
    target: str
    seed: NonNegativeInt
    data_root: ConfigPath
    work: ConfigPath
    output: ConfigPath
    precision: Precision = "32-true"
    cases: Annotated[tuple[CaseConfig, ...], BeforeValidator(_read_cases)]
    _folder: Path = PrivateAttr()

    @property
    def folder(self) -> Path:
        """Where the configuration lies."""
        return self._folder

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads a configuration.

        Args:
            path: The YAML file.

        Raises:
            InputError: The file is missing, not YAML, has unknown or missing keys, a value that cannot be, or names
                files that are not there; one sentence that names the key.
        """
        path = Path(path)
        entry = read_entry(path)
        folder = path.resolve().parent
        try:
            config = cls.model_validate(entry, context={"folder": folder})
        except ValidationError as error:
            raise InputError(_sentence(path, error)) from None
        config._folder = folder
        for name in cls.model_fields:
            check_section(getattr(config, name))
        config.check()
        return config

    def check(self) -> None:
        """Refuses values that cannot work together.

        Raises:
            InputError: One of them.
        """
        check_cases(self.cases)


def read_entry(path: Path) -> dict[Any, Any]:
    """Reads a configuration's keys and values, whatever its method.

    Raises:
        InputError: The file is missing, not YAML, or something else than keys and values.
    """
    try:
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The training configuration {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML, so it is no training configuration.") from error
    if not isinstance(entry, dict):
        raise InputError(f"The training configuration {path} must be keys and values.")
    return entry


def check_cases(cases: Sequence[CaseConfig], labelled: bool = True, own_names: bool = False) -> None:
    """Refuses cases that cannot be trained on.

    Args:
        cases: The cases.
        labelled: Whether each case needs labels.
        own_names: Whether each case needs a name of its own, since what is stored of it is found by that.

    Raises:
        InputError: There are none, two have the same name, or a file of one is not there.
    """
    if not cases:
        raise InputError("The training configuration has no cases, so there is nothing to learn from.")
    if own_names and len({case.name for case in cases}) < len(cases):
        raise InputError(
            "Two training cases have the same name; give each its own, and two of one patient the same `patient`."
        )
    for case in cases:
        if case.labels is None and labelled:
            raise InputError(f"A training case needs name, ct and either labels or mask; {case.name} has neither.")
        if labelled and (case.labelled is not None or case.present or case.absent or not case.image_level):
            raise InputError(
                f"The training case {case.name} chooses among its labels, which only the method sammix does; leave "
                "labelled, image_level, present and absent out."
            )
        for file in (case.ct, case.labels):
            if file is not None and not file.exists():
                raise InputError(f"The training case {case.name} needs {file}, which is not there.")


def check_section(section: Any) -> None:
    """Refuses numbers below what their key allows, and runs the section's own check.

    Args:
        section: A dataclass of `settings` or another one; anything else passes.

    Raises:
        InputError: A number is too small or infinite, or values do not fit each other.
    """
    if not is_dataclass(section) or isinstance(section, type):
        return
    for field in fields(section):
        value, least = getattr(section, field.name), _LEAST.get(field.name, 0)
        if type(value) in (int, float) and not least <= value < math.inf:
            kind = "whole number" if type(value) is int and type(field.default) is int else "number"
            raise InputError(f"The training configuration's {field.name} must be a {kind} from {least}, not {value!r}.")
    if hasattr(section, "check"):
        section.check()


def _read_case(entry: Any, data_root: Path, folder: Path) -> CaseConfig:
    if not isinstance(entry, dict):
        raise InputError(f"A training case needs keys such as name and ct; this one is {entry!r}.")
    named = "labels" in entry, "mask" in entry
    wrong = sorted(map(str, ({"name", "ct"} - entry.keys()) | (entry.keys() - CaseEntry.model_fields.keys())))
    if wrong or all(named):
        raise InputError(
            f"A training case needs name, ct and either labels or mask; wrong, missing or double are "
            f"{', '.join(wrong) or 'labels and mask'}."
        )
    try:
        case = CaseEntry.model_validate(entry)
    except ValidationError as error:
        raise InputError(f"The training case {entry['name']}: {_of_case(error)}") from None
    if not any(named) and case.labelled is not None:
        raise InputError(f"The training case {case.name} has labelled slices, but neither labels nor a mask.")
    return case.resolved(data_root, folder)


def _slices(ranges: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    return tuple(index for first, last in ranges for index in range(first, last + 1))


def _of_case(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = str(first["loc"][0])
    sentences = {
        "name": "its name must be letters, digits, _ and - alone, at most 64.",
        "patient": "its patient must be letters, digits, _ and - alone, at most 64.",
        "values": "values must be a list of whole numbers from 0.",
        "labelled": "labelled must be a count or a list of slices.",
        "image_level": "image_level must be true or false.",
    }
    if key in ("present", "absent"):
        return f"{key} must be ranges such as [[0, 12]]."
    return sentences.get(key, f"{key} must be a text.")


def _sentence(path: Path, error: ValidationError) -> str:
    details = error.errors(include_url=False)
    top = [str(e["loc"][0]) for e in details if e["type"] in ("missing", "extra_forbidden") and len(e["loc"]) == 1]
    if top:
        return f"The training configuration {path} has missing or unknown keys: {', '.join(sorted(top))}."
    first = details[0]
    key = str(first["loc"][-1])
    if first["loc"][0] == "views":  # of one of two kinds, which pydantic names too
        given = first["input"]
        return f"The training configuration's views must be a whole number from 0, or a list of them, not {given!r}."
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"The training configuration does not know the key {key!r}."
    if first["type"] == "literal_error":
        return _choice(key, first)
    kind = _KINDS.get(first["type"], "another value")
    if first["type"] in ("int_type", "float_type"):
        kind += f" from {_LEAST.get(key, 0)}"
    return f"The training configuration's {key} must be {kind}, not {first['input']!r}."


def _choice(key: str, error: ErrorDetails) -> str:
    expected = str(error.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ")
    return f"There is no {key} {error['input']!r}; choose one of {expected}."
