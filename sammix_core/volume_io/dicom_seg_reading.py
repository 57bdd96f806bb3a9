"""DICOM SEG in: binary, fractional and labelmap segmentations, on their own slices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from sammix_core.errors import InputError
from sammix_core.masks.packed_mask import BoxedMask
from sammix_core.volume_io.labelmap import Labelmap, merge_masks
from sammix_core.volume_io.slice_planes import SlicePlanes

# Segmentation, Label Map Segmentation.
SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
# How far a slice may lie from its place on an even grid, as a share of the step.
_EVEN = 0.1


@dataclass(frozen=True, eq=False)
class StoredSegmentation:
    """The segments of a DICOM SEG.

    Attributes:
        name: The file's name, for messages.
        segment_names: The segments' labels by their number.
        planes: Where each frame lies.
        numbers: (n_frames,) each frame's segment; 0 where the pixels' values say it.
        step_mm: The stated distance between slices; None where it is not stated.
        frame_of_reference: Frame of Reference UID, "" where absent.
        series: The series that it says it was drawn on.
    """

    name: str
    segment_names: dict[int, str]
    planes: SlicePlanes
    numbers: np.ndarray
    step_mm: float | None
    frame_of_reference: str
    series: frozenset[str]
    _dataset: Any = field(repr=False)

    @classmethod
    def of(cls, dataset: Any, name: str) -> Self:
        """Takes a segmentation apart.

        Args:
            dataset: By `pydicom.dcmread`, with its pixels.
            name: The file's name.

        Raises:
            InputError: The file is damaged, or does not say where it lies.
        """
        try:
            segments = {int(item.SegmentNumber): _title(item) for item in dataset.SegmentSequence}
            shared = (dataset.get("SharedFunctionalGroupsSequence") or [{}])[0]
            groups = list(dataset.PerFrameFunctionalGroupsSequence)
            orientation = _of_groups(shared, groups[0], "PlaneOrientationSequence").ImageOrientationPatient
            measures = _of_groups(shared, groups[0], "PixelMeasuresSequence")
            between_rows, between_columns = (float(part) for part in measures.PixelSpacing)
            positions = [
                [float(part) for part in _of_groups(shared, group, "PlanePositionSequence").ImagePositionPatient]
                for group in groups
            ]
            row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
            step = measures.get("SpacingBetweenSlices") or measures.get("SliceThickness")
            planes = SlicePlanes(
                np.array(positions), row * between_columns, column * between_rows, (dataset.Rows, dataset.Columns)
            )
            is_labelmap = dataset.get("SegmentationType") == "LABELMAP"
            numbers = [0 if is_labelmap else _segment_number(shared, group) for group in groups]
            if int(dataset.NumberOfFrames) != len(groups):
                raise ValueError("another number of frames than groups")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{name} is a damaged DICOM SEG, or one that does not say where its frames lie."
            ) from error
        return cls(
            name,
            {number: title for number, title in segments.items() if number > 0},
            planes,
            np.array(numbers),
            float(step) if step else None,
            str(dataset.get("FrameOfReferenceUID") or ""),
            frozenset(str(item.SeriesInstanceUID) for item in dataset.get("ReferencedSeriesSequence", [])),
            dataset,
        )

    def on_planes(self, grid: Labelmap, planes: SlicePlanes) -> Labelmap | None:
        """The segments on the slices of a DICOM CT, frame by frame.

        Args:
            grid: The CT's grid.
            planes: Where its k slices really lie.

        Returns:
            The segments, or None where a frame lies on none of these slices, or has other pixels.
        """
        indices = planes.indices_of(self.planes)
        if indices is None:
            return None
        return self._labelmap(indices, grid.spacing, np.asarray(grid.origin), grid.direction, len(planes.origins))

    def labelmap(self) -> Labelmap:
        """The segments on an even grid of their own, from the first to the last slice.

        Raises:
            InputError: The slices are unevenly spaced or lean; then only the CT itself says where they lie.
        """
        normal, heights = self.planes.normal, self.planes.heights
        lowest = int(heights.argmin())
        ways = self.planes.origins - self.planes.origins[lowest]
        step = self._step(heights - heights[lowest])
        places = (heights - heights[lowest]) / step
        indices = np.rint(places)
        aside = np.linalg.norm(ways - np.outer(ways @ normal, normal), axis=1).max()
        if np.abs(places - indices).max() > _EVEN or aside > self.planes.tolerance_mm:
            raise InputError(
                f"The slices of {self.name} are unevenly spaced or lean, so it can only be placed on the DICOM series "
                "that it was drawn on; name that CT."
            )
        lengths = [float(np.linalg.norm(way)) for way in (self.planes.column_step, self.planes.row_step)]
        direction = np.column_stack([self.planes.column_step / lengths[0], self.planes.row_step / lengths[1], normal])
        return self._labelmap(
            indices.astype(int),
            (lengths[0], lengths[1], step),
            self.planes.origins[lowest],
            direction,
            int(indices.max()) + 1,
        )

    def _step(self, heights: np.ndarray) -> float:
        """The distance between slices in mm: as stated where the frames lie so, otherwise the smallest one."""
        gaps = np.diff(np.unique(np.round(heights, 3)))
        if (
            self.step_mm is not None
            and np.abs(gaps / self.step_mm - np.rint(gaps / self.step_mm)).max(initial=0) < _EVEN
        ):
            return self.step_mm
        return float(gaps.min()) if len(gaps) else self.step_mm or 1.0

    def _labelmap(
        self,
        indices: np.ndarray,
        spacing: tuple[float, float, float],
        origin: np.ndarray,
        direction: np.ndarray,
        n_slices: int,
    ) -> Labelmap:
        shape = (n_slices, *self.planes.shape)
        masks = {number: mask for number in self.segment_names if (mask := self._mask(number, indices, shape))}
        array, whole = merge_masks(masks, shape)
        x, y, z = (float(part) for part in origin)
        return Labelmap(
            array=array,
            spacing=spacing,
            origin=(x, y, z),
            direction=direction,
            spacing_known=True,
            name=self.name,
            segment_names=self.segment_names,
            whole=whole,
            frame_of_reference=self.frame_of_reference,
            series=self.series,
        )

    def _mask(self, number: int, indices: np.ndarray, shape: tuple[int, int, int]) -> BoxedMask | None:
        """One segment's voxels; None where it has none."""
        planes: dict[int, np.ndarray] = {}
        for frame in np.flatnonzero(np.isin(self.numbers, (0, number))):
            plane = self._frame(int(frame))
            plane = plane == number if self.numbers[frame] == 0 else plane
            if plane.any():
                k = int(indices[frame])
                planes[k] = planes[k] | plane if k in planes else plane
        if not planes:
            return None
        first, last = min(planes), max(planes)
        part = np.zeros((last - first + 1, *shape[1:]), dtype=bool)
        for k, plane in planes.items():
            part[k - first] = plane
        return BoxedMask.pack(part, (first, 0, 0))

    def _frame(self, index: int) -> np.ndarray:
        """(rows, columns): bool of a binary or fractional frame, numbers of segments of a labelmap.

        Raises:
            InputError: The pixels are damaged or cut short.
        """
        dataset, (rows, columns) = self._dataset, self.planes.shape
        try:
            if dataset.BitsAllocated == 1 and not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
                # Frame by frame, since all of them unpacked take eight times the file's size.
                start, count = index * rows * columns, rows * columns
                packed = np.frombuffer(dataset.PixelData, np.uint8)[start // 8 : (start + count + 7) // 8]
                bits = np.unpackbits(packed, bitorder="little")[start % 8 : start % 8 + count]
                return bits.reshape(rows, columns).astype(bool)
            from pydicom.pixels import pixel_array

            frame = pixel_array(dataset, index=index).reshape(rows, columns)
            if dataset.get("SegmentationType") == "LABELMAP":
                return frame
            return frame >= int(dataset.get("MaximumFractionalValue") or 1) / 2
        except Exception as error:  # pydicom raises many kinds for damaged pixels
            raise InputError(f"{self.name} has damaged pixels, or is cut short.") from error


def _of_groups(shared: Any, group: Any, keyword: str) -> Any:
    """The one item of a functional group, each frame's own or shared."""
    return (group.get(keyword) or shared[keyword].value)[0]


def _segment_number(shared: Any, group: Any) -> int:
    return int(_of_groups(shared, group, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _title(item: Any) -> str:
    return str(item.get("SegmentLabel") or item.get("SegmentDescription") or f"segment {item.SegmentNumber}")
