"""One slice with a mask that a person made or approved, and all that is needed to learn from it with any model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sammix_core.boxes.box import Box
from sammix_core.boxes.network_box import tight_box
from sammix_core.boxes.parts import enclosing_box
from sammix_core.errors import InputError
from sammix_core.preprocessing.body_crop import body_crop, volume_frame
from sammix_core.preprocessing.frame import Frame
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.volume.axial_order import AxialOrder, SliceBox
from sammix_core.volume.volume import Volume

Crop = tuple[int, int, int, int]
_LOWEST_HU, _HIGHEST_HU = -1024, 3071  # 12 bits of CT; padding below air says nothing and ends at air


class Source(StrEnum):
    """Who made or approved a mask."""

    CORRECTED = "corrected"  # a person painted it, or set its box
    ACCEPTED = "accepted"  # the model made it, a person saw it and kept it
    LABEL = "label"  # from a labelmap


@dataclass(frozen=True, eq=False)
class Correction:
    """A slice and its mask, in canonical axial order and on the slice's own pixels.

    There is nothing in it of the patient but the pixels of this slice: no name, no date, no place in the scanner.

    Attributes:
        slice_index: Canonical index of the slice.
        slices: How many slices the volume has.
        hu: (rows, cols) int16, from -1024 to 3071.
        mask: (rows, cols) bool; empty where a person says that the structure is not there.
        spacing_mm: (slice, row, col).
        spacing_known: Whether these are real millimetres.
        crop: What the network saw of the slice: half-open (row_min, col_min, row_max, col_max) in slice pixels; it may
            reach past the slice.
        body: The volume's body crop, within the slice; views for training are varied about it.
        box: Half-open (col_min, row_min, col_max, row_max) of the prompt in slice pixels, round all boxes of the slice,
            or None without one.
        source: Who made or approved the mask.
        model: The model that was used, "liver/2.0.0", or None.
        model_sha256: The SHA-256 of its weights, or None.
    """

    slice_index: int
    slices: int
    hu: np.ndarray
    mask: np.ndarray
    spacing_mm: tuple[float, float, float]
    spacing_known: bool
    crop: Crop
    body: Crop
    box: SliceBox | None
    source: Source
    model: str | None = None
    model_sha256: str | None = None

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """(row, col) spacing."""
        return self.spacing_mm[1], self.spacing_mm[2]

    @property
    def hu_sha256(self) -> str:
        """The SHA-256 of the slice's shape and pixels."""
        return hash_of(self.hu)

    def frame(self, size: int) -> Frame:
        """Where a square network image of `size` pixels lies on the slice."""
        return Frame.for_crop(self.crop, self.pixel_mm, size)

    @classmethod
    def from_volume(
        cls,
        volume: Volume,
        order: AxialOrder | None,
        slice_index: int,
        plane: np.ndarray,
        *,
        source: Source = Source.CORRECTED,
        box: Box | None = None,
        model: str | None = None,
        model_sha256: str | None = None,
    ) -> Correction:
        """Takes one slice out of a volume; see `corrections_of_volume` for several.

        Args:
            volume: The CT.
            order: How it is cut into axial slices, or None for what its header says.
            slice_index: Index along the user's slice axis.
            plane: (rows, cols) in the user's two in-plane axes; what is not 0 is inside.
            source: Who made or approved the mask.
            box: The box that was used, in voxel indices of the volume.
            model: The model that was used.
            model_sha256: The SHA-256 of its weights.

        Raises:
            InputError: The mask has another shape than the slice, or there is no such slice.
        """
        boxes = {} if box is None else {slice_index: (box,)}
        made = corrections_of_volume(
            volume, order, {slice_index: plane}, source=source, boxes=boxes, model=model, model_sha256=model_sha256
        )
        return made[0]


