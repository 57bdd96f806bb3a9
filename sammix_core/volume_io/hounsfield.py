"""From a file's numbers to Hounsfield units, and the refusal of what is no CT."""

from __future__ import annotations

from enum import Enum

import numpy as np

from sammix_core.errors import InputError
from sammix_core.volume.volume import Volume
from sammix_core.volume_io.raw_image import RawImage
from sammix_core.volume_io.value_scale import DIVIDED_BY, UNSIGNED_OFFSET, Scale, scale_of

AIR_HU = -1000

# Lower values are fill outside the scan circle (-2048, -3024, -32768), not tissue.
_LOWEST_TISSUE_HU = -1500

# The range tests look at no more than this many voxels, evenly spread.
_SAMPLE_VOXELS = 1_000_000

_INT16 = np.iinfo(np.int16)


class NotHounsfieldError(InputError):
    """The values do not look like Hounsfield units; whoever knows that they are may read the file all the same."""


class _Kind(Enum):
    HOUNSFIELD = "HU"
    UNSIGNED = "HU + 1024"
    OTHER = "no CT"


def to_volume(raw: RawImage, name: str, values_are_hu: bool = False) -> Volume:
    """Makes a volume in Hounsfield units of what a file holds.

    Args:
        raw: The file's numbers and geometry.
        name: The file's name, for the sentences.
        values_are_hu: Whether someone who knows says that the numbers are Hounsfield units; they are not checked then.

    Returns:
        The volume: int16 where the file has whole numbers, otherwise float32; voxels that are not finite are air.

    Raises:
        InputError: No voxel is a finite number.
        NotHounsfieldError: The values are not those of a CT, or of one on another scale.
    """
    sample = _sample(raw.array)
    if sample.size == 0:
        raise InputError(f"{name} holds no number at all: every voxel is NaN or infinite.")
    scale = Scale() if values_are_hu else _scale(sample, raw, name)
    array, n_not_finite = _converted(raw.array, scale)
    notes = list(raw.notes)
    if not scale.is_hounsfield:
        notes.append(_CONVERSIONS[scale.offset, scale.factor])
    if n_not_finite:
        notes.append(
            "1 voxel that was not a number was set to air."
            if n_not_finite == 1
            else f"{n_not_finite} voxels that were not numbers were set to air."
        )
    if not raw.spacing_known:
        notes.append("The spacing is unknown, so no volume in mL can be given.")
    elif not raw.orientation_known:
        notes.append(
            "The file does not say how the patient lies in it, so the way up is looked for in the images; check that "
            "left and right are not exchanged."
        )
    return Volume(
        array=array,
        spacing=raw.spacing,
        origin=raw.origin,
        direction=raw.direction,
        spacing_known=raw.spacing_known,
        orientation_known=raw.orientation_known,
        notes=tuple(notes),
        slice_positions_mm=raw.slice_positions_mm,
        grid_header=raw.grid_header,
        dicom_frames=raw.dicom_frames,
    )


_CONVERSIONS = {
    (UNSIGNED_OFFSET, 1): "The values are Hounsfield units plus 1024, so 1024 was subtracted; please check the result.",
    (-UNSIGNED_OFFSET, 1): "The values are Hounsfield units less 1024, so 1024 was added; please check the result.",
    (0, DIVIDED_BY): "The values are Hounsfield units divided by 1000, so they were multiplied by 1000.",
}
_IF_THEY_ARE = (
    "if the values are Hounsfield units all the same, say so with --values-are-hu, with values_are_hu in a training "
    "configuration, or in the panel"
)


def _scale(sample: np.ndarray, raw: RawImage, name: str) -> Scale:
    scale = scale_of(sample)
    if scale is not None and scale.is_cut_off:
        raise NotHounsfieldError(
            f"{name} is not in Hounsfield units: its soft tissue lies near -1000, and what is lighter was cut off, so "
            f"that no rescale brings it back. Export the CT again; {_IF_THEY_ARE}."
        )
    if scale is not None and not scale.certain and scale.offset:
        where = "high" if scale.offset > 0 else "low"
        raise NotHounsfieldError(
            f"{name} is not in Hounsfield units: its air, fat and soft tissue lie about {abs(round(scale.offset, -1))} "
            f"too {where}. Correct its rescale; {_IF_THEY_ARE}."
        )
    if scale is not None and scale.certain and not scale.is_hounsfield:
        return scale
    kind = _kind_of_stated_ct(sample, raw.rescale_stated) if raw.said_to_be_ct else _kind(sample)
    if scale is not None and not scale.certain:
        kind = _Kind.OTHER
    if kind is _Kind.OTHER:
        low, high = np.percentile(sample, (0.5, 99.5))
        raise NotHounsfieldError(
            f"{name} does not look like a CT in Hounsfield units (99 % of its values lie between {low:.4g} and "
            f"{high:.4g}); SAMMix segments CT only, in unchanged Hounsfield units; {_IF_THEY_ARE}."
        )
    return Scale(UNSIGNED_OFFSET if kind is _Kind.UNSIGNED else 0)


