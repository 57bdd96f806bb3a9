"""What one run found, in DICOM: segmentation, uncertainty and measurements of the same study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from sammix_core.lesions.lesion import LIVER, Lesion
from sammix_core.lesions.segments import lesion_segment
from sammix_core.segmentation.result import SegmentationResult
from sammix_core.volume.volume import Volume
from sammix_core.volume_io.dicom_map import write_dicom_map
from sammix_core.volume_io.dicom_report import Figures, write_dicom_report
from sammix_core.volume_io.dicom_seg import Algorithm, make_dicom_seg, save
from sammix_core.volume_io.dicom_source import DicomSource
from sammix_core.volume_io.segments import Segment, segment_of

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True, eq=False)
class DicomResults:
    """The results of a run as DICOM writes them.

    Attributes:
        volume: The CT, read from DICOM.
        source: Its series.
        labels: (k, j, i) uint8: 1 the organ, 2 and up one lesion each.
        organ: The segment of the organ.
        lesions: The lesions that were measured.
        algorithm: What made the labels.

    Example:
        >>> def send(volume, result):
        ...     found = DicomResults.of(volume, DicomSource.of(volume), result)
        ...     found.write_seg("liver.seg.dcm")
        ...     found.write_report("liver.sr.dcm")
    """

    volume: Volume
    source: DicomSource
    labels: np.ndarray = field(repr=False)
    organ: Segment
    algorithm: Algorithm
    lesions: Sequence[Lesion] = ()

    @classmethod
    def of(
        cls,
        volume: Volume,
        source: DicomSource,
        result: SegmentationResult,
        by_person: bool = False,
        lesions: tuple[np.ndarray, Sequence[Lesion]] | None = None,
    ) -> Self:
        """The results of a segmentation.

        Args:
            volume: The CT.
            source: Its series, by `DicomSource.of(volume)`.
            result: What was segmented.
            by_person: Whether a person gave boxes or clicks.
            lesions: The labelmap of liver and lesions, and the lesions' figures, where they were segmented too.
        """
        labels, measured = (result.mask, ()) if lesions is None else lesions
        model = result.model if result.refined_by is None else f"{result.model}+{result.refined_by}"
        return cls(volume, source, labels, segment_of(result.target), Algorithm(model, by_person), measured)

    @cached_property
    def seg(self) -> Dataset:
        """The DICOM SEG; report and file have the same."""
        return make_dicom_seg(self.labels, [figures.segment for figures in self.figures], self.source, self.algorithm)

    @cached_property
    def figures(self) -> list[Figures]:
        """What was measured, the organ first."""
        organ = self.labels == LIVER if self.lesions else self.labels != 0
        return [self._of_organ(organ), *map(_of_lesion, self.lesions)]

    def write_seg(self, path: str | Path) -> None:
        """Writes the DICOM SEG.

        Raises:
            InputError: The file cannot be written.
        """
        save(self.seg, path)

    def write_map(self, percent: np.ndarray, path: str | Path) -> None:
        """Writes an uncertainty map as a Parametric Map.

        Args:
            percent: (k, j, i) uint8, 0 to 100.
            path: The file.

        Raises:
            InputError: The file cannot be written.
        """
        write_dicom_map(path, percent, self.source, self.algorithm)

    def write_report(self, path: str | Path) -> None:
        """Writes the measurements as a structured report (TID 1500) that refers to `seg`.

        Raises:
            InputError: The file cannot be written.
        """
        whole = self._of_organ(self.labels != 0) if self.lesions else None
        write_dicom_report(path, self.figures, self.seg, self.source, self.algorithm, whole)

    def _of_organ(self, mask: np.ndarray) -> Figures:
        mean = float(self.volume.array[mask].mean(dtype=np.float64)) if mask.any() else None
        return Figures(self.organ, self.volume.mask_volume_ml(mask), mean)


def _of_lesion(lesion: Lesion) -> Figures:
    return Figures(
        lesion_segment(lesion.label),
        lesion.volume_ml,
        lesion.mean_hu,
        lesion.longest_axial_mm,
        lesion.diameter_ends_ijk,
    )
