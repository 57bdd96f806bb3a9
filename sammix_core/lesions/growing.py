"""Lesions from a click: the connected region of the liver that is about as dense as the clicked voxel.

A lesion's HU is read round the click, the liver's over the whole liver; voxels nearer to the lesion's HU belong to it.
No weights take part, so it works on any CT where lesion and liver differ. Figures: docs/msam.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from sammix_core.errors import InputError
from sammix_core.lesions.density import BoxVoxel, LiverDensity
from sammix_core.masks.components import component_at, component_boxes
from sammix_core.masks.packed_mask import BoxedMask
from sammix_core.refinement.protocol import Click, Ijk, StagedRefinement
from sammix_core.volume.volume import Volume

BRIDGE_MM = 1.8  # radius of a ball that fits into a lesion's core, but not into vessels and noise between two lesions
SMALL_MM = 5.0  # largest reach of a lesion that such a ball fits into nowhere
_LEVEL_SHARE = 0.5  # of the way from the lesion's HU to the liver's
_EDGE_SHARE = 0.6


def grow_lesions(volume: Volume, liver: np.ndarray, clicks: Sequence[Ijk], outside: Sequence[Ijk] = ()) -> np.ndarray:
    """Grows a lesion from each click.

    Args:
        volume: The CT.
        liver: (k, j, i), non-zero inside.
        clicks: Voxels (i, j, k), one or more in each lesion.
        outside: Voxels outside all lesions; what is nearer to one of them than to any click is removed.

    Returns:
        (k, j, i) bool, all lesions together.

    Raises:
        InputError: The liver's mask or a click cannot be used.
    """
    density = LiverDensity(volume, liver)
    for inside, voxels in ((True, clicks), (False, outside)):
        for ijk in voxels:
            density.check(ijk, inside)
    return Grower(density).grow(clicks, outside)


class Grower:
    """Grows lesions from clicks; the region of each click is kept, so that a further click costs only its own.

    Args:
        density: The liver that they lie in.
    """

    def __init__(self, density: LiverDensity) -> None:
        self.density = density
        self._regions: dict[Ijk, BoxedMask | None] = {}

    def grow(self, inside: Sequence[Ijk], outside: Sequence[Ijk] = (), start: BoxedMask | None = None) -> np.ndarray:
        """Grows a lesion from clicks that passed `LiverDensity.check`.

        Args:
            inside: Voxels (i, j, k) of the lesion.
            outside: Voxels outside it; what is nearer to one of them than to any inside is removed.
            start: The lesion before the clicks; its deepest voxel counts as a click inside.

        Returns:
            (k, j, i) bool on the CT's grid.
        """
        lesion = self.density.on_the_ct(np.zeros(self.density.region.shape, dtype=bool))
        for part in (start, *(self._region_of(ijk) for ijk in inside)):
            if part is not None:
                lesion[part.box] |= part.unpack()
        if outside:
            seeds = [*inside] if start is None else [deepest_voxel(start), *inside]
            voxels = np.argwhere(lesion)
            to_inside, to_outside = (_distance_mm(self.density, voxels, clicks) for clicks in (seeds, outside))
            lesion[tuple(voxels[to_inside > to_outside].T)] = False
        return lesion

    def _region_of(self, ijk: Ijk) -> BoxedMask | None:
        if ijk not in self._regions:
            region = self.density.on_the_ct(_region_at(self.density, self.density.box_voxel(ijk)))
            self._regions[ijk] = BoxedMask.pack(region) if region.any() else None
        return self._regions[ijk]


def deepest_voxel(mask: BoxedMask) -> Ijk:
    """The voxel (i, j, k) that lies farthest from a mask's edge."""
    depth = ndimage.distance_transform_edt(np.pad(mask.unpack(), 1))[1:-1, 1:-1, 1:-1]
    k, j, i = (int(at) for at in np.array(np.unravel_index(int(depth.argmax()), depth.shape)) + mask.start)
    return i, j, k


