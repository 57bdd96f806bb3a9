"""`sammix segment --target lesion`: the liver, and lesions in it, as one labelmap. Experimental."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sammix_core.cli.lesion_table import voxel_of
from sammix_core.errors import InputError
from sammix_core.model_store.organs import LIVER

if TYPE_CHECKING:
    import numpy as np

    from sammix_core.cli.refine_options import ChosenRefiner
    from sammix_core.lesions.lesion import Lesion
    from sammix_core.progress import CancelCheck, ProgressCallback
    from sammix_core.segmentation.result import SegmentationResult
    from sammix_core.segmentation.segmenter import Segmenter
    from sammix_core.volume.volume import Volume

ORGAN_OF_LESIONS = LIVER.name


class Target(StrEnum):
    """The structures to segment."""

    ORGAN = "organ"
    LESION = "lesion"


@dataclass(frozen=True)
class LesionOptions:
    """Which lesions `sammix segment` segments.

    Attributes:
        target: `Target.ORGAN` for none.
        click: Voxels as typed, one or more in each lesion.
        candidates: Whether everything that may be a lesion is segmented.
        lesion_report: Where the table goes, or None.
    """

    target: Annotated[
        Target,
        typer.Option(help="organ: what the model was made for. lesion: lesions in the liver too (experimental)."),
    ] = Target.ORGAN
    click: Annotated[list[str] | None, typer.Option(help="A voxel I,J,K in a lesion; may be given again.")] = None
    candidates: Annotated[
        bool, typer.Option("--candidates", help="Everything that may be a lesion; check each (experimental).")
    ] = False
    lesion_report: Annotated[Path | None, typer.Option(help="Where to write the lesions' table.")] = None

    def check(self) -> None:
        """Refuses options that do not fit each other.

        Raises:
            InputError: Such options, or a click that is no voxel.
        """
        if not self.wanted:
            if self.click or self.candidates or self.lesion_report is not None:
                raise InputError("--click, --candidates and --lesion-report go with --target lesion.")
        elif not self.clicks and not self.candidates:
            raise InputError(
                "Which lesions? Name a --click in each, or use --candidates (experimental) and check each."
            )

    @property
    def wanted(self) -> bool:
        """Whether lesions are segmented at all."""
        return self.target is Target.LESION

    @cached_property
    def clicks(self) -> tuple[tuple[int, int, int], ...]:
        """The clicks as voxels (i, j, k).

        Raises:
            InputError: One is no voxel.
        """
        return tuple(voxel_of("--click", text) for text in self.click or ())

    def find(
        self,
        volume: Volume,
        organ: SegmentationResult,
        segmenter: Segmenter,
        refiner: ChosenRefiner | None,
        progress: ProgressCallback,
        cancel: CancelCheck,
    ) -> LesionResult:
        """Finds the lesions.

        Args:
            volume: The CT.
            organ: The liver that they lie in.
            segmenter: Encodes slices where lesions are refined.
            refiner: Optional refiner of the lesions.
            progress: Called after each refined lesion.
            cancel: Polled after each; return True to stop.

        Raises:
            InputError: The mask is of another organ or empty, or a click cannot be used.
            Cancelled: The user stopped.
        """
        from sammix_core.lesions.candidates import lesion_candidates
        from sammix_core.lesions.components import lesion_components, lesion_labelmap
        from sammix_core.lesions.growing import grow_lesions
        from sammix_core.lesions.measure import measure_lesions

        liver = organ.mask
        if organ.target != ORGAN_OF_LESIONS:
            raise InputError(f"Lesions are segmented in the liver, but this model segments the {organ.target}.")
        mask = grow_lesions(volume, liver, self.clicks)
        if self.candidates:
            mask |= lesion_candidates(volume, liver)
        if refiner is not None:
            mask = refiner.lesions(segmenter.open_session(volume), mask, liver, progress, cancel)
        components = lesion_components(volume, mask)
        return LesionResult(lesion_labelmap((liver != 0) | mask, components), measure_lesions(volume, components))


@dataclass(frozen=True)
class LesionResult:
    """Lesions and the organ round them.

    Attributes:
        labelmap: (k, j, i) uint8: 1 the organ, 2 and up one lesion each.
        table: One entry a lesion.
    """

    labelmap: np.ndarray
    table: list[Lesion]

    def write(self, volume: Volume, path: Path) -> None:
        """Writes the labelmap."""
        from sammix_core.lesions.files import write_lesions

        write_lesions(self.labelmap, volume, path)

    def write_report(self, path: Path) -> None:
        """Writes the table (`sammix-lesions/1`)."""
        from sammix_core.lesions.lesion import report

        path.write_text(json.dumps(report(self.table), indent=2, allow_nan=False) + "\n", encoding="utf-8")
