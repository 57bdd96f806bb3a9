"""The settings of a fine-tuning run."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sammix_core.datasets.case_folder import check_case_folder
from sammix_core.datasets.correction_set import is_correction_set
from sammix_core.documents import settings_from_dict, settings_to_dict
from sammix_core.errors import InputError
from sammix_core.finetuning.unlabelled_ct import UnlabelledCt
from sammix_core.model_store.manifest import is_name, is_version
from sammix_core.model_store.organs import DEFAULT_MODEL
from sammix_core.model_store.store import resolve, shipped_models_folder, user_models_folder
from sammix_core.volume_io.labelmap import LabelChoice

_MOST_VIEWS, _MOST_THREADS = 16, 256


@dataclass(frozen=True)
class FineTuneSettings:
    """What to learn from, and what model to make.

    Attributes:
        name: Of the new model, "my-liver" for its next free version or "my-liver/1.2.0" for that one.
        sources: Correction sets and folders of cases.
        parent: The model to begin with: name, name and version, or a folder.
        target: A structure that the parent does not know, or None to learn more of the parent's own.
        check: A folder of cases to check on, before and after, or None.
        rehearse: Whether slices of the training patients are learnt again beside the user's, where the parent has any.
        lora: Whether LoRA on the image encoder is trained too; hours on a CPU without need.
        label: The structure's value in the labelmaps of case folders, or its segment's name; None for all above 0.
        sparse: Whether slices of a labelmap without the label are unknown, and not free of the structure.
        values_are_hu: Whether the CTs of case folders are known to be in Hounsfield units; then they are not checked.
        seed: Of everything random.
        views: Augmented views of each slice that is learnt from.
        threads: Processor threads.
        device: "auto", "cpu" or "cuda".
        unlabelled: CTs without masks, or folders of them, that are learnt from, too; see `UnlabelledCt.parse`.
    """

    name: str
    sources: tuple[Path, ...]
    parent: str = DEFAULT_MODEL
    target: str | None = None
    check: Path | None = None
    rehearse: bool = True
    lora: bool = False
    label: LabelChoice | None = None
    sparse: bool = False
    values_are_hu: bool = False
    seed: int = 0
    views: int = 6
    threads: int = 2
    device: str = "auto"
    unlabelled: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON values, paths absolute."""
        absolute = replace(
            self,
            sources=tuple(Path(path).expanduser().resolve() for path in self.sources),
            check=None if self.check is None else Path(self.check).expanduser().resolve(),
            unlabelled=tuple(str(UnlabelledCt.parse(text).absolute()) for text in self.unlabelled),
        )
        return settings_to_dict(absolute)

    @classmethod
    def from_json(cls, document: Any) -> FineTuneSettings:
        """Reads what `to_json` made.

        Raises:
            InputError: A key is missing or unknown, or a value is of another kind.
        """
        return settings_from_dict(cls, document, "The run")

    def checked(self) -> FineTuneSettings:
        """Checks what can be checked before the run, and fills in the parent and the next free version.

        Returns:
            The settings with a full name ("my-liver/1.0.0") and the parent's name and version or folder.

        Raises:
            InputError: The name cannot be, the version is there, the parent or a folder is not there.

        Example:
            >>> FineTuneSettings("My Liver", (Path("corrections"),)).checked()
            Traceback (most recent call last):
                ...
            sammix_core.errors.InputError: corrections is no folder; name a correction set, or a folder of cases.
        """
        if not self.sources:
            raise InputError("Name something to learn from: a correction set, or a folder of cases.")
        for source in self.sources:
            if not is_correction_set(source):
                check_case_folder(source)
        checked_on = [] if self.check is None else [case.ct.resolve() for case in check_case_folder(self.check)]
        for ct in (one for text in self.unlabelled for one in UnlabelledCt.parse(text).found()):
            if ct.path.expanduser().resolve() in checked_on:
                raise InputError(
                    f"{ct.path} is also a case of the check folder, so a check on it says nothing; leave it out."
                )
        if self.target is not None and not re.fullmatch(r"[^\W_][\w ,()-]{0,63}", self.target):
            raise InputError(f"{self.target!r} cannot name a structure; take letters, digits and spaces.")
        for name, value, most in (("views", self.views, _MOST_VIEWS), ("threads", self.threads, _MOST_THREADS)):
            if not 0 <= value <= most or (name == "threads" and value < 1):
                raise InputError(f"The number of {name} cannot be {value}; it is at most {most}.")
        parent = resolve(self.parent)
        stored = parent.path.parent.parent in (shipped_models_folder(), user_models_folder())
        named = replace(self, name=_free_version(self.name), parent=parent.spec if stored else str(parent.path))
        return FineTuneSettings.from_json(named.to_json())


def _free_version(name_or_spec: str) -> str:
    """The full name of a version that is not there yet."""
    name, slash, version = name_or_spec.partition("/")
    if not is_name(name) or (slash and not is_version(version)):
        raise InputError(f'{name_or_spec!r} cannot name a model; take small letters and digits, as "my-liver".')
    if (shipped_models_folder() / name).is_dir():
        raise InputError(f"The name {name!r} belongs to a model shipped with SAMMix; choose another, as my-{name}.")
    folder = user_models_folder() / name
    if version:
        if (folder / version).exists():
            raise InputError(f"The model {name_or_spec} is there already; choose another version.")
        return name_or_spec
    taken = [entry.name for entry in folder.iterdir() if is_version(entry.name)] if folder.is_dir() else []
    if not taken:
        return f"{name}/1.0.0"
    major, minor, _ = max(tuple(int(part) for part in version.split(".")) for version in taken)
    return f"{name}/{major}.{minor + 1}.0"
