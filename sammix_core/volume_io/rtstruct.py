"""RTSTRUCT in: contours as radiotherapy draws them, filled on the slices of a CT."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sammix_core.errors import InputError
from sammix_core.masks.packed_mask import BoxedMask
from sammix_core.volume_io.labelmap import Labelmap, merge_masks, shape_of
from sammix_core.volume_io.polygon_fill import fill_even_odd
from sammix_core.volume_io.slice_planes import SlicePlanes

RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_FEWEST_CORNERS = 3


@dataclass(frozen=True, eq=False)
class Contours:
    """The structures of an RTSTRUCT.

    Attributes:
        name: The file's name, for messages.
        segment_names: The structures' names by their number.
        polygons: The closed contours of each structure, (n, 3) LPS in mm.
        frame_of_reference: Frame of Reference UID, "" where absent.
        series: The series that it says it was drawn on.
    """

    name: str
    segment_names: dict[int, str]
    polygons: dict[int, list[np.ndarray]]
    frame_of_reference: str
    series: frozenset[str]

    @classmethod
    def of(cls, dataset: Any, name: str) -> Self:
        """Takes a structure set apart; points and open lines are passed over.

        Raises:
            InputError: The file is damaged, or has no closed contour.
        """
        try:
            names = {
                int(item.ROINumber): str(item.get("ROIName") or f"structure {item.ROINumber}")
                for item in dataset.StructureSetROISequence
            }
            polygons: dict[int, list[np.ndarray]] = {}
            for item in dataset.get("ROIContourSequence", []):
                for contour in item.get("ContourSequence", []):
                    if str(contour.get("ContourGeometricType")) not in _CLOSED:
                        continue
                    points = np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3)
                    if not np.isfinite(points).all():
                        raise ValueError("a corner that is not finite")
                    if len(points) >= _FEWEST_CORNERS:
                        polygons.setdefault(int(item.ReferencedROINumber), []).append(points)
            frames, series = _references(dataset)
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{name} is a damaged RTSTRUCT.") from error
        if not polygons:
            raise InputError(f"{name} holds no closed contour, so there is nothing to fill.")
        names = {number: names.get(number, f"structure {number}") for number in sorted({*names, *polygons})}
        return cls(name, names, polygons, frames.pop() if len(frames) == 1 else "", frozenset(series))

    def labelmap(self) -> Labelmap:
        """An RTSTRUCT has no grid.

        Raises:
            InputError: Always.
        """
        raise InputError(f"{self.name} is an RTSTRUCT: contours without a grid; name the CT that they were drawn on.")

    def on(self, grid: Labelmap, planes: SlicePlanes | None, case: str) -> Labelmap:
        """The structures on a grid.

        Args:
            grid: The grid.
            planes: Where its k slices really lie; None where it is even, in any order of axes.
            case: What the message calls what has the grid.

        Raises:
            InputError: The contours do not lie on the slices.
        """
        axis = 2 if planes is not None else self._axis_across(grid)
        # The axes of the slices in the order i, j, k, as a (k, j, i) array has them backwards.
        first, second = (other for other in (0, 1, 2) if other != axis)
        if planes is None:
            steps = np.asarray(grid.direction) * np.asarray(grid.spacing)
            sizes = grid.array.shape[::-1]
            planes = SlicePlanes.of_grid(
                (sizes[axis], sizes[second], sizes[first]), steps[:, [first, second, axis]], np.asarray(grid.origin)
            )
        order = (2 - axis, 2 - second, 2 - first)
        masks = {}
        for number, polygons in self.polygons.items():
            mask = np.zeros(grid.array.shape, dtype=bool)
            for index, pixels in self._by_slice(polygons, planes, case).items():
                mask.transpose(order)[index] = fill_even_odd(pixels, planes.shape)
            if mask.any():
                masks[number] = BoxedMask.pack(mask)
        array, whole = merge_masks(masks, shape_of(grid.array))
        return Labelmap(
            array=array,
            spacing=grid.spacing,
            origin=grid.origin,
            direction=grid.direction,
            spacing_known=grid.spacing_known,
            name=self.name,
            segment_names=self.segment_names,
            whole=whole,
            frame_of_reference=self.frame_of_reference,
            series=self.series,
        )

    def _by_slice(self, polygons: Iterable[np.ndarray], planes: SlicePlanes, case: str) -> dict[int, list[np.ndarray]]:
        """Corners as (n, 2) columns and rows by slice."""
        slices: dict[int, list[np.ndarray]] = {}
        for points in polygons:
            index, pixels, off_mm = planes.pixels_of(points)
            if off_mm > planes.slice_tolerance_mm:
                raise InputError(
                    f"The contours of {self.name} do not lie on the slices of {case} (up to {off_mm:.1f} mm beside "
                    "them); they were drawn on another image."
                )
            slices.setdefault(index, []).append(pixels)
        return slices

    def _axis_across(self, grid: Labelmap) -> int:
        """The axis of a grid across the contours: 0 is i, 1 is j, 2 is k."""
        points = next(iter(self.polygons.values()))[0]
        return int(np.ptp(points @ np.asarray(grid.direction), axis=0).argmin())


def _references(dataset: Any) -> tuple[set[str], set[str]]:
    """The frames of reference and the series that a structure set names."""
    frames = {str(item.get("ReferencedFrameOfReferenceUID") or "") for item in dataset.StructureSetROISequence}
    series = set()
    for frame in dataset.get("ReferencedFrameOfReferenceSequence", []):
        frames.add(str(frame.get("FrameOfReferenceUID") or ""))
        for study in frame.get("RTReferencedStudySequence", []):
            series |= {str(item.SeriesInstanceUID) for item in study.get("RTReferencedSeriesSequence", [])}
    return frames - {""}, series
