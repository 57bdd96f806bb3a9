"""Labelmaps from files. They are no CT, so the checks on Hounsfield units do not apply to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sammix_core.errors import InputError

if TYPE_CHECKING:
    from sammix_core.volume.volume import Volume
    from sammix_core.volume_io.raw_image import RawImage

_NIFTI_SUFFIXES = (".nii", ".nii.gz")

# Headers round: NIfTI keeps float32, and a scanner's origin has a few decimals. A tenth of a voxel shifts no voxel.
_CORNER_TOLERANCE_VOXELS = 0.1


@dataclass(frozen=True)
class Labelmap:
    """Labels on a grid.

    Attributes:
        array: (k, j, i), an integer dtype.
        spacing: (i, j, k) in mm.
        origin: LPS in mm of the centre of voxel (0, 0, 0).
        direction: (3, 3) float64; its columns are the LPS unit vectors of the i, j and k axes.
        spacing_known: False where the file says nothing of its spacing.
        name: The file's base name, for messages.
        segment_names: The names of segments by their label, where the file has them, as 3D Slicer's .seg.nrrd.
        covered: (n, 3) int (k, j, i) by label: the voxels of a segment where `array` has the label of another one that
            lies over it.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: np.ndarray
    spacing_known: bool
    name: str
    segment_names: Mapping[int, str] = field(default_factory=dict)
    covered: Mapping[int, np.ndarray] = field(default_factory=dict)

    def labels(self) -> list[int]:
        """The labels that occur, without the background 0, in ascending order."""
        return sorted({*np.unique(self.array).tolist(), *self.covered} - {0})

    def listed(self) -> str:
        """The labels that occur, with their names, for a sentence: "1 (liver), 2 (spleen)"."""
        names = {label: f"{label} ({name})" for label, name in self.segment_names.items()}
        return ", ".join(names.get(label, str(label)) for label in sorted({*self.labels(), *names})) or "none"

    def label_of(self, name: int | str) -> int:
        """Finds a label by its number or by the name of its segment.

        Args:
            name: A number ("2" is one, too), or a segment's name in large or small letters.

        Raises:
            InputError: There is no such label, or several segments have this name; the sentence lists the labels.
        """
        if isinstance(name, int) or name.strip().isdecimal():
            number = int(name)
            if number == 0:
                raise InputError("Label 0 is the background; name another one.")
            if number not in self.labels() and number not in self.segment_names:
                raise InputError(f"{self.name} has no label {number}; it has {self.listed()}.")
            return number
        if not self.segment_names:
            raise InputError(f"{self.name} names no segments, so take a label's number; it has {self.listed()}.")
        wanted = name.strip().casefold()
        found = [label for label, title in self.segment_names.items() if title.strip().casefold() == wanted]
        if len(found) != 1:
            count = "no segment" if not found else f"{len(found)} segments"
            hint = "" if not found else ", so take the number"
            raise InputError(f'{self.name} has {count} "{name}"{hint}; it has {self.listed()}.')
        return found[0]

    def mask_of(self, *labels: int) -> np.ndarray:
        """Where any of these labels is, also below other segments: (k, j, i) bool."""
        mask = np.isin(self.array, labels)
        for label in labels:
            if label in self.covered:
                mask[tuple(self.covered[label].T)] = True
        return mask

    def difference_from(self, other: Labelmap) -> str | None:
        """Says how the grid differs from another one, or None when both are the same.

        Grids are compared by where their corners lie, so that one written by another program, rounded, passes.
        """
        if self.array.shape != other.array.shape:
            mine, theirs = (" x ".join(map(str, reversed(grid.array.shape))) for grid in (self, other))
            return f"{self.name} has {mine} voxels and {other.name} has {theirs}"
        tolerance = _CORNER_TOLERANCE_VOXELS * min(*self.spacing, *other.spacing)
        distance = float(np.linalg.norm(self._corners_lps() - other._corners_lps(), axis=1).max())
        if distance > tolerance:
            return f"their corners lie up to {distance:.1f} mm apart"
        return None

    def placed_on(self, grid: Labelmap) -> Labelmap:
        """The same labels on another grid of the same voxels: in another order of axes, or cropped to its segments.

        Args:
            grid: Where to place them; what lies outside of `self` is background.

        Returns:
            The labels on that grid; `self` where it is on it already, or where the grids have other voxels.
        """
        if self.difference_from(grid) is None:
            return self
        steps = np.linalg.solve(grid._steps_lps(), self._steps_lps())
        start = np.linalg.solve(grid._steps_lps(), np.asarray(self.origin) - np.asarray(grid.origin))
        axes = np.rint(steps)
        last = np.array(self.array.shape[::-1]) - 1
        corners = np.array(list(np.ndindex(2, 2, 2))) * last
        exact, rounded = corners @ steps.T + start, corners @ axes.T + np.rint(start)
        is_lattice = np.array_equal(np.abs(axes).sum(0), np.ones(3)) and np.array_equal(np.abs(axes).sum(1), np.ones(3))
        if not is_lattice or np.abs(exact - rounded).max() > _CORNER_TOLERANCE_VOXELS:
            return self
        sizes = np.array(grid.array.shape[::-1])
        is_whole = np.array_equal(rounded.min(0), np.zeros(3)) and np.array_equal(rounded.max(0), sizes - 1)
        if not is_whole and not self.segment_names:
            return self  # only segmentations are cropped; another labelmap of another size is of another image

        def on_grid(voxels_kji: np.ndarray) -> np.ndarray:
            return np.rint(voxels_kji[:, ::-1] @ axes.T + np.rint(start)).astype(int)[:, ::-1]

        labelled = on_grid(np.argwhere(self.array))
        if len(labelled) and (labelled.min() < 0 or (labelled.max(0) >= grid.array.shape).any()):
            return self  # it has labels where the grid ends: not the same place
        placed = np.zeros(grid.array.shape, self.array.dtype)
        placed[tuple(labelled.T)] = self.array[self.array != 0]
        return replace(
            self,
            array=placed,
            spacing=grid.spacing,
            origin=grid.origin,
            direction=grid.direction,
            covered={label: on_grid(voxels) for label, voxels in self.covered.items()},
        )

    def _steps_lps(self) -> np.ndarray:
        """(3, 3) LPS in mm: a step along i, j and k in its columns."""
        return np.asarray(self.direction) * np.asarray(self.spacing)

    def _corners_lps(self) -> np.ndarray:
        """(8, 3) LPS in mm of the centres of the corner voxels."""
        last_ijk = np.array(self.array.shape[::-1]) - 1
        corners_ijk = np.array(list(np.ndindex(2, 2, 2))) * last_ijk
        return np.asarray(self.origin) + (corners_ijk * self.spacing) @ self.direction.T


