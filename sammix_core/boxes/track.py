"""The boxes of one volume: who may replace whose, keyframes, and the slices between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sammix_core.boxes.box import Box, BoxSource
from sammix_core.boxes.click import Click
from sammix_core.boxes.file_format import AXES, BoxFile, check_in_plane, check_slice, checked_shape, one_a_slice
from sammix_core.errors import InputError
from sammix_core.volume.axial_order import SliceAxis
from sammix_core.volume.grid import VolumeGrid

if TYPE_CHECKING:
    from sammix_core.volume.volume import Volume

# A box replaces one of its own rank or below, so that what a person did outlives what the program guesses.
_RANK = {BoxSource.AUTO: 0, BoxSource.INTERPOLATED: 1, BoxSource.EDITED: 2}
_ONE_BOX = "this version segments from one box a slice, so leave the others out"
_CLICKS_UNUSED = "The clicks in the box file were left out: this version segments from boxes alone."


class BoxTrack(Mapping[int, Box]):
    """The boxes of one volume, at most one a slice; a mapping from slice index to box, sorted by slice.

    Args:
        shape: The volume's (n_i, n_j, n_k), in voxels.
        slice_axis: The volume's axis along which the slices are stacked.
        boxes: Boxes to start with, set one after the other.
        grid: Where the volume's voxels lie, so that the boxes are known again on the same CT in another order of axes;
            None where that is not known.

    Attributes:
        grid: As given.
        clicks: Points that came with the boxes from a file; kept and written again.

    Raises:
        InputError: The shape or axis is none, or a box lies outside the volume.

    Example:
        >>> track = BoxTrack((512, 512, 40))
        >>> track.set(Box(10, 100, 80, 300, 260, BoxSource.EDITED))
        True
        >>> track.set(Box(10, 0, 0, 9, 9, BoxSource.AUTO))  # a person's box stays
        False
        >>> track.set(Box(12, 110, 80, 301, 270, BoxSource.EDITED))
        True
        >>> track.interpolate()
        [11]
        >>> track[11].edges
        (105, 80, 301, 265)
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        slice_axis: SliceAxis = "k",
        boxes: Iterable[Box] = (),
        grid: VolumeGrid | None = None,
    ) -> None:
        self._shape = checked_shape(shape, slice_axis)
        self._slice_axis = slice_axis
        self.grid = grid
        self.clicks: tuple[Click, ...] = ()
        self._boxes: dict[int, Box] = {}
        self._deleted: set[int] = set()
        self.update(boxes)

    @classmethod
    def for_volume(cls, volume: Volume, boxes: Iterable[Box] = ()) -> Self:
        """A track on a volume's axial slices.

        Args:
            volume: The volume.
            boxes: Boxes to start with.
        """
        n_k, n_j, n_i = volume.shape_kji
        return cls((n_i, n_j, n_k), volume.axial_order.slice_axis, boxes, VolumeGrid.of(volume))

    @property
    def shape(self) -> tuple[int, int, int]:
        """The volume's (n_i, n_j, n_k)."""
        return self._shape

    @property
    def slice_axis(self) -> SliceAxis:
        """The volume's axis along which the slices are stacked."""
        return self._slice_axis

    @property
    def in_plane_axes(self) -> tuple[SliceAxis, SliceAxis]:
        """The volume's axes that play "i" and "j" in the boxes."""
        first, second = (axis for axis in AXES if axis != self._slice_axis)
        return (first, second)

    @property
    def slice_count(self) -> int:
        """How many slices the volume has along the slice axis."""
        return self._size(self._slice_axis)

    @property
    def keyframes(self) -> tuple[int, ...]:
        """The slices whose box a person set, sorted."""
        return tuple(index for index, box in self.items() if box.source is BoxSource.EDITED)

    @property
    def deleted(self) -> frozenset[int]:
        """The slices where a person took the box away: automatic boxes do not come back there."""
        return frozenset(self._deleted)

    def __getitem__(self, slice_index: int) -> Box:
        return self._boxes[slice_index]

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._boxes))

    def __len__(self) -> int:
        return len(self._boxes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoxTrack):
            return NotImplemented
        # Not where the voxels lie: that is for `placed_on`, which allows for rounding.
        return (self._shape, self._slice_axis, self._boxes, self._deleted, self.clicks) == (
            other._shape,
            other._slice_axis,
            other._boxes,
            other._deleted,
            other.clicks,
        )

    __hash__ = None  # type: ignore[assignment]  # a track changes

    def __repr__(self) -> str:
        return f"BoxTrack(shape={self._shape}, slice_axis={self._slice_axis!r}, {len(self)} boxes)"

    def set(self, box: Box) -> bool:
        """Puts a box on its slice, unless what is there came from someone with more say.

        An edited box replaces any other, an interpolated one replaces interpolated and automatic ones, an automatic
        one only automatic ones, and it does not come back where a person deleted.

        Args:
            box: The box, on this volume's grid.

        Returns:
            Whether the box is in the track now.

        Raises:
            InputError: The box lies outside the volume.
        """
        self._check_inside(box)
        there = self._boxes.get(box.slice_index)
        if there is not None and _RANK[box.source] < _RANK[there.source]:
            return False
        if box.slice_index in self._deleted and box.source is BoxSource.AUTO:
            return False
        self._deleted.discard(box.slice_index)
        self._boxes[box.slice_index] = box
        return True

    def update(self, boxes: Iterable[Box]) -> int:
        """Sets boxes one after the other (a track: pass its `.values()`).

        Args:
            boxes: Boxes on this volume's grid.

        Returns:
            How many of them were set; the others met a box with more say.

        Raises:
            InputError: A box lies outside the volume; those before it were set.
        """
        return sum([self.set(box) for box in boxes])

    def delete(self, slice_index: int) -> None:
        """Takes the box of a slice away for good: the user says that no liver is there.

        Args:
            slice_index: The slice; it need not have a box.

        Raises:
            InputError: The volume has no such slice.
        """
        slice_index = self._check_slice(slice_index)
        self._boxes.pop(slice_index, None)
        self._deleted.add(slice_index)

    def reset(self, slice_index: int | None = None) -> None:
        """Forgets what a person did, on one slice or on all; automatic boxes stay and can be set again.

        Args:
            slice_index: The slice to reset; None for all.

        Raises:
            InputError: The volume has no such slice.
        """
        indices = {*self._boxes, *self._deleted} if slice_index is None else {self._check_slice(slice_index)}
        self._deleted -= indices
        for index in indices & self._boxes.keys():
            if self._boxes[index].source is not BoxSource.AUTO:
                del self._boxes[index]

    def interpolate(self, first: int | None = None, last: int | None = None) -> list[int]:
        """Fills the slices between neighbouring keyframes with boxes whose edges move linearly from one to the next.

        Halves are rounded up (towards higher indices) in whole-number arithmetic, so that every machine gets the same
        boxes, and no box comes out empty.

        Args:
            first: Keyframe to start from; None for the first there is.
            last: Keyframe to end at; None for the last there is.

        Returns:
            The slices that were filled, sorted.

        Raises:
            InputError: `first` or `last` has no edited box.
        """
        keyframes = self.keyframes
        for index in (first, last):
            if index is not None and index not in keyframes:
                raise InputError(f"Slice {index} has no box set by a person to interpolate from.")
        chosen = [index for index in keyframes if (first is None or index >= first) and (last is None or index <= last)]
        filled = []
        for start, end in pairwise(chosen):
            for index in range(start + 1, end):
                self.set(_box_between(self._boxes[start], self._boxes[end], index))
                filled.append(index)
        return filled

    def copy(self) -> BoxTrack:
        """A track of its own with the same boxes (which are immutable)."""
        twin = BoxTrack(self._shape, self._slice_axis, grid=self.grid)
        twin.clicks = self.clicks
        twin._boxes = dict(self._boxes)
        twin._deleted = set(self._deleted)
        return twin

    def check_fits(self, volume: Volume) -> None:
        """Makes sure that the boxes were made on a volume like this one; see `placed_on`.

        Raises:
            InputError: They were not.
        """
        self.placed_on(volume)

    def placed_on(self, volume: Volume) -> tuple[BoxTrack, tuple[str, ...]]:
        """Carries the boxes over to a volume that holds the same voxels, whatever the order of its axes.

        Args:
            volume: The volume that the boxes shall be used on.

        Returns:
            A track of its own on the volume's grid, and plain sentences on what was done, left out or not checked.

        Raises:
            InputError: The boxes are of another CT or another grid, or not on axial slices.
        """
        file, notes = self.to_file().placed_on(volume)
        return BoxTrack.from_file(file), (*notes, *([_CLICKS_UNUSED] if file.clicks else []))

    def to_file(self) -> BoxFile:
        """What a file says of the track."""
        return BoxFile(
            self._shape, self._slice_axis, self.grid, tuple(self.values()), self.clicks, tuple(sorted(self._deleted))
        )

    @classmethod
    def from_file(cls, file: BoxFile) -> Self:
        """The track that a file holds.

        Raises:
            InputError: A slice has several boxes; `BoxFile` reads them all.
        """
        one_a_slice(file.boxes, _ONE_BOX)
        track = cls(file.shape, file.slice_axis, file.boxes, file.grid)
        track.clicks = file.clicks
        track._deleted.update(file.deleted)
        return track

    def to_json(self) -> dict[str, Any]:
        """The track as `sammix-boxes/2`: plain dicts, lists, numbers and strings, sorted by slice."""
        return self.to_file().to_json()

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Reads what `to_json` made, or a person wrote, and takes nothing that it does not know.

        Args:
            document: What `json.loads` returns for a `sammix-boxes/2` or `sammix-boxes/1` file.

        Returns:
            The track.

        Raises:
            InputError: `BoxFile.from_json` refuses it, or a slice has several boxes.
        """
        return cls.from_file(BoxFile.from_json(document))

    def write(self, path: str | Path) -> None:
        """Writes the boxes as a `sammix-boxes/2` file, one box a line, whole or not at all.

        Args:
            path: The file to write.

        Raises:
            InputError: It cannot be written.
        """
        self.to_file().write(path)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads a `sammix-boxes/2` or `sammix-boxes/1` file.

        Args:
            path: The file.

        Returns:
            The track.

        Raises:
            InputError: The file is missing, is no JSON, or `from_json` refuses it; the sentence names the file.
        """
        file = BoxFile.read(path)
        try:
            return cls.from_file(file)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def _size(self, axis: SliceAxis) -> int:
        return self._shape[AXES.index(axis)]

    def _check_slice(self, slice_index: int) -> int:
        return check_slice(slice_index, self.slice_count)

    def _check_inside(self, box: Box) -> None:
        self._check_slice(box.slice_index)
        first, second = (self._size(axis) for axis in self.in_plane_axes)
        check_in_plane(box.slice_index, (box.i_max, box.j_max), (first, second), "box")


def _box_between(start: Box, end: Box, index: int) -> Box:
    """Linear between two boxes, halves up; with whole numbers, since round() and floats differ in the last place."""
    steps = end.slice_index - start.slice_index
    done = index - start.slice_index
    i_min, j_min, i_max, j_max = (
        (2 * (a * (steps - done) + b * done) + steps) // (2 * steps)
        for a, b in zip(start.edges, end.edges, strict=True)
    )
    return Box(index, i_min, j_min, i_max, j_max, BoxSource.INTERPOLATED, part=start.part)
