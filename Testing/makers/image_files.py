"""Small NIfTI, NRRD and MetaImage files, good and bad."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk

OBLIQUE_DEGREES = (12.0, -7.0, 31.0)
SPACING, ORIGIN = (0.7, 0.8, 2.5), (-101.3, -120.7, 33.1)


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
    spacing: tuple[float, float, float] = SPACING,
    origin: tuple[float, float, float] = ORIGIN,
    direction: np.ndarray | None = None,
) -> Path:
    """Writes a (k, j, i) array in the format of the path's ending."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection((np.eye(3) if direction is None else direction).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def write_segmentation(
    path: Path,
    layers: list[np.ndarray],
    segments: list[tuple[str, int, int]],
    crop: tuple[slice, slice, slice] = (slice(None), slice(None), slice(None)),
    spacing: tuple[float, float, float] = SPACING,
) -> Path:
    """Writes a .seg.nrrd as 3D Slicer does: layers first, only the part with segments.

    Args:
        path: The file.
        layers: (k, j, i) labels each.
        segments: Name, layer and label.
        crop: Which k, j and i are written.
        spacing: (i, j, k) in mm.
    """
    first = [start + step * (part.start or 0) for start, step, part in zip(ORIGIN, spacing, crop[::-1], strict=True)]
    cropped = [np.ascontiguousarray(layer[crop]).astype(np.uint8) for layer in layers]
    n_k, n_j, n_i = cropped[0].shape
    directions = "({},0,0) (0,{},0) (0,0,{})".format(*spacing)
    several = len(layers) > 1
    lines = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        f"sizes: {f'{len(layers)} ' if several else ''}{n_i} {n_j} {n_k}",
        f"space directions: {'none ' if several else ''}{directions}",
        f"kinds: {'list ' if several else ''}domain domain domain",
        "encoding: raw",
        f"space origin: ({','.join(str(float(part)) for part in first)})",
    ]
    for number, (name, layer, label) in enumerate(segments):
        values = {"ID": f"Segment_{number + 1}", "Name": name, "Layer": layer, "LabelValue": label}
        lines += [f"Segment{number}_{key}:={value}" for key, value in values.items()]
    lines.append("Segmentation_MasterRepresentation:=Binary labelmap")
    data = np.stack(cropped, axis=-1) if several else cropped[0]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + data.tobytes())
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