def grid_of(volume: Volume) -> Labelmap:
    """A CT's grid, to compare labels with and to place them on; its array is the CT's own."""
    return Labelmap(volume.array, volume.spacing, volume.origin, volume.direction, volume.spacing_known, "the CT")


def grid_difference(labelmap: Labelmap, volume: Volume) -> str | None:
    """How a labelmap's grid differs from a CT's, or None where it is the same; see `Labelmap.difference_from`."""
    return labelmap.difference_from(grid_of(volume))


def placed_on_ct(labelmap: Labelmap, volume: Volume, case: str) -> Labelmap:
    """Places labels on the CT's own grid; what cannot be placed would be of other places than it says.

    Args:
        labelmap: The labels, on the CT's voxels: in any order of axes, whole or cropped.
        volume: The CT.
        case: What the message calls both.

    Returns:
        The labels on the CT's grid.

    Raises:
        InputError: The grids have other voxels.
    """
    placed = labelmap.placed_on(grid_of(volume))
    difference = grid_difference(placed, volume)
    if difference is not None:
        raise InputError(
            f"The labels and the CT of {case} lie on different grids ({difference}); save the labels on the grid of "
            "the CT."
        )
    return placed


def read_labelmap(path: str | Path) -> Labelmap:
    """Reads a labelmap in NIfTI, NRRD or MetaImage.

    Args:
        path: The file.

    Returns:
        The labels on the file's own grid; of a .seg.nrrd of 3D Slicer all segments, each with a label of its own. Where
        segments overlap, `array` shows the smaller one, and `mask_of` has each whole.

    Raises:
        InputError: The file is missing, cut short, of another format, not three-dimensional or holds no whole numbers.
    """
    file = Path(path).expanduser()
    try:
        image, pairs = _read(file)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    array, names, covered = _merged(_whole_numbers(image.array, file.name), pairs, file.name)
    return Labelmap(
        array=array,
        spacing=image.spacing,
        origin=image.origin,
        direction=image.direction,
        spacing_known=image.spacing_known,
        name=file.name,
        segment_names=names,
        covered=covered,
    )