def corrections_of_volume(
    volume: Volume,
    order: AxialOrder | None,
    planes: Mapping[int, np.ndarray],
    *,
    source: Source = Source.CORRECTED,
    boxes: Mapping[int, Sequence[Box]] | None = None,
    model: str | None = None,
    model_sha256: str | None = None,
    spec: PreprocessingSpec | None = None,
) -> list[Correction]:
    """Takes slices out of a volume.

    Args:
        volume: The CT.
        order: How it is cut into axial slices, or None for what its header says.
        planes: Mask by index along the user's slice axis, (rows, cols) in the user's two in-plane axes.
        source: Who made or approved the masks.
        boxes: Boxes that were used, in voxel indices of the volume (a `BoxTrack`); a mask without one gets its tight
            box.
        model: The model that was used.
        model_sha256: The SHA-256 of its weights.
        spec: The model's preprocessing, which says how much of a slice the network sees.

    Raises:
        InputError: A mask has another shape than its slice, or there is no such slice.
    """
    spec = spec or PreprocessingSpec()
    order = order or volume.axial_order
    hu = order.forward(volume.array)
    spacing = order.spacing(volume.spacing)
    body = body_crop(hu, spacing[1:], spec.body_margin_mm)
    frame = volume_frame(hu, spacing[1:], spec, volume.spacing_known)
    crop = (frame.row0, frame.col0, frame.row0 + frame.rows, frame.col0 + frame.cols)
    corrections = []
    for index, plane in planes.items():
        canonical, mask = _canonical(volume, order, index, plane)
        used = [order.box_to_canonical(box.edges, volume.shape_kji) for box in (boxes or {}).get(index, ())]
        edges = enclosing_box(used) if used else tight_box(mask)
        corrections.append(
            Correction(
                slice_index=canonical,
                slices=len(hu),
                hu=canonical_hu(hu[canonical]),
                mask=mask,
                spacing_mm=spacing,
                spacing_known=volume.spacing_known,
                crop=crop,
                body=body,
                box=edges,
                source=source,
                model=model,
                model_sha256=model_sha256,
            )
        )
    return corrections


def canonical_hu(hu: np.ndarray) -> np.ndarray:
    """HU as corrections keep them: int16 from -1024 to 3071, in memory of its own."""
    return np.clip(np.rint(hu), _LOWEST_HU, _HIGHEST_HU).astype(np.int16, order="C")


def case_key(volume: Volume, order: AxialOrder | None = None) -> str:
    """A name for a volume that says nothing of the patient: the same voxels get the same one, however they are stored.

    Args:
        volume: The CT.
        order: How it is cut into axial slices, or None for what its header says.

    Returns:
        Such as "case-3f9a02bd51c7".
    """
    axial = (order or volume.axial_order).forward(volume.array)
    digest = hashlib.sha256(f"sammix-case/1 {axial.shape}".encode())
    for plane in axial:
        digest.update(canonical_hu(plane).tobytes())
    return f"case-{digest.hexdigest()[:12]}"


def hash_of(hu: np.ndarray) -> str:
    """The SHA-256 of a slice's shape and pixels, int16 little endian."""
    pixels = np.ascontiguousarray(hu, dtype="<i2")
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def _canonical(volume: Volume, order: AxialOrder, index: int, plane: np.ndarray) -> tuple[int, np.ndarray]:
    """Canonical index and mask of one of the user's slices."""
    shape = volume.shape_kji
    expected = tuple(count for axis, count in zip("kji", shape, strict=True) if axis != order.slice_axis)
    if tuple(plane.shape) != expected:
        raise InputError(
            f"The mask of slice {index} has {' x '.join(map(str, plane.shape))} pixels and the slice "
            f"{' x '.join(map(str, expected))}, so they lie on different grids; nothing can be learnt from it."
        )
    try:
        canonical = order.canonical_slice(index, shape)
    except IndexError:
        raise InputError(f"The volume has no slice {index}.") from None
    return canonical, np.ascontiguousarray(order.slice_to_canonical(np.asarray(plane) != 0))
