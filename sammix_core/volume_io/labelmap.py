"""Labels on a grid: which segments there are, and how they are placed on the grid of a CT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from sammix_core.errors import InputError
from sammix_core.masks.packed_mask import BoxedMask

if TYPE_CHECKING:
    from sammix_core.volume.volume import Volume

LabelChoice = int | str  # a segment by its label, or by its name

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
        whole: The whole masks of segments that are partly hidden in `array` by a smaller one, by label.
        frame_of_reference: The frame of reference that a DICOM file says its segments lie in; "" for others.
        series: The series that a DICOM file says its segments were drawn on; empty where it does not say.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: np.ndarray
    spacing_known: bool
    name: str
    segment_names: Mapping[int, str] = field(default_factory=dict)
    whole: Mapping[int, BoxedMask] = field(default_factory=dict, repr=False)
    frame_of_reference: str = ""
    series: frozenset[str] = frozenset()

    def labels(self) -> list[int]:
        """The labels that occur, without the background 0, in ascending order."""
        return sorted({int(label) for label in np.unique(self.array) if label != 0} | set(self.whole))

    def find_label(self, choice: LabelChoice) -> int | None:
        """The label of a segment.

        Args:
            choice: Its label, as a number or as text, or its name; capitals do not matter.

        Returns:
            The label, or None where there is no such segment.

        Raises:
            InputError: Several segments have the name.
        """
        if isinstance(choice, int) or choice.isdecimal():
            return int(choice) if int(choice) in {*self.labels(), *self.segment_names} else None
        matching = [label for label, name in self.segment_names.items() if name.casefold() == choice.casefold()]
        if len(matching) > 1:
            numbers = ", ".join(map(str, matching))
            raise InputError(f"{self.name} has several segments named {choice} ({numbers}); give the number.")
        return matching[0] if matching else None

    def label_of(self, choice: LabelChoice) -> int:
        """The label of a segment that must be there; see `find_label`.

        Raises:
            InputError: There is no such segment, or several have the name.
        """
        label = self.find_label(choice)
        if label is not None:
            return label
        is_number = isinstance(choice, int) or choice.isdecimal()
        if is_number and int(choice) == 0:
            raise InputError("Label 0 is the background; name the label of the structure.")
        if not is_number and not self.segment_names:
            raise InputError(
                f"{self.name} names no segments, so give a number; it has {self.listed_labels() or 'none'}."
            )
        what = "label" if is_number else "segment named"
        raise InputError(f"{self.name} has no {what} {choice}; it has {self.listed_labels() or 'none'}.")

    def mask(self, label: int | None) -> np.ndarray:
        """The voxels of one label, those under a smaller segment included.

        Args:
            label: The label; None for all but 0.

        Returns:
            (k, j, i) bool.
        """
        if label is None:
            return self.array != 0
        hidden = self.whole.get(label)
        return self.array == label if hidden is None else hidden.on(shape_of(self.array))

    def listed_labels(self) -> str:
        """The labels with the names of their segments, for sentences: "1 (liver), 2 (Lesion 1)"."""
        names = self.segment_names
        every = sorted({*self.labels(), *names})  # a segment may be empty
        return ", ".join(f"{label} ({names[label]})" if label in names else str(label) for label in every)

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
        shape = shape_of(grid.array)

        def place(array: np.ndarray) -> np.ndarray | None:
            inside = np.argwhere(array)[:, ::-1] @ axes.T + np.rint(start)
            if len(inside) and (inside.min() < 0 or (inside.max(0) >= sizes).any()):
                return None  # it has labels where the grid ends: not the same place
            placed = np.zeros(shape, array.dtype)
            if len(inside):
                i, j, k = inside.astype(int).T
                placed[k, j, i] = array[array != 0]
            return placed

        array = place(self.array)
        if array is None:
            return self
        whole = {}
        for label, mask in self.whole.items():
            moved = place(mask.on(shape_of(self.array)))
            assert moved is not None  # every voxel of it has a label in `array`
            whole[label] = BoxedMask.pack(moved)
        return replace(
            self, array=array, spacing=grid.spacing, origin=grid.origin, direction=grid.direction, whole=whole
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


def on_one_grid(first: Labelmap, second: Labelmap) -> tuple[Labelmap, Labelmap]:
    """Places one labelmap on the grid of the other, or segmentations that were cropped each on a grid round both.

    Returns:
        Both; on different grids still where they hold other voxels.
    """
    if first.array.size < second.array.size:
        first = first.placed_on(second)
    else:
        second = second.placed_on(first)
    if first.difference_from(second) is None or not (first.segment_names and second.segment_names):
        return first, second
    steps = first._steps_lps()
    corners = np.linalg.solve(steps, (second._corners_lps() - np.asarray(first.origin)).T).T
    lowest = np.minimum(np.rint(corners.min(0)), 0).astype(int)
    highest = np.maximum(np.rint(corners.max(0)), np.array(first.array.shape[::-1]) - 1).astype(int)
    x, y, z = np.asarray(first.origin) + steps @ lowest
    n_i, n_j, n_k = highest - lowest + 1
    both = replace(first, array=np.broadcast_to(np.uint8(0), (n_k, n_j, n_i)), origin=(float(x), float(y), float(z)))
    placed = first.placed_on(both), second.placed_on(both)
    return placed if placed[0].difference_from(placed[1]) is None else (first, second)


def check_same_space(first: Labelmap, second: Labelmap) -> None:
    """Refuses two segmentations in DICOM that were drawn on different scans.

    Raises:
        InputError: Their frames of reference differ, or the series that they were drawn on.
    """
    names = f"{first.name} and {second.name}"
    if "" not in (first.frame_of_reference, second.frame_of_reference):
        if first.frame_of_reference != second.frame_of_reference:
            raise InputError(f"{names} lie in different frames of reference: they were drawn on different scans.")
        if first.series and second.series and not first.series & second.series:
            raise InputError(f"{names} were drawn on different series.")


def merge_masks(masks: Mapping[int, BoxedMask], shape: tuple[int, int, int]) -> tuple[np.ndarray, dict[int, BoxedMask]]:
    """Segments that may overlap as one labelmap, in which the smaller one is seen.

    Args:
        masks: The segments' voxels by label.
        shape: Of the labelmap, (k, j, i).

    Returns:
        (k, j, i) int64, and the whole masks of the segments that are partly hidden.
    """
    merged = np.zeros(shape, np.int64)
    hidden: set[int] = set()
    for label, mask in sorted(masks.items(), key=lambda entry: -entry[1].voxels):
        inside, part = mask.unpack(), merged[mask.box]
        hidden |= {int(under) for under in np.unique(part[inside]) if under}
        part[inside] = label
    return merged, {label: masks[label] for label in sorted(hidden)}


def shape_of(array: np.ndarray) -> tuple[int, int, int]:
    """The shape of a (k, j, i) array."""
    n_k, n_j, n_i = array.shape
    return n_k, n_j, n_i