def _read(file: Path) -> tuple[RawImage, dict[str, str]]:
    from sammix_core.volume_io.itk_files import IMAGE_IO, read_itk_layers
    from sammix_core.volume_io.nifti import read_nifti

    if not file.exists():
        raise InputError(f"{file} does not exist.")
    if not file.is_file():
        raise InputError(f"{file} is a folder; name one labelmap file.")
    if file.name.lower().endswith(_NIFTI_SUFFIXES):
        return read_nifti(file), {}
    if file.suffix.lower() in IMAGE_IO:
        return read_itk_layers(file)
    suffixes = ", ".join((*_NIFTI_SUFFIXES, *IMAGE_IO))
    raise InputError(f"{file.name} is no labelmap that can be read; known are {suffixes}.")


def _whole_numbers(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind in "iu":
        return array
    labels = np.rint(array)
    if not np.array_equal(labels, array):
        raise InputError(f"{name} holds values that are not whole numbers, so it is no labelmap.")
    return labels.astype(np.int64)


def _merged(
    array: np.ndarray, pairs: Mapping[str, str], name: str
) -> tuple[np.ndarray, dict[int, str], dict[int, np.ndarray]]:
    """Layers of segments as one labelmap; the segments' names by label, and what is covered of them.

    Args:
        array: (k, j, i), or (k, j, i, layer).
        pairs: Key/value pairs of the header, "Segment0_Layer" and the like among them.
        name: The file's name, for the sentence.
    """
    numbers = sorted(int(match[1]) for key in pairs if (match := re.fullmatch(r"Segment(\d+)_ID", key)))
    if not numbers:
        if array.ndim == 4:
            raise InputError(
                f"{name} holds {array.shape[3]} values a voxel and names no segments, so it is no labelmap."
            )
        return array, {}, {}
    layers = array if array.ndim == 4 else array[..., None]
    segments = []
    for number in numbers:
        try:
            layer = int(pairs.get(f"Segment{number}_Layer") or 0)
            value = int(pairs.get(f"Segment{number}_LabelValue") or number + 1)
        except ValueError as error:
            raise InputError(f"{name} has a damaged header: segment {number} has no layer or label.") from error
        if not 0 <= layer < layers.shape[3]:
            raise InputError(f"{name} has a damaged header: segment {number} is in layer {layer}, which is not there.")
        segments.append((layer, value, pairs.get(f"Segment{number}_Name") or f"segment {number}"))
    if layers.shape[3] == 1:
        return layers[..., 0], {value: title for _, value, title in segments}, {}
    is_unique = len({value for _, value, _ in segments}) == len(segments)
    masks, names = {}, {}
    for index, (layer, value, title) in enumerate(segments):
        label = value if is_unique else index + 1
        masks[label], names[label] = layers[..., layer] == value, title
    merged, covered = overlaid(masks)
    return merged, names, covered


def overlaid(masks: Mapping[int, np.ndarray]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Makes one labelmap of masks that may overlap: the smaller one lies on top.

    Args:
        masks: (k, j, i) bool by label, at least one.

    Returns:
        `Labelmap.array`, (k, j, i) int64, and `Labelmap.covered`.
    """
    merged = np.zeros(next(iter(masks.values())).shape, np.int64)
    for label in sorted(masks, key=lambda label: -np.count_nonzero(masks[label])):
        merged[masks[label]] = label
    hidden = {label: np.argwhere(mask & (merged != label)) for label, mask in masks.items()}
    return merged, {label: voxels for label, voxels in hidden.items() if len(voxels)}