class GrownLesion(StagedRefinement[Ijk, np.ndarray]):
    """One lesion grown by clicks: the first finds it, each further one adds to it or takes from it.

    Points are voxels (i, j, k) of the CT, states masks (k, j, i).

    Args:
        density: The liver that it lies in.
    """

    def __init__(self, density: LiverDensity) -> None:
        super().__init__()
        self._grower = Grower(density)

    @property
    def mask(self) -> np.ndarray:
        """(k, j, i) bool; empty before the first click."""
        return self._grower.grow([]) if self._state is None else self._state.copy()

    def click(self, point: Ijk, inside: bool = True) -> None:
        """Adds a click.

        Args:
            point: Voxel (i, j, k) of the CT.
            inside: Whether it belongs to the lesion. Voxels nearer to a click outside than to any inside are removed.

        Raises:
            InputError: The click is outside the CT or the liver, shows nothing but liver, or is the first and not
                inside; nothing has changed.
        """
        if not inside and not self.stages:
            raise InputError("A lesion begins with a click inside it.")
        self._grower.density.check(point, inside)
        click = Click(point, inside)
        points = {kind: [c.point for c in (*self.clicks, click) if c.inside is kind] for kind in (True, False)}
        self._add_stage(self._grower.grow(points[True], points[False]), click)


def _region_at(density: LiverDensity, voxel: BoxVoxel) -> np.ndarray:
    """The region (k, j, i) of the box that a click at a voxel finds; empty where its HU are the liver's."""
    region = np.zeros(density.region.shape, dtype=bool)
    alike = component_at(_alike(density, density.smoothed, density.hu_at(voxel), _LEVEL_SHARE), voxel)
    if not alike.any():
        return region
    ball = density.ball(BRIDGE_MM)
    box = _box_round(alike, ball)  # the ball reaches no further, so the rest can be left out
    alike, centre = alike[box], tuple(at - part.start for at, part in zip(voxel, box, strict=True))
    core = ndimage.binary_opening(alike, ball)
    if not core[centre]:  # thinner than a bridge: only its neighbourhood, since the rest may be the rim of the liver
        reach = zip(centre, density.voxels(SMALL_MM), strict=True)
        near = tuple(slice(max(0, at - n), at + n + 1) for at, n in reach)
        core = np.zeros_like(alike)
        core[near] = alike[near]
    grown = ndimage.binary_dilation(component_at(core, centre), ball, mask=alike)
    sharper = density.sharper[box]
    edge = _alike(density, sharper, float(np.median(sharper[grown])), _EDGE_SHARE, box)
    region[box] = ndimage.binary_dilation(grown, ball, mask=edge | grown)
    return region


def _box_round(mask: np.ndarray, margin: np.ndarray) -> tuple[slice, ...]:
    """The bounding box of a mask, widened by the shape of a structuring element."""
    (box,) = component_boxes(mask.astype(np.uint8))
    sizes = zip(box, margin.shape, mask.shape, strict=True)
    return tuple(slice(max(0, part.start - n), min(size, part.stop + n)) for part, n, size in sizes)


def _alike(
    density: LiverDensity, image: np.ndarray, hu: float, share: float, box: tuple[slice, ...] = ()
) -> np.ndarray:
    """Voxels of the liver nearer to a lesion's HU than a share of the way to the liver's: (k, j, i) bool."""
    border = hu + (density.liver_hu - hu) * share
    return density.region[box] & (image < border if hu < density.liver_hu else image > border)


def _distance_mm(density: LiverDensity, voxels: np.ndarray, clicks: Sequence[Ijk]) -> np.ndarray:
    """(n,) mm from each voxel (n, 3), (k, j, i) of the CT, to the nearest click."""
    distances = [np.linalg.norm((voxels - np.array(ijk[::-1])) * density.mm, axis=1) for ijk in clicks]
    return np.min(distances, axis=0)
