"""Boxes and clicks as a file: `sammix-boxes/2`, which says on which grid they lie, and `sammix-boxes/1`, without it.

Documented for people in `docs/formats/boxes.md`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sammix_core.boxes.box import Box, whole_number
from sammix_core.boxes.click import Click
from sammix_core.documents import check_keys, read_json
from sammix_core.errors import InputError
from sammix_core.files import write_text_atomic
from sammix_core.volume.axial_order import AxialOrder, SliceAxis
from sammix_core.volume.grid import VolumeGrid

if TYPE_CHECKING:
    from sammix_core.volume.volume import Volume

SCHEMA = "sammix-boxes/2"
SCHEMA_1 = "sammix-boxes/1"

AXES: tuple[SliceAxis, ...] = ("i", "j", "k")

_KEYS_1 = {"schema", "slice_axis", "shape", "boxes", "deleted"}
_KEYS_2 = _KEYS_1 | {"geometry", "clicks", "deleted_boxes"}
_OPTIONAL = {"deleted", "clicks", "deleted_boxes"}
_BOX_KEYS = {field.name for field in fields(Box)}
_CLICK_KEYS = {field.name for field in fields(Click)}
_GRID_KEYS = {"spacing", "origin", "direction"}

_NO_GRID = (
    "The boxes do not say where in the patient they lie, so only the numbers of voxels were compared with the CT."
)
_MAPPED = "The boxes were made on this CT stored in another order of axes, and were carried over to this one."


@dataclass(frozen=True)
class BoxFile:
    """What a box file says, checked: each box and click lies inside the volume.

    Attributes:
        shape: The volume's (n_i, n_j, n_k).
        slice_axis: The volume's axis along which the slices are stacked.
        grid: Where the volume's voxels lie; None where its file has lost that, or the boxes are `sammix-boxes/1`.
        boxes: Sorted by slice and part; a slice may have several, one a part of the structure.
        clicks: Sorted by slice.
        deleted: Slices where a person took all boxes away.
        deleted_boxes: Boxes that a person took away on slices that have others; sorted by slice and part.

    Raises:
        InputError: The shape or axis is none, a box or click lies outside the volume, two boxes of a slice have one
            part number, two clicks lie on one voxel, or a deleted slice has a box or is not in the volume.
    """

    shape: tuple[int, int, int]
    slice_axis: SliceAxis
    grid: VolumeGrid | None = None
    boxes: tuple[Box, ...] = ()
    clicks: tuple[Click, ...] = ()
    deleted: tuple[int, ...] = ()
    deleted_boxes: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", checked_shape(self.shape, self.slice_axis))
        _refuse_twins([(box.slice_index, box.part) for box in self.boxes], "two boxes with the part number {1}")
        _refuse_twins([(click.slice_index, (click.i, click.j)) for click in self.clicks], "two clicks on the voxel {1}")
        for box in (*self.boxes, *self.deleted_boxes):
            self._check_inside(box.slice_index, box.i_max, box.j_max, "box")
        for click in self.clicks:
            self._check_inside(click.slice_index, click.i + 1, click.j + 1, "click")
        taken = {box.slice_index for box in self.boxes}
        for index in self.deleted:
            check_slice(index, self.slice_count)
            if index in taken:
                raise InputError(f"Slice {index} is named as deleted and once more.")
            taken.add(index)
        for name in ("boxes", "deleted_boxes"):
            ordered = sorted(getattr(self, name), key=lambda box: (box.slice_index, box.part, box.edges))
            object.__setattr__(self, name, tuple(ordered))
        object.__setattr__(self, "clicks", tuple(sorted(self.clicks, key=lambda c: (c.slice_index, c.i, c.j))))
        object.__setattr__(self, "deleted", tuple(sorted(self.deleted)))

    @property
    def slice_count(self) -> int:
        """How many slices the volume has along the slice axis."""
        return self.shape[AXES.index(self.slice_axis)]

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Voxels of a slice along its two in-plane axes, in the order i, j, k."""
        first, second = (size for axis, size in zip(AXES, self.shape, strict=True) if axis != self.slice_axis)
        return first, second

    def placed_on(self, volume: Volume) -> tuple[BoxFile, tuple[str, ...]]:
        """Carries boxes and clicks over to a volume that holds the same voxels, whatever the order of its axes.

        Args:
            volume: The volume that they shall be used on.

        Returns:
            The same boxes and clicks on the volume's own grid, and plain sentences on what was done or could not be
            checked.

        Raises:
            InputError: The boxes are of another grid, or not on axial slices.
        """
        there = VolumeGrid.of(volume)
        n_k, n_j, n_i = volume.shape_kji
        if self.grid is None or there is None:
            if (n_i, n_j, n_k) != self.shape:
                raise _other_shape(self.shape, (n_i, n_j, n_k))
            _check_axial(self.slice_axis, volume.axial_order)
            return replace(self, grid=there), (_NO_GRID,)
        _check_axial(self.slice_axis, self.grid.axial_order)
        if self.grid.canonical_shape != there.canonical_shape:
            raise _other_shape(self.shape, there.shape)
        if not self.grid.holds_same_voxels(there):
            raise InputError(
                "The boxes are of another CT, or of another grid of this one: their corners lie up to "
                f"{self.grid.distance_mm(there):.1f} mm apart."
            )
        if self.grid.axial_order == there.axial_order:
            return replace(self, grid=there), ()
        return self._carried_over(there), (_MAPPED,)

    def to_json(self) -> dict[str, Any]:
        """The file's values, as `json.dumps` takes them; numbers that are not known are left out."""
        document = {
            "schema": SCHEMA,
            "slice_axis": self.slice_axis,
            "shape": list(self.shape),
            "geometry": None if self.grid is None else _grid_to_json(self.grid),
            "boxes": [_box_to_json(box) for box in self.boxes],
            "clicks": [asdict(click) for click in self.clicks],
            "deleted": list(self.deleted),
        }
        if self.deleted_boxes:
            document["deleted_boxes"] = [_box_to_json(box) for box in self.deleted_boxes]
        return document

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Reads what `to_json` made, or a person wrote, and takes nothing that it does not know.

        Args:
            document: What `json.loads` returns for a box file of either schema.

        Returns:
            What is in it.

        Raises:
            InputError: Schema or keys are unknown or missing, a value is of the wrong kind, or the values contradict
                each other.
        """
        if not isinstance(document, dict) or "schema" not in document:
            raise InputError(f'This is no box file: it must be a JSON object with "schema": "{SCHEMA}".')
        schema = document["schema"]
        if schema not in (SCHEMA, SCHEMA_1):
            raise InputError(f"The schema {schema!r} is unknown; this version reads {SCHEMA!r} and {SCHEMA_1!r}.")
        keys = _KEYS_2 if schema == SCHEMA else _KEYS_1
        check_keys(document, required=keys - _OPTIONAL, allowed=keys, what="The file")
        for name in ("shape", "boxes", "clicks", "deleted", "deleted_boxes"):
            if not isinstance(document.get(name, []), list):
                raise InputError(f'"{name}" must be a list.')
        shape = checked_shape(document["shape"], document["slice_axis"])
        without = {"part"} if schema == SCHEMA_1 else set()
        boxes = [_box_from_json(entry, _BOX_KEYS - without) for entry in document["boxes"]]
        if schema == SCHEMA_1:
            _refuse_several(boxes)
        return cls(
            shape,
            document["slice_axis"],
            _grid_from_json(document.get("geometry"), shape),
            tuple(boxes),
            tuple(_click_from_json(entry) for entry in document.get("clicks", [])),
            tuple(document.get("deleted", [])),
            tuple(_box_from_json(entry, _BOX_KEYS) for entry in document.get("deleted_boxes", [])),
        )

    def write(self, path: str | Path) -> None:
        """Writes `sammix-boxes/2` with one box a line, so that people can read it; whole or not at all.

        Raises:
            InputError: It cannot be written.
        """
        document = self.to_json()
        rows = []
        for name, value in document.items():
            if name in ("boxes", "clicks", "deleted_boxes") and value:
                entries = ",\n".join("    " + json.dumps(entry) for entry in value)
                rows.append(f'  "{name}": [\n{entries}\n  ]')
            else:
                rows.append(f'  "{name}": {json.dumps(value)}')
        write_text_atomic(path, "{\n" + ",\n".join(rows) + "\n}\n")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads a `sammix-boxes/2` or `sammix-boxes/1` file.

        Raises:
            InputError: The file is missing, is no JSON, or `from_json` refuses it; the sentence names the file.
        """
        document = read_json(path, "box file")
        try:
            return cls.from_json(document)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def _check_inside(self, slice_index: int, i_max: int, j_max: int, what: str) -> None:
        check_slice(slice_index, self.slice_count)
        check_in_plane(slice_index, (i_max, j_max), self.plane_shape, what)

    def _carried_over(self, grid: VolumeGrid) -> BoxFile:
        """The same on another grid of the same voxels, by way of canonical slices."""
        assert self.grid is not None
        here, there = self.grid.axial_order, grid.axial_order
        shape_here, shape_there = self.shape[::-1], grid.shape[::-1]

        def index_of(index: int) -> int:
            return there.slice_index(here.canonical_slice(index, shape_here), shape_there)

        def edges_of(edges: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
            return there.box_to_volume(here.box_to_canonical(edges, shape_here), shape_there)

        def carried(box: Box) -> Box:
            i_min, j_min, i_max, j_max = edges_of(box.edges)
            index = index_of(box.slice_index)
            return replace(box, slice_index=index, i_min=i_min, j_min=j_min, i_max=i_max, j_max=j_max)

        clicks = []
        for click in self.clicks:
            i, j, _, _ = edges_of((click.i, click.j, click.i + 1, click.j + 1))
            clicks.append(replace(click, slice_index=index_of(click.slice_index), i=i, j=j))
        deleted = tuple(index_of(index) for index in self.deleted)
        boxes, deleted_boxes = (tuple(carried(box) for box in group) for group in (self.boxes, self.deleted_boxes))
        return BoxFile(grid.shape, there.slice_axis, grid, boxes, tuple(clicks), deleted, deleted_boxes)


def checked_shape(shape: Any, slice_axis: Any) -> tuple[int, int, int]:
    """Makes sure of a volume's shape (n_i, n_j, n_k) and of the name of its slice axis.

    Raises:
        InputError: They are none.
    """
    if slice_axis not in AXES:
        raise InputError(f"The slice axis {slice_axis!r} is unknown; it must be i, j or k.")
    if isinstance(shape, str) or len(shape) != 3:
        raise InputError(f"The shape {shape!r} must be three whole numbers: n_i, n_j, n_k.")
    n_i, n_j, n_k = (whole_number(size, "shape") for size in shape)
    if 0 in (n_i, n_j, n_k):
        raise InputError(f"The shape {n_i} x {n_j} x {n_k} has no voxels.")
    return n_i, n_j, n_k


def check_slice(slice_index: Any, slice_count: int) -> int:
    """A slice's index as a Python integer.

    Raises:
        InputError: It is no whole number, or the volume has no such slice.
    """
    index = whole_number(slice_index, "slice_index")
    if index >= slice_count:
        raise InputError(f"Slice {index} is outside the volume, whose {slice_count} slices are numbered from 0.")
    return index


def check_in_plane(slice_index: int, ends: tuple[int, int], plane_shape: tuple[int, int], what: str) -> None:
    """Makes sure that a box or click does not reach past its slice.

    Raises:
        InputError: It does.
    """
    if ends[0] > plane_shape[0] or ends[1] > plane_shape[1]:
        raise InputError(
            f"The {what} on slice {slice_index} reaches to {ends[0]}, {ends[1]}, outside the slice of "
            f"{plane_shape[0]} x {plane_shape[1]} voxels."
        )


def _refuse_several(boxes: Iterable[Box]) -> None:
    """Refuses a second box on a slice, which the first schema does not know.

    Raises:
        InputError: There is one.
    """
    seen: set[int] = set()
    for box in boxes:
        if box.slice_index in seen:
            raise InputError(f"There are two boxes on slice {box.slice_index}; in {SCHEMA_1} a slice has one at most.")
        seen.add(box.slice_index)


def _refuse_twins(keys: list[tuple[int, Any]], what: str) -> None:
    seen: set[tuple[int, Any]] = set()
    for key in keys:
        if key in seen:
            raise InputError(f"There are {what.format(*key)} on slice {key[0]}.")
        seen.add(key)


def _other_shape(shape: tuple[int, int, int], there: tuple[int, int, int]) -> InputError:
    return InputError(f"The boxes are for a volume of {_times(shape)} voxels, but this one has {_times(there)}.")


def _check_axial(slice_axis: SliceAxis, order: AxialOrder) -> None:
    if order.slice_axis != slice_axis:
        raise InputError(
            f"The boxes are on slices along axis {slice_axis}, but the axial slices of their volume are along axis "
            f"{order.slice_axis}."
        )


def _times(shape: tuple[int, int, int]) -> str:
    return " x ".join(str(size) for size in shape)


def _grid_to_json(grid: VolumeGrid) -> dict[str, Any]:
    return {
        "spacing": list(grid.spacing),
        "origin": list(grid.origin),
        "direction": {axis: list(vector) for axis, vector in zip(AXES, grid.directions, strict=True)},
    }


def _grid_from_json(entry: Any, shape: tuple[int, int, int]) -> VolumeGrid | None:
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise InputError('"geometry" must be a JSON object, or null where it is not known.')
    check_keys(entry, required=_GRID_KEYS, allowed=_GRID_KEYS, what="The geometry")
    direction = entry["direction"]
    if not isinstance(direction, dict):
        raise InputError('The geometry\'s "direction" must be a JSON object with the keys i, j and k.')
    check_keys(direction, required=set(AXES), allowed=set(AXES), what="The geometry's direction")
    i, j, k = (_three_numbers(direction[axis], f"The direction of axis {axis}") for axis in AXES)
    spacing, origin = (_three_numbers(entry[name], f"The {name}") for name in ("spacing", "origin"))
    try:
        return VolumeGrid(shape, spacing, origin, (i, j, k))
    except ValueError as error:
        raise InputError(f"The geometry cannot be one: {error}.") from None


def _three_numbers(value: Any, what: str) -> tuple[float, float, float]:
    # bool is a number to Python, and true in a file is a slip.
    if isinstance(value, list) and len(value) == 3 and all(type(number) in (int, float) for number in value):
        try:
            x, y, z = (float(number) for number in value)
            return x, y, z
        except OverflowError:  # a whole number of more than 308 digits
            pass
    raise InputError(f"{what} must be a list of three numbers.")


def _box_to_json(box: Box) -> dict[str, Any]:
    return {key: value for key, value in {**asdict(box), "source": box.source.value}.items() if value is not None}


def _box_from_json(entry: Any, allowed: set[str]) -> Box:
    if not isinstance(entry, dict):
        raise InputError("Each box must be a JSON object.")
    where = f"The box on slice {entry['slice_index']!r}" if "slice_index" in entry else "A box"
    check_keys(entry, required=allowed - {"score", "probability", "part"}, allowed=allowed, what=where)
    return Box(**entry)


def _click_from_json(entry: Any) -> Click:
    if not isinstance(entry, dict):
        raise InputError("Each click must be a JSON object.")
    where = f"The click on slice {entry['slice_index']!r}" if "slice_index" in entry else "A click"
    check_keys(entry, required=_CLICK_KEYS, allowed=_CLICK_KEYS, what=where)
    return Click(**entry)