def _sample(array: np.ndarray) -> np.ndarray:
    """Finite values, float64 (n,), n about `_SAMPLE_VOXELS` at most; all of them where an even sample meets none."""
    step = max(1, int(np.ceil((array.size / _SAMPLE_VOXELS) ** (1 / 3))))
    for values in (array[::step, ::step, ::step], array):
        finite = values[np.isfinite(values)] if array.dtype.kind == "f" else values.reshape(-1)
        if finite.size:
            return finite.astype(np.float64)
    return np.empty(0)


def _kind_of_stated_ct(sample: np.ndarray, rescale_stated: bool) -> _Kind:
    """A CT has air or fat, and both are below 0; without a rescale and without one negative value it is unsigned.

    Unless nothing comes near the 1024 of water: then it is a picture of a CT, of 8 bits.
    """
    inside = sample[sample > _LOWEST_TISSUE_HU]
    if rescale_stated or inside.size == 0 or inside.min() < 0:
        return _Kind.HOUNSFIELD
    return _Kind.UNSIGNED if inside.max() > UNSIGNED_OFFSET - 200 else _Kind.OTHER


def _kind(sample: np.ndarray) -> _Kind:
    """Judges numbers of which the file does not say what they are.

    A CT has air around the patient or gas in the bowel, far below 0: that decides for almost all. What has none is
    either shifted (see `_looks_unsigned`), or was cut to the body or clipped (see `_looks_cut_to_body`), or it is no
    CT: MR and normalised images have nothing, or next to nothing, below 0.
    """
    inside = sample[sample > _LOWEST_TISSUE_HU]
    if inside.size == 0:
        return _Kind.HOUNSFIELD
    if np.mean(inside <= -200) >= 1e-3:
        # A phase image of MR has as much far above as far below; bone and metal fill little of a CT.
        return _Kind.OTHER if np.mean(inside > 2500) > 0.1 else _Kind.HOUNSFIELD
    if _looks_unsigned(inside):
        return _Kind.UNSIGNED
    return _Kind.HOUNSFIELD if _looks_cut_to_body(inside) else _Kind.OTHER


def _looks_unsigned(inside: np.ndarray) -> bool:
    """Whether numbers >= 0 are a CT plus 1024.

    In CT of the trunk 86 to 97 % of what is denser than lung lies in the narrow hill of fat and soft tissue, up to 6 %
    in the valley below it and up to 8 % above it. MR of the same range has no reason to, and spreads more widely.
    """
    if np.mean(inside < -50) > 1e-3 or np.percentile(inside, 99.9) > 4095:
        return False
    dense = inside[inside > UNSIGNED_OFFSET - 400] - UNSIGNED_OFFSET
    if dense.size < 0.02 * inside.size:
        return False
    hill = np.mean((dense >= -150) & (dense <= 250))
    return bool(hill >= 0.8 and np.mean(dense < -150) <= 0.13 and np.mean(dense > 300) <= 0.1)


def _looks_cut_to_body(inside: np.ndarray) -> bool:
    """Whether numbers without air are a CT whose air was cut away, clipped, or replaced by 0: fat and soft tissue."""
    body = inside[inside != 0]
    if body.size and np.mean(body == body.min()) > 0.05:  # clipped from below: the clipped voxels say nothing
        body = body[body > body.min()]
    if body.size < 100:
        return False
    fat = np.mean((body > -150) & (body < -20))
    soft = np.mean((body > -150) & (body < 200))
    spread = np.percentile(body, 99) - np.percentile(body, 1)
    return bool(fat >= 5e-3 and soft >= 0.5 and spread >= 80 and np.median(body) <= 180)


def _converted(array: np.ndarray, scale: Scale) -> tuple[np.ndarray, int]:
    """Makes Hounsfield units: int16 of whole numbers, else float32, what is not finite as air; slice by slice."""
    offset, factor = scale.offset, scale.factor
    if array.dtype == np.int16 and scale.is_hounsfield:
        return array, 0
    if array.dtype.kind in "iu":
        out = np.empty(array.shape, np.int16)
        for k, plane in enumerate(array):
            # int64 holds every integer but the upper half of uint64, which no CT uses.
            out[k] = np.clip(plane.astype(np.int64) - offset, _INT16.min, _INT16.max)
        return out, 0
    out = np.empty(array.shape, np.float32)
    n_not_finite = 0
    for k, plane in enumerate(array):
        finite = np.isfinite(plane)
        n_not_finite += int(plane.size - np.count_nonzero(finite))
        # Clipped, because float64 beyond float32 would become infinite.
        hu = np.clip(plane, _INT16.min, _INT16.max) * factor - offset
        out[k] = np.where(finite, np.clip(hu, _INT16.min, _INT16.max), AIR_HU)
    return out, n_not_finite
