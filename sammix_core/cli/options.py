"""Option groups: a command takes a dataclass, and Typer sees one option for each of its fields."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from typing import Annotated, Any, get_type_hints

import typer


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Precision(StrEnum):
    """How exactly the image encoder computes."""

    DEFAULT = "default"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


ModelName = Annotated[str, typer.Option("--model", help='A model: "liver", "liver/1.0.0" or its folder.')]
DeviceName = Annotated[Device, typer.Option("--device", help="Where to compute.")]
ValuesAreHu = Annotated[
    bool, typer.Option("--values-are-hu", help="Take the values as Hounsfield units, whatever they look like.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


def option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Expands the parameters of a command that are dataclasses into one Typer parameter for each field.

    The fields are annotated as a command's parameters are, with `typer.Option` or `typer.Argument`; they keep their
    order, defaults and help. Typer calls the command with plain values, and the command gets the dataclasses.

    Args:
        command: A function for `typer.Typer.command`.

    Returns:
        The function to register, with the expanded parameters as its signature.

    Raises:
        TypeError: A field has a default factory, which Typer would show as a value.
        ValueError: Two parameters have one name.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Files:
        ...     input: str
        ...     output: str = "out.nii.gz"
        >>> @option_groups
        ... def copy(files: Files, quiet: bool = False) -> None:
        ...     print(files)
        >>> list(inspect.signature(copy).parameters)
        ['input', 'output', 'quiet']
        >>> copy(input="in.nii.gz", output="out.nii.gz", quiet=True)
        Files(input='in.nii.gz', output='out.nii.gz')
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    for parameter in inspect.signature(command).parameters.values():
        hint = hints[parameter.name]
        if is_dataclass(hint) and isinstance(hint, type):
            groups[parameter.name] = hint
            parameters += _parameters_of(hint)
        else:
            parameters.append(_keyword(parameter.name, parameter.default, hint))

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        grouped = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**grouped, **values)

    # Typer reads the names from the signature and the types from the annotations.
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded


def _parameters_of(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    parameters = []
    for field in fields(group):
        if field.default_factory is not MISSING:
            raise TypeError(f"{group.__name__}.{field.name} needs a plain default to be an option")
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        parameters.append(_keyword(field.name, default, hints[field.name]))
    return parameters


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    # By keyword only, as Typer calls them: a required option may then follow one with a default.
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
