"""Cases that M-SAM is trained on, and the cubes that are drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sammix_core.datasets.cases import CaseConfig
from sammix_core.datasets.labels import CaseLabels
from sammix_core.errors import InputError
from sammix_core.masks.components import component_boxes, component_sizes, label_components
from sammix_core.refinement.msam.crops import HU, Cube, cut_image, to_ras
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import read_labelmap
from sammix_core.volume_io.nifti import read_nifti

_SPECK_VOXELS = 10  # smaller components are slips of the pen: nothing is centred on them


@dataclass(frozen=True)
class Case3d:
    """A case along R, A and S.

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


def load_case(config: CaseConfig, values: str) -> Case3d:
    """Reads image and labels.

    Args:
        config: Where they are.
        values: `HU`, or `NORMALISED` for a NIfTI whose values are no Hounsfield units.

    Raises:
        InputError: A file is unusable, grids differ, slices are unlabelled or nothing is labelled.
    """
    if values == HU:
        volume = read_volume(config.ct)
        image, order = volume.array, volume.axial_order
    else:
        raw = read_nifti(config.ct)
        image, order = raw.array, AxialOrder.from_direction(raw.direction)
    mask = _read_mask(config, image.shape)
    if mask.shape != image.shape:
        raise InputError(f"The labels {config.labels} and the image {config.ct} have different grids.")
    mask = np.ascontiguousarray(to_ras(order.forward(mask)))
    if not mask.any():
        raise InputError(f"The labels {config.labels} have no voxel of the target, so M-SAM learns nothing of them.")
    return Case3d(config.name, np.ascontiguousarray(to_ras(order.forward(image))), values, mask, _centres(mask))


def _centres(mask: np.ndarray) -> np.ndarray:
    """(n, 3), see `Case3d`."""
    components, count = label_components(mask, corners=True)
    sizes, boxes = component_sizes(components, count), component_boxes(components)
    order = [n for n in np.argsort(-sizes, kind="stable") if sizes[n] >= _SPECK_VOXELS] or [int(np.argmax(sizes))]
    return np.array([[(part.start + part.stop - 1) / 2 for part in boxes[n]] for n in order])


def _read_mask(config: CaseConfig, shape: tuple[int, ...]) -> np.ndarray:
    """(k, j, i) bool."""
    if config.labels.suffix != ".json":
        labelmap = read_labelmap(config.labels).array
        return np.isin(labelmap, config.values) if config.values else labelmap > 0
    labels = CaseLabels.read(config.labels)
    if len(labels.masks) + len(labels.without) < labels.shape[0]:
        raise InputError(f"{config.labels} leaves slices unlabelled; M-SAM learns from whole volumes.")
    mask = np.zeros(labels.shape, dtype=bool)
    for index, one in labels.masks.items():
        mask[index] = one
    return mask


def draw(
    cases: list[Case3d], count: int, crop: int, flips: bool, shift: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws cubes round components: a case first, then one of its components.

    Args:
        cases: To draw from.
        count: How many.
        crop: Voxels along each axis.
        flips: Turn each axis round half of the time.
        shift: Voxels that a cube may be moved by along each axis.
        rng: Draws; the same gives the same.

    Returns:
        Images (count, 1, crop, crop, crop) float32, normalised, and targets of the same shape, bool.
    """
    images, targets = [], []
    for _ in range(count):
        case = cases[rng.integers(len(cases))]
        centre = case.centres[rng.integers(len(case.centres))] + rng.integers(-shift, shift + 1, 3)
        cube = Cube.around(centre, crop)
        flipped = tuple(axis for axis in range(3) if flips and rng.random() < 0.5)
        images.append(np.flip(cut_image(case.image, cube, case.values), flipped).copy())
        targets.append(np.flip(cube.cut(case.mask), flipped).copy())
    return torch.from_numpy(np.stack(images))[:, None], torch.from_numpy(np.stack(targets))[:, None]
