"""Folders of labelled cases: `NAME_ct` and `NAME_label...` side by side.

A CT is `NAME_ct` with the ending of a volume (.nii.gz, .nii, .nrrd, .mha) or a DICOM folder `NAME_ct`; its labels are a
labelmap `NAME_label*` on the same grid, or a label file `NAME_label*.json` (`sammix-labels/1`) for some slices. Names
serve to pair the files and for messages; nothing that is written carries them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sammix_core.datasets.labels import CaseLabels
from sammix_core.errors import InputError
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import LABELMAP_SUFFIXES, read_volume
from sammix_core.volume_io.labelmap_reading import Labelmap, check_grid, read_labelmap

_CT = "_ct"
_LABEL = "_label"


@dataclass(frozen=True)
class CasePair:
    """A CT and its labels.

    Attributes:
        name: What both files' names begin with; for messages only.
        ct: The CT.
        labels: The labelmap or label file.
    """

    name: str
    ct: Path
    labels: Path


@dataclass(frozen=True)
class LabelledVolume:
    """A case that was read.

    Attributes:
        name: For messages only.
        volume: The CT.
        mask: (k, j, i) bool.
        known: Indices along the user's slice axis whose mask is known, empty ones included.
    """

    name: str
    volume: Volume
    mask: np.ndarray
    known: tuple[int, ...]

    @property
    def axis(self) -> int:
        """The axis of the (k, j, i) array along which the slices are stacked."""
        return "kji".index(self.volume.axial_order.slice_axis)

    def planes(self) -> dict[int, np.ndarray]:
        """Mask of each known slice by its index along the user's slice axis."""
        return {index: np.take(self.mask, index, self.axis) for index in self.known}


def check_case_folder(folder: str | Path) -> list[CasePair]:
    """Finds the cases of a folder without reading them.

    Raises:
        InputError: There is no such folder, it has no case, or a CT has no labels or several.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise InputError(f"{folder} is no folder; name a correction set, or a folder of cases.")
    pairs = []
    for entry in sorted(path.iterdir()):
        stem = _stem(entry)
        if entry.name.startswith(".") or stem is None or not stem.endswith(_CT):
            continue
        name = stem.removesuffix(_CT)
        labels = [
            other
            for other in sorted(path.glob("*"))
            if other.name.startswith(name + _LABEL) and (_stem(other) is not None or other.suffix == ".json")
        ]
        if len(labels) != 1:
            found = "no labels" if not labels else f"{len(labels)} files of labels"
            raise InputError(f"The case {name} in {folder} has {found}; one file {name}{_LABEL}… is needed beside it.")
        pairs.append(CasePair(name, entry, labels[0]))
    if not pairs:
        raise InputError(f"There is no case in {folder}: a case is NAME_ct.nii.gz with NAME_label.nii.gz beside it.")
    return pairs


def read_case(pair: CasePair, label: int | None, sparse: bool) -> LabelledVolume:
    """Reads a case.

    Args:
        pair: Its files.
        label: Value of the structure in a labelmap; None for all above 0.
        sparse: Whether slices of a labelmap without the label are unknown.

    Raises:
        InputError: A file cannot be used, the grids differ, or the labels show nothing.
    """
    volume = read_volume(pair.ct)
    axis = volume.axial_order.slice_axis
    if pair.labels.suffix == ".json":
        mask, known = _from_label_file(pair, volume)
    else:
        labelmap = read_labelmap(pair.labels)
        check_grid(labelmap, volume, pair.name)
        mask = _chosen(pair, labelmap, label)
        count = mask.shape["kji".index(axis)]
        shown = [index for index in range(count) if np.take(mask, index, "kji".index(axis)).any()]
        known = tuple(shown if sparse else range(count))
    if not mask.any():
        raise InputError(f"The labels {pair.labels.name} are empty; nothing can be learnt from them.")
    return LabelledVolume(pair.name, volume, mask, known)


def read_cases(folder: str | Path, label: int | None, sparse: bool) -> Iterator[LabelledVolume]:
    """Reads the cases of a folder, one after the other.

    Raises:
        InputError: See `check_case_folder` and `read_case`.
    """
    for pair in check_case_folder(folder):
        yield read_case(pair, label, sparse)


def _stem(path: Path) -> str | None:
    """The name without a volume's ending; a folder's own; None for another file."""
    if path.is_dir():
        return path.name
    name = path.name.lower()
    for suffix in sorted(LABELMAP_SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix):
            return path.name[: -len(suffix)]
    return None


def _chosen(pair: CasePair, labelmap: Labelmap, label: int | None) -> np.ndarray:
    there = labelmap.labels()
    if label is not None and label not in there:
        found = ", ".join(map(str, there)) or "none"
        raise InputError(f"{pair.labels.name} has no label {label}; it has {found}.")
    if label is None and len(there) > 2:
        raise InputError(
            f"{pair.labels.name} has the labels {', '.join(map(str, there))}; say with --label which one is meant."
        )
    return labelmap.array > 0 if label is None else labelmap.array == label


def _from_label_file(pair: CasePair, volume: Volume) -> tuple[np.ndarray, tuple[int, ...]]:
    labels = CaseLabels.read(pair.labels)
    if tuple(labels.shape) != volume.array.shape:
        raise InputError(f"The labels and the CT of {pair.name} lie on different grids; they have other sizes.")
    if volume.axial_order.slice_axis != "k":
        raise InputError(f"{pair.labels.name} labels k slices, but the axial slices of {pair.ct.name} are others.")
    mask = np.zeros(labels.shape, dtype=bool)
    for index, plane in labels.masks.items():
        mask[index] = plane
    return mask, tuple(sorted({*labels.masks, *labels.without}))
