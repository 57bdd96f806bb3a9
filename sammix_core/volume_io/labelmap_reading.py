"""Labelmaps from files. They are no CT, so the checks on Hounsfield units do not apply to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sammix_core.errors import InputError
from sammix_core.masks.packed_mask import BoxedMask
from sammix_core.volume_io.dicom_headers import is_dicom
from sammix_core.volume_io.dicom_references import class_of_file, read_dicom_reference, reference_on_ct
from sammix_core.volume_io.labelmap import Labelmap, check_same_space, merge_masks, placed_on_ct, shape_of
from sammix_core.volume_io.reading import is_no_dicom
from sammix_core.volume_io.rtstruct import RTSTRUCT_CLASS, Contours

if TYPE_CHECKING:
    from sammix_core.volume.volume import Volume
    from sammix_core.volume_io.raw_image import RawImage

_NIFTI_SUFFIXES = (".nii", ".nii.gz")


def read_labelmap(path: str | Path) -> Labelmap:
    """Reads a labelmap in NIfTI, NRRD or MetaImage, or a DICOM SEG.

    Args:
        path: The file.

    Returns:
        The labels on the file's own grid; of segmentations, as 3D Slicer's .seg.nrrd, all segments, each with a label
        of its own. Where segments overlap, the smaller one is seen, and `whole` has the others.

    Raises:
        InputError: The file is missing, cut short, of another format, not three-dimensional or holds no whole numbers;
            or it is an RTSTRUCT, which has no grid of its own (see `read_labels_on_ct`).
    """
    file = Path(path).expanduser()
    with _said(file):
        if is_dicom_file(file):
            return read_dicom_reference(file).labelmap()
        image, pairs = _read(file)
    array, names, whole = _merged(_whole_numbers(image.array, file.name), pairs, file.name)
    return Labelmap(
        array=array,
        spacing=image.spacing,
        origin=image.origin,
        direction=image.direction,
        spacing_known=image.spacing_known,
        name=file.name,
        segment_names=names,
        whole=whole,
    )


def read_labels_on_ct(path: str | Path, volume: Volume, case: str) -> Labelmap:
    """Reads labels and places them on the grid of their CT: a labelmap, a DICOM SEG or an RTSTRUCT.

    Args:
        path: The file.
        volume: The CT.
        case: What the message calls both.

    Returns:
        The labels on the CT's grid.

    Raises:
        InputError: The file cannot be used, lies on another grid, or belongs to another frame of reference or series.
    """
    file = Path(path).expanduser()
    with _said(file):
        if is_dicom_file(file):
            return reference_on_ct(read_dicom_reference(file), volume, case)
    return placed_on_ct(read_labelmap(file), volume, case)


@contextmanager
def _said(file: Path) -> Iterator[None]:
    """Turns what a file system says within the block into a sentence.

    Raises:
        InputError: A file cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from error


def read_contours_on(path: Path, labelmap: Labelmap) -> Labelmap:
    """Reads an RTSTRUCT on the grid of a labelmap.

    Raises:
        InputError: The file is no RTSTRUCT, or its contours do not lie on the slices of the grid.
    """
    with _said(path):
        contours = read_dicom_reference(path.expanduser())
    if not isinstance(contours, Contours):
        raise InputError(f"{path.name} is no RTSTRUCT.")
    placed = contours.on(labelmap, None, labelmap.name)
    check_same_space(placed, labelmap)
    return placed


def is_rtstruct(path: Path) -> bool:
    """Whether a file is an RTSTRUCT, which has contours and no grid of its own."""
    file = path.expanduser()
    with _said(file):
        return is_dicom_file(file) and class_of_file(file) == RTSTRUCT_CLASS


def is_dicom_file(path: Path) -> bool:
    """Whether labels are to be read as DICOM: by the file's content, unless its name is that of another format."""
    return path.is_file() and not is_no_dicom(path) and is_dicom(path)


def _read(file: Path) -> tuple[RawImage, dict[str, str]]:
    from sammix_core.volume_io.itk_files import IMAGE_IO, read_itk_layers
    from sammix_core.volume_io.nifti import read_nifti

    if not file.exists():
        raise InputError(f"{file} does not exist.")
    if not file.is_file():
        raise InputError(f"{file} is a folder; name one labelmap file.")
    if file.name.lower().endswith(_NIFTI_SUFFIXES):
        return read_nifti(file), {}
    if file.suffix.lower() in IMAGE_IO:
        return read_itk_layers(file)
    suffixes = ", ".join((*_NIFTI_SUFFIXES, *IMAGE_IO))
    raise InputError(f"{file.name} is no labelmap that can be read; known are {suffixes}.")


def _whole_numbers(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind in "iu":
        return array
    labels = np.rint(array)
    if not np.array_equal(labels, array):
        raise InputError(f"{name} holds values that are not whole numbers, so it is no labelmap.")
    return labels.astype(np.int64)


def _merged(
    array: np.ndarray, pairs: Mapping[str, str], name: str
) -> tuple[np.ndarray, dict[int, str], dict[int, BoxedMask]]:
    """Layers of segments as one labelmap, the segments' names by label, and the whole of those that are partly hidden.

    Args:
        array: (k, j, i), or (k, j, i, layer).
        pairs: Key/value pairs of the header, "Segment0_Layer" and the like among them.
        name: The file's name, for the sentence.
    """
    numbers = sorted(int(match[1]) for key in pairs if (match := re.fullmatch(r"Segment(\d+)_ID", key)))
    if not numbers:
        if array.ndim == 4:
            raise InputError(
                f"{name} holds {array.shape[3]} values a voxel and names no segments, so it is no labelmap."
            )
        return array, {}, {}
    layers = array if array.ndim == 4 else array[..., None]
    segments = []
    for number in numbers:
        try:
            layer = int(pairs.get(f"Segment{number}_Layer") or 0)
            value = int(pairs.get(f"Segment{number}_LabelValue") or number + 1)
        except ValueError as error:
            raise InputError(f"{name} has a damaged header: segment {number} has no layer or label.") from error
        if not 0 <= layer < layers.shape[3]:
            raise InputError(f"{name} has a damaged header: segment {number} is in layer {layer}, which is not there.")
        segments.append((layer, value, pairs.get(f"Segment{number}_Name") or f"segment {number}"))
    if layers.shape[3] == 1:
        return layers[..., 0], {value: title for _, value, title in segments}, {}
    is_unique = len({value for _, value, _ in segments}) == len(segments)
    masks, names = {}, {}
    for index, (layer, value, title) in enumerate(segments):
        label, mask = value if is_unique else index + 1, layers[..., layer] == value
        names[label] = title
        if mask.any():
            masks[label] = BoxedMask.pack(mask)
    merged, whole = merge_masks(masks, shape_of(layers[..., 0]))
    return merged, names, whole
