"""`--include` and `--exclude`: clicks that correct a mask, typed as voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from sammix_core.cli.lesion_table import voxel_of
from sammix_core.errors import InputError

if TYPE_CHECKING:
    from sammix_core.boxes import Click
    from sammix_core.volume.volume import Volume


@dataclass(frozen=True)
class ClickOptions:
    """Where `sammix segment` corrects the mask.

    Attributes:
        include: Voxels as typed that belong to the structure.
        exclude: Voxels that do not.
    """

    include: Annotated[
        list[str] | None,
        typer.Option(help="A voxel I,J,K that the mask of its slice lacks, with what belongs to it; may be repeated."),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="A voxel I,J,K that the mask should not hold, with what belongs to it; may be repeated."),
    ] = None

    def check(self) -> None:
        """Refuses what is no voxel, and a voxel that is named twice.

        Raises:
            InputError: Such options.
        """
        named = [voxel for voxel, _ in self._voxels()]
        for voxel in named:
            if named.count(voxel) > 1:
                raise InputError(f"The voxel {','.join(map(str, voxel))} is named twice with --include or --exclude.")

    def clicks_on(self, volume: Volume) -> tuple[Click, ...]:
        """The clicks on a volume's axial slices.

        Raises:
            InputError: A voxel lies outside the volume.
        """
        from sammix_core.boxes import BoxTrack, Click

        track = BoxTrack.for_volume(volume)
        clicks = []
        for ijk, positive in self._voxels():
            at = dict(zip("ijk", ijk, strict=True))
            first, second = (at[axis] for axis in track.in_plane_axes)
            clicks.append(Click(at[track.slice_axis], first, second, positive))
        track.check_clicks(clicks)
        return tuple(clicks)

    def _voxels(self) -> list[tuple[tuple[int, int, int], bool]]:
        """The voxels (i, j, k), and whether each belongs to the structure."""
        included = [(voxel_of("--include", text), True) for text in self.include or ()]
        return included + [(voxel_of("--exclude", text), False) for text in self.exclude or ()]
