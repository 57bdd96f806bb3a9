"""Labelled cases along R, A and S, as M-SAM is trained on them, and the cubes that are drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sammix_core.datasets.cases import CaseConfig, load_case
from sammix_core.datasets.sampling import PatientSampler
from sammix_core.errors import InputError
from sammix_core.masks.components import component_boxes, component_sizes, label_components
from sammix_core.refinement.msam.crops import HU, Cube, cut_image, to_ras
from sammix_core.volume.volume import Volume
from sammix_core.volume_io.nifti import read_nifti

_SPECK_VOXELS = 10  # smaller components are slips of the pen: nothing is centred on them


@dataclass(frozen=True, eq=False)
class RasCase:
    """A `LabelledCase` along R, A and S, all of whose slices are labelled.

    Attributes:
        name: Name of the patient.
        image: (x, y, z).
        values: What the image's values are, `HU` or `NORMALISED`.
        mask: (x, y, z) bool.
        centres: (n, 3) voxel indices of the middle of the box round each component of the mask, largest first.
    """

    name: str
    image: np.ndarray
    values: str
    mask: np.ndarray
    centres: np.ndarray


@dataclass(frozen=True)
class CubeSettings:
    """How cubes are drawn.

    Attributes:
        crop: Voxels along each axis.
        flips: Turn each axis round half of the time.
        shift: Voxels that a cube may be moved by along each axis.
    """

    crop: int
    flips: bool = False
    shift: int = 0


def load_ras_case(config: CaseConfig, values: str) -> RasCase:
    """Reads image and labels.

    Args:
        config: Where they are.
        values: `HU`, or `NORMALISED` for a NIfTI whose values are no Hounsfield units.

    Raises:
        InputError: A file is unusable, grids differ, slices are unlabelled or nothing is labelled.
    """
    volume = None
    if values != HU:
        raw = read_nifti(config.ct)
        volume = Volume(raw.array.astype(np.float32), raw.spacing, raw.origin, raw.direction)
    case = load_case(config, volume)
    if not case.labelled.all():
        raise InputError(f"{config.labels} leaves slices unlabelled; M-SAM learns from whole volumes.")
    mask = np.ascontiguousarray(to_ras(case.mask_volume()))
    if not mask.any():
        raise InputError(f"The labels {config.labels} have no voxel of the target, so M-SAM learns nothing of them.")
    return RasCase(config.name, np.ascontiguousarray(to_ras(case.axial)), values, mask, _centres(mask))


def _centres(mask: np.ndarray) -> np.ndarray:
    """(n, 3), see `RasCase`."""
    components, count = label_components(mask, corners=True)
    sizes, boxes = component_sizes(components, count), component_boxes(components)
    order = [n for n in np.argsort(-sizes, kind="stable") if sizes[n] >= _SPECK_VOXELS] or [int(np.argmax(sizes))]
    return np.array([[(part.start + part.stop - 1) / 2 for part in boxes[n]] for n in order])


def draw_cubes(
    cases: Sequence[RasCase], count: int, settings: CubeSettings, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws cubes round components: a case first, then one of its components.

    Args:
        cases: To draw from.
        count: How many.
        settings: Size, flips and shifts.
        rng: Random source.

    Returns:
        Images (count, 1, crop, crop, crop) float32, normalised, and targets of the same shape, bool.
    """
    sampler = PatientSampler(
        (str(number), str(number), (case, centre)) for number, case in enumerate(cases) for centre in case.centres
    )
    images, targets = [], []
    for _ in range(count):
        ((case, centre),) = sampler.draw(1, rng)
        cube = Cube.around(centre + rng.integers(-settings.shift, settings.shift + 1, 3), settings.crop)
        flipped = tuple(axis for axis in range(3) if settings.flips and rng.random() < 0.5)
        images.append(np.flip(cut_image(case.image, cube, case.values), flipped).copy())
        targets.append(np.flip(cube.cut(case.mask), flipped).copy())
    return torch.from_numpy(np.stack(images))[:, None], torch.from_numpy(np.stack(targets))[:, None]
