"""The boxes of one volume: who may replace whose, keyframes, and the slices between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sammix_core.boxes.box import Box, BoxSource
from sammix_core.boxes.click import Click
from sammix_core.boxes.file_format import AXES, BoxFile, check_in_plane, check_slice, checked_shape
from sammix_core.boxes.parts import SAME_PLACE, Edges, box_iou, matching_boxes
from sammix_core.errors import InputError
from sammix_core.volume.axial_order import SliceAxis
from sammix_core.volume.grid import VolumeGrid

if TYPE_CHECKING:
    from sammix_core.volume.volume import Volume

# A box replaces one of its own rank or below, so that what a person did outlives what the program guesses.
_RANK = {BoxSource.AUTO: 0, BoxSource.INTERPOLATED: 1, BoxSource.CARRIED: 1, BoxSource.EDITED: 2}
_SAME_PART = 0.2  # IoU from which a box is the deleted one of its number again


class BoxTrack(Mapping[int, tuple[Box, ...]]):
    """The boxes of one volume: a mapping from slice index to the boxes of that slice, sorted by slice and part.

    A slice has any number of boxes, one a connected part of the structure, and a part keeps its number from slice to
    slice. Slices without a box are not in the mapping.

    Args:
        shape: The volume's (n_i, n_j, n_k), in voxels.
        slice_axis: The volume's axis along which the slices are stacked.
        boxes: Boxes to start with, set one after the other.
        grid: Where the volume's voxels lie, so that the boxes are known again on the same CT in another order of axes;
            None where that is not known.

    Attributes:
        grid: As given.

    Raises:
        InputError: The shape or axis is none, or a box lies outside the volume.

    Example:
        >>> track = BoxTrack((512, 512, 40))
        >>> track.set(Box(10, 100, 80, 300, 260, BoxSource.EDITED))
        True
        >>> track.set(Box(10, 0, 0, 9, 9, BoxSource.AUTO))  # a person's box of this part stays
        False
        >>> track.set(Box(10, 330, 90, 380, 120, BoxSource.AUTO, part=1))  # a second part
        True
        >>> [box.part for box in track[10]]
        [0, 1]
        >>> track.set(Box(12, 110, 80, 301, 270, BoxSource.EDITED))
        True
        >>> track.interpolate()
        [11]
        >>> [box.edges for box in track[11]]
        [(105, 80, 301, 265)]
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
        self._clicks: dict[int, tuple[Click, ...]] = {}  # by slice; no slice is empty
        self._boxes: dict[int, dict[int, Box]] = {}  # by slice and part; no slice is empty
        self._deleted: set[int] = set()
        self._deleted_boxes: dict[int, tuple[Box, ...]] = {}  # by slice; no slice is empty
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
    def every_box(self) -> tuple[Box, ...]:
        """All boxes, sorted by slice and part."""
        return tuple(box for boxes in self.values() for box in boxes)

    @property
    def keyframes(self) -> tuple[int, ...]:
        """The slices with a box that a person set, sorted."""
        return tuple(index for index, boxes in self.items() if any(box.source is BoxSource.EDITED for box in boxes))

    @property
    def deleted(self) -> frozenset[int]:
        """The slices where a person took all boxes away: automatic boxes do not come back there."""
        return frozenset(self._deleted)

    @property
    def deleted_boxes(self) -> tuple[Box, ...]:
        """The single boxes that a person took away on slices with others, by slice: automatic ones do not come back."""
        return tuple(box for index in sorted(self._deleted_boxes) for box in self._deleted_boxes[index])

    @property
    def clicks(self) -> tuple[Click, ...]:
        """All clicks, sorted by slice and voxel."""
        return tuple(click for index in sorted(self._clicks) for click in self._clicks[index])

    def __getitem__(self, slice_index: int) -> tuple[Box, ...]:
        parts = self._boxes[slice_index]
        return tuple(parts[part] for part in sorted(parts))

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._boxes))

    def __len__(self) -> int:
        return len(self._boxes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoxTrack):
            return NotImplemented
        # Not where the voxels lie: that is for `placed_on`, which allows for rounding.
        return self._compared() == other._compared()

    __hash__ = None  # type: ignore[assignment]  # a track changes

    def __repr__(self) -> str:
        count = len(self.every_box)
        return f"BoxTrack(shape={self._shape}, slice_axis={self._slice_axis!r}, {count} boxes on {len(self)} slices)"

    def on(self, slice_index: int) -> tuple[Box, ...]:
        """The boxes of a slice, sorted by part; none for a slice without."""
        return self[slice_index] if slice_index in self._boxes else ()

    def clicks_on(self, slice_index: int) -> tuple[Click, ...]:
        """The clicks of a slice, sorted by voxel."""
        return self._clicks.get(slice_index, ())

    def add_clicks(self, clicks: Iterable[Click]) -> None:
        """Adds clicks to those that are there; see `put_clicks`.

        Raises:
            InputError: A click lies outside the volume; nothing has changed.
        """
        clicks = tuple(clicks)
        self.check_clicks(clicks)
        for click in clicks:
            self.put_clicks(click.slice_index, (*self.clicks_on(click.slice_index), click))

    def check_clicks(self, clicks: Iterable[Click]) -> None:
        """Makes sure that clicks lie inside the volume.

        Raises:
            InputError: One does not.
        """
        for click in clicks:
            self._check_inside(click.slice_index, (click.i + 1, click.j + 1), "click")

    def put_clicks(self, slice_index: int, clicks: Iterable[Click]) -> None:
        """Replaces the clicks of a slice, with or without boxes; of several on one voxel the last one counts.

        Args:
            slice_index: The slice.
            clicks: Its clicks, on this volume's grid.

        Raises:
            InputError: A click lies on another slice or outside the volume; nothing has changed.
        """
        slice_index, clicks = self._check_slice(slice_index), tuple(clicks)
        self.check_clicks(clicks)
        for click in clicks:
            self._check_on(slice_index, click.slice_index, "click")
        by_voxel = {(click.i, click.j): click for click in clicks}
        if by_voxel:
            self._clicks[slice_index] = tuple(by_voxel[voxel] for voxel in sorted(by_voxel))
        else:
            self._clicks.pop(slice_index, None)

    def set(self, box: Box) -> bool:
        """Puts a box on its slice for its part, unless what is there came from someone with more say.

        An edited box replaces any other, an interpolated or carried one replaces all but edited ones, an automatic
        one only automatic ones. That holds for the slice's box of the same part, and for boxes of other parts in mostly
        the same place. An automatic box does not come back where a person deleted it, or all boxes of its slice.

        Args:
            box: The box, on this volume's grid.

        Returns:
            Whether the box is in the track now.

        Raises:
            InputError: The box lies outside the volume.
        """
        self._check_box(box)
        index, rank = box.slice_index, _RANK[box.source]
        there = self._boxes.get(index, {})
        beside = [other for other in there.values() if other.part != box.part and _in_same_place(other, box)]
        others = [*beside, *([there[box.part]] if box.part in there else [])]
        if any(_RANK[other.source] > rank for other in others):
            return False
        if box.source is BoxSource.AUTO and self._is_deleted(box):
            return False
        for other in beside:
            if _RANK[other.source] < rank:
                del there[other.part]
        self._place(box)
        return True

    def update(self, boxes: Iterable[Box]) -> int:
        """Sets boxes one after the other (of a track: pass its `every_box`).

        Args:
            boxes: Boxes on this volume's grid.

        Returns:
            How many of them were set; the others met a box with more say.

        Raises:
            InputError: A box lies outside the volume; those before it were set.
        """
        return sum([self.set(box) for box in boxes])

    def replace_automatic(self, boxes: Iterable[Box]) -> None:
        """Replaces all automatic boxes by those of another run, beside what a person did.

        The parts of two runs may be numbered differently, so that a box of the run is first compared with a person's
        (edited, interpolated or carried ones) by place, and only then by number. One in mostly the same place as a
        person's box is left out, and so is one whose number is that of a person's box in a place where the run has
        none: it was moved there. Others stay beside the person's, with a free number where theirs is taken.

        Args:
            boxes: Automatic boxes on this volume's grid.

        Raises:
            InputError: A box lies outside the volume; nothing has changed.
        """
        found: dict[int, list[Box]] = {}
        for box in boxes:
            self._check_box(box)
            found.setdefault(box.slice_index, []).append(box)
        for index in list(self._boxes):
            self._keep(index, [box for box in self[index] if box.source is not BoxSource.AUTO])
        for index, of_run in found.items():
            persons = self.on(index)
            covered = [[_in_same_place(box, other) for other in persons] for box in of_run]
            moved = {other.part for place, other in enumerate(persons) if not any(row[place] for row in covered)}
            left = [box for box, row in zip(of_run, covered, strict=True) if not any(row) and box.part not in moved]
            # Those whose number is free first, so that none of them loses it.
            for box in sorted(left, key=lambda box: box.part in self._boxes.get(index, {})):
                self.set(replace(box, part=self._free_part(index, box.part)))

    def put(self, slice_index: int, boxes: Sequence[Box]) -> None:
        """Replaces the boxes of a slice by these, as a person does.

        Boxes that share a number get others, see `part_at`. A box that was there and now has none in its place is
        remembered as deleted if a person set one of the new boxes, or if the new boxes are some of those that were
        there. Without any box the whole slice is deleted, see `delete`.

        Args:
            slice_index: The slice.
            boxes: Its boxes, on this volume's grid.

        Raises:
            InputError: A box lies on another slice or outside the volume, or the slice has a box from someone with more
                say than these; nothing has changed.
        """
        slice_index = self._check_slice(slice_index)
        for box in boxes:
            self._check_box_on(slice_index, box)
        there = self.on(slice_index)
        left_out = [box for box in there if box not in boxes]
        is_subset = all(box in there for box in boxes)
        rank = max((_RANK[box.source] for box in boxes), default=_RANK[BoxSource.EDITED])
        if any(_RANK[box.source] > rank for box in left_out):
            raise InputError(f"Slice {slice_index} has a box of yours, which an automatic one does not replace.")
        if not boxes:
            self.delete(slice_index)
            return
        self._keep(slice_index, [])
        self._deleted.discard(slice_index)
        for box in boxes:
            taken = box.part in self._boxes.get(slice_index, {})
            self._place(replace(box, part=self.part_at(slice_index, box.edges)) if taken else box)
        now = self.on(slice_index)
        for box in left_out if is_subset or rank == _RANK[BoxSource.EDITED] else []:
            if not any(box.part == other.part or _in_same_place(box, other) for other in now):
                self._remember_deleted(box)

    def restore(
        self,
        slice_index: int,
        boxes: Sequence[Box],
        deleted: bool = False,
        deleted_boxes: Sequence[Box] = (),
        clicks: Sequence[Click] = (),
    ) -> None:
        """Sets all that is known of a slice, whoever set what was there: for undo and saved states.

        Args:
            slice_index: The slice.
            boxes: Its boxes.
            deleted: Whether a person deleted all boxes.
            deleted_boxes: Boxes that a person deleted beside others.
            clicks: Its clicks.

        Raises:
            InputError: A box or click lies on another slice or outside the volume, or two boxes have one number;
                nothing has changed.
        """
        for box in (*boxes, *deleted_boxes):
            self._check_box_on(slice_index, box)
        if len({box.part for box in boxes}) < len(boxes):
            raise InputError(f"There are two boxes with one part number on slice {slice_index}.")
        slice_index = self._check_slice(slice_index)
        self.put_clicks(slice_index, clicks)
        self._keep(slice_index, boxes)
        self._set_deleted_boxes(slice_index, deleted_boxes)
        (self._deleted.add if deleted and not boxes else self._deleted.discard)(slice_index)

    def part_at(self, slice_index: int, edges: Edges) -> int:
        """The number for a further box on a slice: that of the nearest slice's box in this place, else a free one.

        Args:
            slice_index: The slice.
            edges: The further box.

        Returns:
            A number that no box of the slice has.
        """
        taken = self._boxes.get(slice_index, {}).keys()
        for index in sorted(self._boxes, key=lambda index: abs(index - slice_index)):
            others = [box for box in self[index] if box.part not in taken]
            pairs = matching_boxes([edges], [box.edges for box in others])
            if pairs:
                return others[pairs[0][1]].part
        every = {part for parts in self._boxes.values() for part in parts}
        return next(number for number in range(len(every) + 1) if number not in every)

    def delete(self, slice_index: int, part: int | None = None) -> None:
        """Takes a box of a slice away for good, or all: the user says that no liver is there.

        Args:
            slice_index: The slice; it need not have a box.
            part: The box's part; None for all boxes. The last box of a slice takes the whole slice with it.

        Raises:
            InputError: The volume has no such slice.
        """
        slice_index = self._check_slice(slice_index)
        parts = self._boxes.get(slice_index, {})
        if part is not None and parts.keys() - {part}:
            if part in parts:
                self._remember_deleted(parts.pop(part))
            return
        self._keep(slice_index, [])
        self._deleted_boxes.pop(slice_index, None)
        self._deleted.add(slice_index)

    def reset(self, slice_index: int | None = None) -> None:
        """Forgets what a person did, on one slice or on all; automatic boxes stay and can be set again.

        Args:
            slice_index: The slice to reset; None for all.

        Raises:
            InputError: The volume has no such slice.
        """
        if slice_index is None:
            indices = {*self._boxes, *self._deleted, *self._deleted_boxes, *self._clicks}
        else:
            indices = {self._check_slice(slice_index)}
        self._deleted -= indices
        for index in indices:
            self._deleted_boxes.pop(index, None)
            self._clicks.pop(index, None)
            self._keep(index, [box for box in self.on(index) if box.source is BoxSource.AUTO])

    def interpolate(self, first: int | None = None, last: int | None = None) -> list[int]:
        """Fills the slices between neighbouring keyframes with boxes whose edges move linearly from one to the next.

        Part by part: between two keyframes where a person set the part's box. A part that is missing on one of the two,
        or on a keyframe between, goes no further than its own keyframe. Halves are rounded up (towards higher indices)
        in whole-number arithmetic, so that every machine gets the same boxes, and no box comes out empty.

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
        filled: set[int] = set()
        starts: dict[int, Box] = {}
        for keyframe in chosen:
            parts = self._boxes[keyframe]
            starts = {part: box for part, box in starts.items() if part in parts}
            for part, end in list(parts.items()):
                if end.source is not BoxSource.EDITED:
                    continue
                start = starts.get(part)
                if start is not None:
                    between = range(start.slice_index + 1, keyframe)
                    filled.update(index for index in between if self.set(_box_between(start, end, index)))
                starts[part] = end
        return sorted(filled)

    def copy(self) -> BoxTrack:
        """A track of its own with the same boxes (which are immutable)."""
        twin = BoxTrack(self._shape, self._slice_axis, grid=self.grid)
        twin._clicks = dict(self._clicks)
        twin._boxes = {index: dict(parts) for index, parts in self._boxes.items()}
        twin._deleted = set(self._deleted)
        twin._deleted_boxes = dict(self._deleted_boxes)
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
            A track of its own on the volume's grid, and plain sentences on what was done or not checked.

        Raises:
            InputError: The boxes are of another CT or another grid, or not on axial slices.
        """
        file, notes = self.to_file().placed_on(volume)
        return BoxTrack.from_file(file), notes

    def to_file(self) -> BoxFile:
        """What a file says of the track."""
        return BoxFile(
            self._shape,
            self._slice_axis,
            self.grid,
            self.every_box,
            self.clicks,
            tuple(sorted(self._deleted)),
            self.deleted_boxes,
        )

    @classmethod
    def from_file(cls, file: BoxFile) -> Self:
        """The track that a file holds."""
        track = cls(file.shape, file.slice_axis, grid=file.grid)
        for box in file.boxes:
            track._place(box)
        track.add_clicks(file.clicks)
        track._deleted.update(file.deleted)
        for box in file.deleted_boxes:
            track._remember_deleted(box)
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
            InputError: `BoxFile.from_json` refuses it.
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
        return cls.from_file(BoxFile.read(path))

    def _compared(self) -> tuple[Any, ...]:
        return self._shape, self._slice_axis, self._boxes, self._deleted, self._deleted_boxes, self._clicks

    def _check_box_on(self, slice_index: int, box: Box) -> None:
        self._check_on(slice_index, box.slice_index, "box")
        self._check_box(box)

    def _check_on(self, slice_index: int, there: int, what: str) -> None:
        if there != slice_index:
            raise InputError(f"The {what} lies on slice {there}, not on slice {slice_index}.")

    def _place(self, box: Box) -> None:
        """Puts a box whatever is there; what a person deleted in this place is forgotten."""
        index = box.slice_index
        self._boxes.setdefault(index, {})[box.part] = box
        self._deleted.discard(index)
        self._set_deleted_boxes(
            index, [gone for gone in self._deleted_boxes.get(index, ()) if not _is_again(box, gone)]
        )

    def _keep(self, slice_index: int, boxes: Iterable[Box]) -> None:
        """Leaves a slice these of its boxes."""
        kept = {box.part: box for box in boxes}
        if kept:
            self._boxes[slice_index] = kept
        else:
            self._boxes.pop(slice_index, None)

    def _remember_deleted(self, box: Box) -> None:
        gone = [other for other in self._deleted_boxes.get(box.slice_index, ()) if not _in_same_place(other, box)]
        self._set_deleted_boxes(box.slice_index, [*gone, box])

    def _set_deleted_boxes(self, slice_index: int, boxes: Sequence[Box]) -> None:
        if boxes:
            self._deleted_boxes[slice_index] = tuple(sorted(boxes, key=lambda box: (box.part, box.edges)))
        else:
            self._deleted_boxes.pop(slice_index, None)

    def _is_deleted(self, box: Box) -> bool:
        index = box.slice_index
        return index in self._deleted or any(_is_again(box, gone) for gone in self._deleted_boxes.get(index, ()))

    def _free_part(self, slice_index: int, wanted: int) -> int:
        """A number that no box of a slice has; the wanted one if it can be."""
        taken = self._boxes.get(slice_index, {})
        return next(number for number in (wanted, *range(len(taken) + 1)) if number not in taken)

    def _size(self, axis: SliceAxis) -> int:
        return self._shape[AXES.index(axis)]

    def _check_slice(self, slice_index: int) -> int:
        return check_slice(slice_index, self.slice_count)

    def _check_box(self, box: Box) -> None:
        self._check_inside(box.slice_index, (box.i_max, box.j_max), "box")

    def _check_inside(self, slice_index: int, ends: tuple[int, int], what: str) -> None:
        self._check_slice(slice_index)
        first, second = (self._size(axis) for axis in self.in_plane_axes)
        check_in_plane(slice_index, ends, (first, second), what)


def _in_same_place(first: Box, second: Box) -> bool:
    return box_iou(first.edges, second.edges) >= SAME_PLACE


def _is_again(box: Box, deleted: Box) -> bool:
    """Whether a box is a deleted one again: in mostly the same place, or its part in partly the same place."""
    return box_iou(box.edges, deleted.edges) >= (_SAME_PART if box.part == deleted.part else SAME_PLACE)


def _box_between(start: Box, end: Box, index: int) -> Box:
    """Linear between two boxes, halves up; with whole numbers, since round() and floats differ in the last place."""
    steps = end.slice_index - start.slice_index
    done = index - start.slice_index
    i_min, j_min, i_max, j_max = (
        (2 * (a * (steps - done) + b * done) + steps) // (2 * steps)
        for a, b in zip(start.edges, end.edges, strict=True)
    )
    return Box(index, i_min, j_min, i_max, j_max, BoxSource.INTERPOLATED, part=start.part)
