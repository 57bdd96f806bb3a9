"""The patient that is trained on, and the cases that are tested on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from sammix_core.datasets.labels import CaseLabels
from sammix_core.errors import InputError
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import read_labelmap

ORIGINS = ("person", "model", "ours")
_LABEL, _CT = "_label", "_ct"


@dataclass(frozen=True)
class TestCase:
    """A case to test on.

    Attributes:
        name: As rows name it.
        ct: File or folder.
        label: Labelmap or label file.
        values: Values of the labelmap that are the structure; empty means all above zero.
        label_origin: "person", "model" or "ours".
    """

    __test__ = False  # pytest takes the name for a test's

    name: str
    ct: Path
    label: Path
    values: tuple[int, ...]
    label_origin: str

    def load(self) -> tuple[Volume, np.ndarray, np.ndarray]:
        """Reads it.

        Returns:
            The CT; its label (k, j, i) bool; and (k, j, i)-broadcastable bool, the slices whose label is known.

        Raises:
            InputError: A file is unusable, or the grids differ.
        """
        volume = read_volume(self.ct)
        label, known = read_label(self.label, self.values)
        if label.shape != volume.array.shape:
            raise InputError(f"The label {self.label} and the CT {self.ct} have different grids.")
        return volume, label, known


def read_label(path: Path, values: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A label on its CT's grid: (k, j, i) bool, and (k, 1, 1) bool, the slices whose label is known."""
    if path.suffix == ".json":
        labels = CaseLabels.read(path)
        mask, known = np.zeros(labels.shape, bool), np.zeros((labels.shape[0], 1, 1), bool)
        for index, plane in labels.masks.items():
            mask[index] = plane
        known[[*labels.masks, *labels.without]] = True
        return mask, known
    found = read_labelmap(path).array
    mask = np.isin(found, values) if values else found > 0
    return mask, np.ones((len(mask), 1, 1), bool)


def read_cases(path: Path, origin: str = "person") -> list[TestCase]:
    """Cases of a YAML file such as cases.yaml, or of a folder with NAME_ct.* beside NAME_label.*.

    Args:
        path: The file or folder.
        origin: Who made the labels of a folder.

    Raises:
        InputError: There is no such file or folder, a case in it is incomplete, or there is none.
    """
    if path.is_dir():
        cases = [_in_folder(ct, origin) for ct in sorted(path.iterdir()) if _CT in ct.name and _LABEL not in ct.name]
    elif path.is_file():
        cases = _in_file(path)
    else:
        raise InputError(f"The test cases {path} are not there; name a folder or a YAML file.")
    if not cases:
        raise InputError(f"{path} holds no case; a folder needs NAME_ct.nii.gz beside NAME_label.nii.gz.")
    return cases


def _in_folder(ct: Path, origin: str) -> TestCase:
    name = ct.name.split(_CT)[0]
    labels = [file for file in sorted(ct.parent.iterdir()) if file.name.startswith(f"{name}{_LABEL}")]
    if len(labels) != 1:
        raise InputError(f"{ct} needs one label beside it, {name}{_LABEL}.nii.gz; there are {len(labels)}.")
    return TestCase(name, ct, labels[0], (), origin)


def _in_file(path: Path) -> list[TestCase]:
    try:
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))
        root = path.resolve().parent / entry["data_root"]
        cases = [
            TestCase(
                one["name"],
                root / one["ct"],
                root / one["mask"] if "mask" in one else path.resolve().parent / one["labels"],
                tuple(one.get("values", ())),
                one["label_origin"],
            )
            for one in entry["cases"]
        ]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no list of cases such as cases.yaml: {error}.") from error
    for case in cases:
        missing = [file for file in (case.ct, case.label) if not file.exists()]
        if missing or case.label_origin not in ORIGINS:
            what = f"{missing[0]} is not there" if missing else f"label_origin must be one of {', '.join(ORIGINS)}"
            raise InputError(f"The case {case.name} cannot be used: {what}.")
    return cases
