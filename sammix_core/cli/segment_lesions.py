"""`sammix segment --target lesion`: the liver, and lesions in it, as one labelmap. Experimental."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from sammix_core.cli.lesion_table import voxel_of
from sammix_core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from sammix_core.cli.refine_options import RefineOptions
    from sammix_core.lesions.lesion import Lesion
    from sammix_core.progress import CancelCheck, ProgressCallback
    from sammix_core.segmentation.result import SegmentationResult
    from sammix_core.segmentation.segmenter import Segmenter
    from sammix_core.volume.volume import Volume

ORGAN_OF_LESIONS = "liver"


class Target(StrEnum):
    """What is segmented."""

    ORGAN = "organ"
    LESION = "lesion"


@dataclass(frozen=True)
class LesionOptions:
    """Which lesions are asked for.

    Attributes:
        clicks: Voxels (i, j, k), one or more in each lesion.
        candidates: Whether everything that may be a lesion is asked for.
        report: Where the table goes, or None.
    """

    clicks: tuple[tuple[int, int, int], ...]
    candidates: bool
    report: Path | None

    @classmethod
    def of(
        cls, target: Target, clicks: list[str] | None, candidates: bool, report: Path | None
    ) -> LesionOptions | None:
        """The wish of a command line; None where the organ alone is asked for.

        Raises:
            InputError: The options do not fit each other.
        """
        if target is Target.ORGAN:
            if clicks or candidates or report is not None:
                raise InputError("--click, --candidates and --lesion-report go with --target lesion.")
            return None
        if not clicks and not candidates:
            raise InputError(
                "Which lesions? Name a --click in each, or ask for --candidates (experimental) and look at each."
            )
        return cls(tuple(voxel_of("--click", text) for text in clicks or ()), candidates, report)

    def found_in(
        self,
        volume: Volume,
        organ: SegmentationResult,
        segmenter: Segmenter,
        refining: RefineOptions | None,
        progress: ProgressCallback,
        cancel: CancelCheck,
    ) -> FoundLesions:
        """Finds the lesions.

        Args:
            volume: The CT.
            organ: What they are looked for in.
            segmenter: Encodes slices where lesions are refined.
            refining: How they are refined, or None.
            progress: Told after each refined lesion.
            cancel: Asked after each.

        Raises:
            InputError: The mask is of another organ or empty, or a click cannot be used.
            Cancelled: The user stopped.
        """
        from sammix_core.lesions.candidates import lesion_candidates
        from sammix_core.lesions.components import lesion_components, lesion_labelmap
        from sammix_core.lesions.growing import grow_lesions
        from sammix_core.lesions.measure import measure_lesions

        mask = organ.mask
        if organ.target != ORGAN_OF_LESIONS:
            raise InputError(f"Lesions are looked for in the liver, and this model segments the {organ.target}.")
        found = grow_lesions(volume, mask, self.clicks)
        if self.candidates:
            found |= lesion_candidates(volume, mask)
        if refining is not None:
            found = refining.lesions(segmenter.open_session(volume), found, mask, progress, cancel)
        parts = lesion_components(volume, found)
        return FoundLesions(lesion_labelmap((mask != 0) | found, parts), measure_lesions(volume, parts))


@dataclass(frozen=True)
class FoundLesions:
    """Lesions and the organ round them.

    Attributes:
        labelmap: (k, j, i) uint8: 1 the organ, 2 and up one lesion each.
        table: A line a lesion.
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
