"""Labelled cases: a CT with what is known of each of its slices. Every trainer takes them in this one form."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from sammix_core.datasets.labels import CaseLabels
from sammix_core.errors import InputError
from sammix_core.preprocessing.body_crop import body_crop
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import read_labels_on_ct

CASE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # files are called so
Crop = tuple[int, int, int, int]


@dataclass(frozen=True)
class CaseConfig:
    """Where a case lies, and how much of its labels is used. Slice indices are those of the CT's own slice axis.

    Attributes:
        name: Name of the case, one volume; views and labels go by it.
        ct: The CT, a file or a DICOM folder.
        labels: A label file (`sammix-labels/2`) for some slices, a labelmap for all, or None.
        values: Values of the labelmap that are the target; empty means all above zero.
        labelled: Slices whose masks are used: all that there are (None), so many spread evenly, or these.
        image_level: Whether the labels also say of the other slices if they show the structure.
        present, absent: Further slices that are known to show the structure, or not to.
        patient: Name of the patient, of whom there may be several cases; the case's own by default. Folds, splits and
            draws go by it.
        values_are_hu: Whether someone who knows says that the CT is in Hounsfield units, so that it is not checked.
    """

    name: str
    ct: Path
    labels: Path | None = None
    values: tuple[int, ...] = ()
    labelled: int | tuple[int, ...] | None = None
    image_level: bool = True
    present: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()
    patient: str = ""
    values_are_hu: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "patient", self.patient or self.name)


@dataclass(frozen=True, eq=False)
class LabelledCase:
    """A CT and what is known of its slices; all slice indices are those of the canonical axial order.

    Attributes:
        name: Name of the case; for messages, and for what is stored of it.
        volume: The CT.
        masks: Slice -> (rows, cols) bool, for the slices with a mask that is not empty.
        absent: Slices known to be without the structure, ascending, so that their masks are known to be empty.
        present: Slices known to show the structure, ascending, without a mask.
        patient: Name of the patient, by whom splits are made; the case's own by default.

    Example:
        >>> volume = Volume(np.zeros((4, 2, 2), np.int16), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0), np.eye(3))
        >>> liver = np.zeros((4, 2, 2), bool)
        >>> liver[1] = True
        >>> case = LabelledCase.from_mask("anna", volume, liver, labelled={0, 1})
        >>> list(case.masks), case.absent, case.unknown
        ([1], (0,), (2, 3))
    """

    name: str
    volume: Volume = field(repr=False)
    masks: dict[int, np.ndarray] = field(repr=False)
    absent: tuple[int, ...] = ()
    present: tuple[int, ...] = ()
    patient: str = ""
    _body: dict[float, Crop] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "patient", self.patient or self.name)

    @classmethod
    def from_mask(
        cls, name: str, volume: Volume, mask: np.ndarray, labelled: Collection[int] | None = None
    ) -> LabelledCase:
        """Sorts the slices of a mask.

        Args:
            name: Name of the case.
            volume: The CT.
            mask: (k, j, i) bool on the CT's grid.
            labelled: Indices along the CT's slice axis whose mask is known, empty ones included; None for all.
        """
        order, shape = volume.axial_order, volume.shape_kji
        axial = order.forward(mask)
        shown = np.asarray(axial.any((1, 2)))
        slices = [k for k in range(len(axial)) if labelled is None or order.slice_index(k, shape) in labelled]
        masks = {k: np.ascontiguousarray(axial[k]) for k in slices if shown[k]}
        return cls(name, volume, masks, tuple(k for k in slices if not shown[k]))

    @property
    def order(self) -> AxialOrder:
        """How the CT's axes become canonical axial slices."""
        return self.volume.axial_order

    @cached_property
    def axial(self) -> np.ndarray:
        """(slices, rows, cols) HU in canonical axial order."""
        return self.order.forward(self.volume.array)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """(slice, row, col) mm."""
        return self.order.spacing(self.volume.spacing)

    @property
    def labelled(self) -> np.ndarray:
        """(slices,) bool: slices whose mask is known, empty ones included."""
        labelled = np.zeros(len(self.axial), dtype=bool)
        labelled[[*self.masks, *self.absent]] = True
        return labelled

    @cached_property
    def unknown(self) -> tuple[int, ...]:
        """Slices of which nothing is known, ascending."""
        described = {*self.masks, *self.absent, *self.present}
        return tuple(index for index in range(len(self.axial)) if index not in described)

    def mask_volume(self) -> np.ndarray:
        """(slices, rows, cols) bool in canonical axial order; False on unlabelled slices as well."""
        volume = np.zeros(self.axial.shape, dtype=bool)
        for index, mask in self.masks.items():
            volume[index] = mask
        return volume

    def planes(self) -> dict[int, np.ndarray]:
        """Mask of each labelled slice by its index along the CT's slice axis, ascending, in the CT's in-plane axes."""
        shape = self.volume.shape_kji
        empty = np.zeros(self.axial.shape[1:], dtype=bool)
        planes = {
            self.order.slice_index(k, shape): self.order.slice_to_volume(self.masks.get(k, empty))
            for k in (*self.masks, *self.absent)
        }
        return dict(sorted(planes.items()))

    def crops(self, spec: PreprocessingSpec) -> tuple[Crop, Crop]:
        """The whole slice and the body crop, each (row_min, col_min, row_max, col_max), half-open.

        Args:
            spec: The preprocessing, for the body crop's margin.
        """
        margin = spec.body_margin_mm
        if margin not in self._body:
            self._body[margin] = body_crop(self.axial, self.spacing[1:], margin)
        return (0, 0, *self.axial.shape[1:]), self._body[margin]


def load_case(config: CaseConfig, volume: Volume | None = None) -> LabelledCase:
    """Reads CT and labels; every mask is used, whatever `config.labelled` says.

    Args:
        config: Where they are.
        volume: The CT where it has been read already.

    Raises:
        InputError: A file is unusable, labels and CT are on different grids, or the labels cover no slice.
    """
    if volume is None:
        volume = read_volume(config.ct, values_are_hu=config.values_are_hu)
    return replace(_with_labels(config, volume), patient=config.patient)


def _with_labels(config: CaseConfig, volume: Volume) -> LabelledCase:
    if config.labels is None:
        return LabelledCase(config.name, volume, {})
    if config.labels.suffix == ".json":
        return _with_label_file(config, config.labels, volume)
    labelmap = read_labels_on_ct(config.labels, volume, f"the training case {config.name}")
    chosen = [labelmap.mask(value) for value in config.values]
    mask = np.logical_or.reduce(chosen) if chosen else labelmap.array > 0
    return LabelledCase.from_mask(config.name, volume, mask)


def _with_label_file(config: CaseConfig, file: Path, volume: Volume) -> LabelledCase:
    labels = CaseLabels.read(file)
    if tuple(labels.shape) != volume.shape_kji:
        raise InputError(f"The labels {file.name} and the CT {config.ct.name} lie on different grids.")
    if volume.axial_order.slice_axis != "k":
        raise InputError(f"{file.name} labels k slices, but the axial slices of {config.ct.name} are others.")
    labelled = {*labels.masks, *labels.without}
    if not labelled:
        raise InputError(f"The labels {file.name} cover no slice.")
    mask = np.zeros(labels.shape, dtype=bool)
    for index, plane in labels.masks.items():
        mask[index] = plane
    case = LabelledCase.from_mask(config.name, volume, mask, labelled)
    order = volume.axial_order
    return replace(
        case, present=tuple(sorted(order.canonical_slice(index, volume.shape_kji) for index in labels.present))
    )
