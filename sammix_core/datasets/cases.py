"""Training cases: a CT with labels, brought into canonical axial order."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sammix_core.datasets.labels import CaseLabels
from sammix_core.errors import InputError
from sammix_core.preprocessing.body_crop import body_crop
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import check_grid, read_labelmap

CASE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # files are called so


@dataclass(frozen=True)
class CaseConfig:
    """One case as a training configuration names it.

    Attributes:
        name: Name of the patient; folds are made by it.
        ct: The CT, a file or a DICOM folder.
        labels: A label file (`sammix-labels/1`) for some slices, or a labelmap for all.
        values: Values of the labelmap that are the target; empty means all above zero.
    """

    name: str
    ct: Path
    labels: Path
    values: tuple[int, ...] = ()

    @classmethod
    def from_dict(cls, entry: dict[str, Any], data_root: Path, config_folder: Path) -> CaseConfig:
        """Reads an entry; `ct` and `mask` lie under the data root, `labels` beside the configuration.

        Raises:
            InputError: A key is missing or unknown.
        """
        if not isinstance(entry, dict):
            raise InputError(f"A training case needs keys such as name and ct; this one is {entry!r}.")
        unknown = entry.keys() - {"name", "ct", "labels", "mask", "values"}
        if unknown or not {"name", "ct"} <= entry.keys() or ("labels" in entry) == ("mask" in entry):
            keys = ", ".join(map(str, entry))
            raise InputError(f"A training case needs name, ct and either labels or mask; this one has {keys}.")
        values = entry.get("values", [])
        texts = [entry[key] for key in entry.keys() - {"values"}]
        if not all(isinstance(text, str) for text in texts) or not isinstance(values, list):
            raise InputError(
                f"The training case {entry['name']} has a value that is no text, or values that are no list."
            )
        if CASE_NAME.fullmatch(entry["name"]) is None:
            raise InputError(f"A training case is called {entry['name']!r}; take letters, digits, _ and - alone.")
        labels = config_folder / entry["labels"] if "labels" in entry else data_root / entry["mask"]
        return cls(entry["name"], data_root / entry["ct"], labels, tuple(values))


@dataclass(frozen=True)
class Case:
    """A loaded case; everything in canonical axial order.

    Attributes:
        name: Name of the patient.
        axial: (slices, rows, cols) HU.
        spacing: (slice, row, col) mm.
        masks: Slice -> (rows, cols) bool, for the slices with a mask that is not empty.
        without: Slices known to be without the structure.
        crops: The whole slice and the body crop, (row_min, col_min, row_max, col_max).
    """

    name: str
    axial: np.ndarray
    spacing: tuple[float, float, float]
    masks: dict[int, np.ndarray]
    without: tuple[int, ...]
    crops: tuple[tuple[int, int, int, int], tuple[int, int, int, int]]

    @property
    def labelled(self) -> np.ndarray:
        """(slices,) bool: slices whose mask is known, empty ones included."""
        known = np.zeros(len(self.axial), dtype=bool)
        known[[*self.masks, *self.without]] = True
        return known

    def mask_volume(self) -> np.ndarray:
        """(slices, rows, cols) bool; False on unlabelled slices as well."""
        volume = np.zeros(self.axial.shape, dtype=bool)
        for index, mask in self.masks.items():
            volume[index] = mask
        return volume


def load_case(config: CaseConfig, spec: PreprocessingSpec) -> Case:
    """Reads CT and labels.

    Args:
        config: Where they are.
        spec: The preprocessing, for the body crop's margin.

    Raises:
        InputError: A file is unusable, or labels and CT are on different grids.
    """
    volume = read_volume(config.ct)
    order = volume.axial_order
    if config.labels.suffix == ".json":
        read = CaseLabels.read(config.labels)
        shape, masks_kji, known = read.shape, np.zeros(read.shape, dtype=bool), np.zeros(read.shape[0], dtype=bool)
        for index, mask in read.masks.items():
            masks_kji[index] = mask
        known[[*read.masks, *read.without]] = True
        if order.slice_axis != "k":
            raise InputError(f"{config.labels} labels k slices, but the axial slices of {config.ct} are others.")
    else:
        found = read_labelmap(config.labels)
        check_grid(found, volume, f"the training case {config.name}")
        labelmap, shape = found.array, found.array.shape
        masks_kji = np.isin(labelmap, config.values) if config.values else labelmap > 0
        known = np.ones(shape[{"k": 0, "j": 1, "i": 2}[order.slice_axis]], dtype=bool)
    if tuple(shape) != volume.array.shape:
        raise InputError(f"The labels {config.labels} and the CT {config.ct} have different grids.")
    if not known.any():
        raise InputError(f"The labels {config.labels} say nothing of any slice.")
    masks = order.forward(masks_kji)
    known_axial = known[[order.slice_index(index, volume.array.shape) for index in range(len(masks))]]
    filled = masks.any((1, 2))
    return replace(
        unlabelled_case(config.name, volume, spec),
        masks={int(k): np.ascontiguousarray(masks[k]) for k in np.flatnonzero(filled & known_axial)},
        without=tuple(int(k) for k in np.flatnonzero(~filled & known_axial)),
    )


def unlabelled_case(name: str, volume: Volume, spec: PreprocessingSpec) -> Case:
    """A case of whose slices nothing is known yet.

    Args:
        name: Name of the patient.
        volume: The CT.
        spec: The preprocessing, for the body crop's margin.
    """
    axial, spacing = volume.axial_order.forward(volume.array), volume.axial_order.spacing(volume.spacing)
    whole = (0, 0, axial.shape[1], axial.shape[2])
    return Case(name, axial, spacing, {}, (), (whole, body_crop(axial, spacing[1:], spec.body_margin_mm)))
