"""The configuration of a semi-supervised training: the same file as any other, with `method: sammix`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sammix_core.datasets.cases import CASE_NAME
from sammix_core.errors import InputError
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.training.config_values import (
    check_cases,
    check_config_keys,
    check_kind,
    check_precision,
    read_entry,
    section,
)
from sammix_core.training.semi_supervised.section import SamMixTraining

METHOD = "sammix"
ACCELERATORS = ("auto", "cpu", "cuda")
_REQUIRED = {"method", "name", "version", "target", "seed", "data_root", "work", "output", "cases"}
_OPTIONAL = {"preprocessing", "precision", "sammix", "accelerator", "devices", "nodes"}
_KINDS = {
    **dict.fromkeys(("name", "target", "data_root", "work", "output", "accelerator"), str),
    **dict.fromkeys(("seed", "devices", "nodes"), int),
    **dict.fromkeys(("preprocessing", "sammix"), dict),
    "cases": list,
}


@dataclass(frozen=True)
class PoolCase:
    """A case and what is known of its slices; indices are those of the CT's own slice axis.

    Attributes:
        name: Name of the patient; the split is made by it.
        ct: The CT, a file or a DICOM folder.
        labels: A label file, a labelmap, or None for a case without masks.
        values: Values of the labelmap that are the target; empty means all above zero.
        labelled: Slices whose masks are used: all that there are (None), so many spread evenly, or these.
        image_level: Whether the labels say of the other slices if they show the structure.
        present, absent: Further slices that are known to show the structure, or not to.
    """

    name: str
    ct: Path
    labels: Path | None = None
    values: tuple[int, ...] = ()
    labelled: int | tuple[int, ...] | None = None
    image_level: bool = True
    present: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()

    @classmethod
    def from_dict(cls, entry: Any, data_root: Path, folder: Path) -> PoolCase:
        """Reads an entry; `ct` and `mask` lie under the data root, `labels` beside the configuration.

        Raises:
            InputError: A key is missing or unknown, or a value is of another kind.
        """
        if not isinstance(entry, dict):
            raise InputError(f"A training case needs keys such as name and ct; this one is {entry!r}.")
        known = {"name", "ct", "labels", "mask", "values", "labelled", "image_level", "present", "absent"}
        wrong = sorted(map(str, ({"name", "ct"} - entry.keys()) | (entry.keys() - known)))
        if wrong or ("labels" in entry and "mask" in entry):
            raise InputError(
                f"A training case has missing, unknown or double keys: {', '.join(wrong) or 'labels, mask'}."
            )
        name = entry["name"]
        texts = [entry[key] for key in ("name", "ct", "labels", "mask") if key in entry]
        if not all(isinstance(text, str) for text in texts) or CASE_NAME.fullmatch(name) is None:
            raise InputError(f"The training case {name!r} needs texts, and a name of letters, digits, _ and - alone.")
        labels = folder / entry["labels"] if "labels" in entry else None
        if "mask" in entry:
            labels = data_root / entry["mask"]
        image_level = entry.get("image_level", True)
        if not isinstance(image_level, bool):
            raise InputError(f"The training case {name}: image_level must be true or false, not {image_level!r}.")
        if labels is None and "labelled" in entry:
            raise InputError(f"The training case {name} has labelled slices, but neither labels nor a mask.")
        return cls(
            name,
            data_root / entry["ct"],
            labels,
            _indices(name, "values", entry.get("values", [])),
            _labelled(name, entry.get("labelled")),
            image_level,
            _ranges(name, "present", entry.get("present", [])),
            _ranges(name, "absent", entry.get("absent", [])),
        )


@dataclass(frozen=True)
class SemiSupervisedConfig:
    """A whole configuration, paths resolved.

    Attributes:
        name, version, target: Of the model that is made.
        seed: Of everything random but the views, which every seed shares.
        work: Folder for embeddings, the split and checkpoints.
        output: Folder below which the model's folder is written.
        precision: Lightning Fabric's; None for "bf16-mixed" on CUDA and "32-true" on a CPU.
        preprocessing: Window, size and crop.
        cases: What is trained on.
        sammix: How.
        folder: Where the configuration lies.
        accelerator: "auto", "cpu" or "cuda".
        devices, nodes: How many processes Fabric's launcher starts, on how many machines.
    """

    name: str
    version: str
    target: str
    seed: int
    work: Path
    output: Path
    precision: Any
    preprocessing: PreprocessingSpec
    cases: tuple[PoolCase, ...]
    sammix: SamMixTraining
    folder: Path
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1

    @classmethod
    def read(cls, path: str | Path) -> SemiSupervisedConfig:
        """Reads a configuration.

        Raises:
            InputError: The file is missing, not YAML, or says what cannot be; one sentence that names the key.
        """
        path = Path(path)
        entry = read_entry(path)
        check_config_keys(path, entry, _REQUIRED, _OPTIONAL)
        for key, kind in _KINDS.items():
            check_kind(key, entry.get(key, kind(1) if kind is int else kind()), kind)
        accelerator = entry.get("accelerator", ACCELERATORS[0])
        if accelerator not in ACCELERATORS:
            raise InputError(f"There is no accelerator {accelerator!r}; choose one of {', '.join(ACCELERATORS)}.")
        devices, nodes = entry.get("devices", 1), entry.get("nodes", 1)
        if devices < 1 or nodes < 1:
            raise InputError("The training configuration's devices and nodes must be whole numbers from 1.")
        folder = path.resolve().parent
        data_root = folder / entry["data_root"]
        cases = tuple(PoolCase.from_dict(case, data_root, folder) for case in entry["cases"])
        check_cases(cases, made_by_name="the split is")
        settings = section(SamMixTraining, entry.get("sammix", {}))
        settings.check()
        precision = entry.get("precision")
        return cls(
            name=entry["name"],
            version=str(entry["version"]),
            target=entry["target"],
            seed=entry["seed"],
            work=(folder / entry["work"]).resolve(),
            output=(folder / entry["output"]).resolve(),
            precision=None if precision is None else check_precision(precision),
            preprocessing=section(PreprocessingSpec, entry.get("preprocessing", {})),
            cases=cases,
            sammix=settings,
            folder=folder,
            accelerator=accelerator,
            devices=devices,
            nodes=nodes,
        )


def _indices(name: str, key: str, found: Any) -> tuple[int, ...]:
    if not isinstance(found, list) or not all(type(index) is int and index >= 0 for index in found):
        raise InputError(f"The training case {name}: {key} must be a list of whole numbers, not {found!r}.")
    return tuple(found)


def _labelled(name: str, found: Any) -> int | tuple[int, ...] | None:
    if found is None or (type(found) is int and found > 0):
        return found
    if not isinstance(found, list) or not found:
        raise InputError(f"The training case {name}: labelled must be a count or a list of slices, not {found!r}.")
    return _indices(name, "labelled", found)


def _ranges(name: str, key: str, found: Any) -> tuple[int, ...]:
    """Closed ranges [[first, last], ...] as indices."""
    pairs: list[Any] = found if isinstance(found, list) else [found]
    if not all(
        isinstance(pair, list) and len(pair) == 2 and all(type(end) is int and end >= 0 for end in pair)
        for pair in pairs
    ):
        raise InputError(f"The training case {name}: {key} must be ranges such as [[0, 12]], not {found!r}.")
    return tuple(index for first, last in pairs for index in range(first, last + 1))
