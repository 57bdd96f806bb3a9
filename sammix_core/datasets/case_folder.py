"""Folders of labelled cases: `NAME_ct` and `NAME_label...` side by side.

A CT is `NAME_ct` with the ending of a volume (`VOLUME_SUFFIXES`, .dcm) or a DICOM folder `NAME_ct`; its labels are a
labelmap `NAME_label*` on the same grid, a DICOM SEG or RTSTRUCT `NAME_label*.dcm`, or a label file `NAME_label*.json`
(`sammix-labels/2`) for some slices. Names serve to pair the files and for messages; nothing that is written carries
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from sammix_core.datasets.cases import CaseConfig, LabelledCase, load_case
from sammix_core.errors import InputError
from sammix_core.volume_io import LABELMAP_SUFFIXES, read_volume
from sammix_core.volume_io.dicom_seg import DICOM_SUFFIX
from sammix_core.volume_io.labelmap import LabelChoice, Labelmap
from sammix_core.volume_io.labelmap_reading import read_labels_on_ct
from sammix_core.volume_io.reading import VOLUME_SUFFIXES

CT_ENDING = "_ct"
LABEL_INFIX = "_label"  # between the name of a case and whatever else its labels are called


def stem_of(path: Path) -> str | None:
    """The name without a volume's ending; a folder's own; None for another file."""
    if path.is_dir():
        return path.name
    name = path.name.lower()
    for suffix in sorted((*VOLUME_SUFFIXES, *LABELMAP_SUFFIXES, DICOM_SUFFIX), key=len, reverse=True):
        if name.endswith(suffix):
            return path.name[: -len(suffix)]
    return None


def check_case_folder(folder: str | Path) -> list[CaseConfig]:
    """Finds the cases of a folder without reading them.

    Raises:
        InputError: There is no such folder, it has no case, or a CT has no labels or several.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise InputError(f"{folder} is no folder; name a correction set, or a folder of cases.")
    cases = []
    for entry in sorted(path.iterdir()):
        stem = stem_of(entry)
        if entry.name.startswith(".") or stem is None or not stem.endswith(CT_ENDING):
            continue
        name = stem.removesuffix(CT_ENDING)
        labels = [
            other
            for other in sorted(path.glob("*"))
            if other.name.startswith(name + LABEL_INFIX) and (stem_of(other) is not None or other.suffix == ".json")
        ]
        if len(labels) != 1:
            problem = "no labels" if not labels else f"{len(labels)} files of labels"
            raise InputError(
                f"The case {name} in {folder} has {problem}; one file {name}{LABEL_INFIX}… is needed beside it."
            )
        cases.append(CaseConfig(name, entry, labels[0]))
    if not cases:
        raise InputError(f"There is no case in {folder}: a case is NAME_ct.nii.gz with NAME_label.nii.gz beside it.")
    return cases


def read_case(config: CaseConfig, label: LabelChoice | None, sparse: bool, values_are_hu: bool = False) -> LabelledCase:
    """Reads a case.

    Args:
        config: Its files.
        label: The structure's value in a labelmap, or its segment's name; None for all above 0.
        sparse: Whether slices of a labelmap without the label are unknown.
        values_are_hu: Whether someone who knows says that the CT is in Hounsfield units, so that it is not checked.

    Raises:
        InputError: A file cannot be used, the grids differ, or the labels show nothing.
    """
    volume = read_volume(config.ct, values_are_hu=values_are_hu)
    if config.labels is None or config.labels.suffix == ".json":
        case = load_case(config, volume)
    else:
        labelmap = read_labels_on_ct(config.labels, volume, config.name)
        case = LabelledCase.from_mask(config.name, volume, _mask_of(labelmap, label))
        case = replace(case, absent=()) if sparse else case
    if not case.masks:
        labels = "" if config.labels is None else config.labels.name
        raise InputError(f"The labels {labels} are empty; nothing can be learnt from them.")
    return case


def read_cases(
    folder: str | Path, label: LabelChoice | None, sparse: bool, values_are_hu: bool = False
) -> Iterator[LabelledCase]:
    """Reads the cases of a folder, one after the other.

    Args:
        folder: The folder.
        label: See `read_case`.
        sparse: See `read_case`.
        values_are_hu: See `read_case`.

    Raises:
        InputError: See `check_case_folder` and `read_case`.
    """
    for config in check_case_folder(folder):
        yield read_case(config, label, sparse, values_are_hu)


def _mask_of(labelmap: Labelmap, label: LabelChoice | None) -> np.ndarray:
    """The structure's mask; refuses a label that does not occur, and several labels where none is chosen."""
    if label is not None:
        return labelmap.mask(labelmap.label_of(label))
    if len(labelmap.labels()) > 2:
        raise InputError(
            f"{labelmap.name} has the labels {labelmap.listed_labels()}; say with --label which one is meant."
        )
    return labelmap.array > 0
