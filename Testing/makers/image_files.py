"""Small NIfTI, NRRD and MetaImage files, good and bad."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk

OBLIQUE_DEGREES = (12.0, -7.0, 31.0)


def rotation(degrees: tuple[float, float, float] = OBLIQUE_DEGREES) -> np.ndarray:
    """A (3, 3) rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def write_with_itk(
    path: Path,
    array: np.ndarray,
    spacing: tuple[float, float, float] = (0.7, 0.8, 2.5),
    origin: tuple[float, float, float] = (-101.3, -120.7, 33.1),
    direction: np.ndarray | None = None,
) -> Path:
    """Writes a (k, j, i) array in the format of the path's ending."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection((np.eye(3) if direction is None else direction).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray | None = None, **fields: object) -> Path:
    """Writes a (k, j, i) array as NIfTI with a RAS affine; `fields` are set in the header's bytes as they are."""
    if affine is None:
        affine = np.diag([-0.7, -0.8, 2.5, 1.0])
        affine[:3, 3] = (50.0, 60.0, -70.0)
    image = nibabel.Nifti1Image(array.transpose(range(array.ndim)[::-1]), affine)
    for name in ("scl_slope", "scl_inter"):
        if name in fields:
            raise ValueError("nibabel writes slopes by itself; use write_scaled")
    nibabel.save(image, path)
    if fields:
        patch_header(path, **fields)
    return path


def write_scaled(path: Path, stored: np.ndarray, slope: float, intercept: float) -> Path:
    """Writes an uncompressed NIfTI whose stored integers mean stored * slope + intercept."""
    write_nifti(path, stored)
    patch_header(path, scl_slope=slope, scl_inter=intercept)
    return path


def patch_header(path: Path, **fields: object) -> None:
    """Changes fields of an uncompressed NIfTI's header, past what nibabel would let one write."""
    content = path.read_bytes()
    header = nibabel.Nifti1Header(content[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + content[348:])


def truncate(path: Path, share: float = 0.6) -> Path:
    """Cuts a file short."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def itk_geometry(path: Path) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[int, ...]]:
    """Spacing, origin, direction and size, as SimpleITK reads them."""
    image = sitk.ReadImage(str(path))
    return image.GetSpacing(), image.GetOrigin(), image.GetDirection(), image.GetSize()
