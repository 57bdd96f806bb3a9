"""Lesions by a click: what is about as dense as the place that was clicked, and hangs together with it, in the liver.

A lesion's HU is read round the click, the liver's over the whole liver, and what is nearer to the lesion's belongs to
it. No weights take part, so it works on any CT where lesion and liver differ. Figures: docs/msam.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from sammix_core.errors import InputError
from sammix_core.lesions.density import LiverDensity, Place
from sammix_core.masks.components import component_at
from sammix_core.masks.packed_mask import BoxedMask
from sammix_core.refinement.protocol import Click, Ijk, StagedRefinement
from sammix_core.volume.volume import Volume

BRIDGE_MM = 1.8  # radius of the ball that a lesion's core must hold: vessels and noise between two lesions do not
SMALL_MM = 5.0  # how far a lesion may reach that is nowhere as thick as such a ball
_LEVEL_SHARE = 0.5  # of the way from the lesion's HU to the liver's
_EDGE_SHARE = 0.6


def grow_lesions(volume: Volume, liver: np.ndarray, clicks: Sequence[Ijk], outside: Sequence[Ijk] = ()) -> np.ndarray:
    """A lesion for each click.

    Args:
        volume: The CT.
        liver: (k, j, i), non-zero inside.
        clicks: Voxels (i, j, k), one or more in each lesion.
        outside: Voxels that are of no lesion; what is nearer to one of them than to any click is none either.

    Returns:
        (k, j, i) bool, all lesions together.

    Raises:
        InputError: The liver's mask or a click cannot be used.
    """
    density = LiverDensity(volume, liver)
    for inside, places in ((True, clicks), (False, outside)):
        for ijk in places:
            density.check(ijk, inside)
    return Grower(density).grow(clicks, outside)


class Grower:
    """Grows lesions by clicks; what one click gives is kept, so that a further one costs no more than itself.

    Args:
        density: The liver that they lie in.
    """

    def __init__(self, density: LiverDensity) -> None:
        self.density = density
        self._grown: dict[Ijk, BoxedMask | None] = {}

    def grow(self, inside: Sequence[Ijk], outside: Sequence[Ijk] = (), start: BoxedMask | None = None) -> np.ndarray:
        """A lesion by its clicks, which `LiverDensity.check` has found usable.

        Args:
            inside: Voxels (i, j, k) of the lesion.
            outside: Voxels that are none of it; what is nearer to one of them than to any inside is none either.
            start: What it was before the clicks; its deepest voxel counts as one inside.

        Returns:
            (k, j, i) bool on the CT's grid.
        """
        found = self.density.on_the_ct(np.zeros(self.density.region.shape, dtype=bool))
        for part in (start, *(self._from(ijk) for ijk in inside)):
            if part is not None:
                found[part.box] |= part.unpack()
        if outside:
            within = [*inside] if start is None else [deepest_voxel(start), *inside]
            places = np.argwhere(found)
            near, far = (_nearest(self.density, places, clicks) for clicks in (within, outside))
            found[tuple(places[near > far].T)] = False
        return found

    def _from(self, ijk: Ijk) -> BoxedMask | None:
        if ijk not in self._grown:
            found = self.density.on_the_ct(_grown_from(self.density, self.density.place_of(ijk)))
            self._grown[ijk] = BoxedMask.pack(found) if found.any() else None
        return self._grown[ijk]


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


def _grown_from(density: LiverDensity, place: Place) -> np.ndarray:
    alike = _alike(density, density.smoothed, density.level_at(place), _LEVEL_SHARE)
    ball = density.ball(BRIDGE_MM)
    whole = np.zeros_like(alike)
    alike = component_at(alike, place)
    if not alike.any():
        return whole
    cut = _box_of(alike, ball)  # no ball reaches from one part to another, so the rest need not be looked at
    alike, here = alike[cut], tuple(at - part.start for at, part in zip(place, cut, strict=True))
    core = ndimage.binary_opening(alike, ball)
    if not core[here]:  # thinner than a bridge: what is near, since the rest may be the rim of the liver
        near = zip(here, density.voxels(SMALL_MM), strict=True)
        close = tuple(slice(max(0, at - n), at + n + 1) for at, n in near)
        core = np.zeros_like(alike)
        core[close] = alike[close]
    found = ndimage.binary_dilation(component_at(core, here), ball, mask=alike)
    sharper = density.sharper[cut]
    edge = _alike(density, sharper, float(np.median(sharper[found])), _EDGE_SHARE, cut)
    whole[cut] = ndimage.binary_dilation(found, ball, mask=edge | found)
    return whole


def _box_of(mask: np.ndarray, margin: np.ndarray) -> tuple[slice, ...]:
    """Where a mask lies, and a structuring element's reach round it."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    sizes = zip(box, margin.shape, mask.shape, strict=True)
    return tuple(slice(max(0, part.start - n), min(size, part.stop + n)) for part, n, size in sizes)


def _alike(
    density: LiverDensity, image: np.ndarray, hu: float, share: float, cut: tuple[slice, ...] = ()
) -> np.ndarray:
    """What in the liver lies beyond a share of the way from a lesion's HU to the liver's: (k, j, i) bool."""
    border = hu + (density.liver_hu - hu) * share
    return density.region[cut] & (image < border if hu < density.liver_hu else image > border)


def _nearest(density: LiverDensity, places: np.ndarray, clicks: Sequence[Ijk]) -> np.ndarray:
    """(n,) mm from each voxel (n, 3), (k, j, i) of the CT, to the nearest click."""
    ways = [np.linalg.norm((places - np.array(ijk[::-1])) * density.mm, axis=1) for ijk in clicks]
    return np.min(ways, axis=0)
