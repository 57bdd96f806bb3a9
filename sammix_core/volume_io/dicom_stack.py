"""From the images of one series to a stack: order, geometry, and the voxels, read image by image."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from sammix_core.errors import InputError
from sammix_core.volume_io.dicom_headers import Frame
from sammix_core.volume_io.dicom_series import Series
from sammix_core.volume_io.itk_files import array_of
from sammix_core.volume_io.quiet import quiet_libraries, stderr_turned_away
from sammix_core.volume_io.raw_image import RawImage, check_geometry

# Images of a series that do not fit the rest (a localiser, a screenshot) are left out up to this share.
_LARGEST_ODD_SHARE = 0.2

# Headers round positions to 0.1 mm at worst, that of the slice and that of the outermost ones by which the even step is
# known; what is farther from it is really uneven.
_UNEVEN_STEPS = 0.1
_UNEVEN_MM = 0.11

_SAME_PLACE_MM = 0.01
_SMALLEST_TILT_DEGREES = 0.2


def read_stack(series: Series, name: str) -> RawImage:
    """Reads a series.

    The grid is the one that ITK and 3D Slicer give the series: axes at right angles, slices at the mean step. Where the
    slices really lie elsewhere (uneven steps, gantry tilt), each is still one slice of the array, as it is, and
    `slice_positions_mm` says where along their normal.

    Args:
        series: CT images.
        name: The folder's or file's name, for the sentences.

    Returns:
        The volume, slices ascending along the normal of the images.

    Raises:
        InputError: Images are missing parts, lie at the same place, differ in shape, or are damaged.
    """
    frames, notes = _fitting_frames(series.frames, name)
    frames = _ordered(frames, name)
    first = frames[0]
    with quiet_libraries():
        array, spacing, origin, direction = _read_voxels(frames)
    if first.n_frames > 1:
        spacing, origin, direction = _geometry_of_frame(first, name)
    positions = None
    if len(frames) > 1:
        step, positions, more_notes = _steps(frames)
        spacing = (spacing[0], spacing[1], step)
        notes += more_notes
    elif first.thickness is not None:
        spacing = (spacing[0], spacing[1], first.thickness)
    check_geometry(name, spacing, origin, direction)
    return RawImage(
        array=array,
        spacing=spacing,
        origin=origin,
        direction=direction,
        spacing_known=first.pixel_spacing is not None and (len(frames) > 1 or first.thickness is not None),
        said_to_be_ct=True,
        rescale_stated=all(frame.rescaled for frame in frames),
        notes=tuple(notes),
        slice_positions_mm=positions,
    )


def _fitting_frames(frames: tuple[Frame, ...], name: str) -> tuple[list[Frame], list[str]]:
    """Leaves out copies and the few images that do not fit the others."""
    notes = []
    # One image twice, as when a folder was copied into itself.
    unique = list({(frame.instance_uid or frame.path, frame.index): frame for frame in frames}.values())
    shapes = Counter(_shape(frame) for frame in unique)
    shape, count = shapes.most_common(1)[0]
    if count < len(unique):
        if len(unique) - count > _LARGEST_ODD_SHARE * len(unique):
            raise InputError(f"{name} mixes images of {len(shapes)} sizes, directions or kinds in one series.")
        n_odd = len(unique) - count
        left_out = "1 image was" if n_odd == 1 else f"{n_odd} images were"
        notes.append(f"{left_out} left out of the series, being of another size, direction or kind than the rest.")
    return [frame for frame in unique if _shape(frame) == shape], notes


def _shape(frame: Frame) -> tuple[object, ...]:
    # Rounded, because scanners write the direction of one image with other last digits than that of the next.
    orientation = frame.orientation and tuple(round(part, 2) + 0.0 for part in frame.orientation)
    spacing = frame.pixel_spacing and tuple(round(part, 3) for part in frame.pixel_spacing)
    return frame.rows, frame.columns, frame.samples, orientation, spacing, frame.is_localiser, frame.position is None


def _ordered(frames: list[Frame], name: str) -> list[Frame]:
    if len(frames) == 1:
        return frames
    if frames[0].orientation is None or frames[0].position is None:
        raise InputError(f"{name} does not say where its images lie in the patient, so they cannot be put in order.")
    heights = _heights(frames)
    if not np.isfinite(heights).all() or not np.isclose(np.linalg.norm(_normal(frames[0])), 1):
        raise InputError(f"{name} has damaged DICOM headers: their positions or directions are impossible.")
    order = np.argsort(heights, kind="stable")
    n_same = int(np.count_nonzero(np.diff(heights[order]) < _SAME_PLACE_MM))
    if n_same:
        raise InputError(
            f"{name} has {n_same} of {len(frames)} images at the place of another one (several phases in one series?); "
            "keep one image for each place."
        )
    return [frames[index] for index in order]


def _heights(frames: list[Frame]) -> np.ndarray:
    """(n,) mm along the normal of the first image."""
    return np.array([_places(frame) for frame in frames]) @ _normal(frames[0])


def _places(frame: Frame) -> tuple[float, ...]:
    assert frame.position is not None  # `_shape` keeps images with and without a position apart
    return frame.position


def _normal(frame: Frame) -> np.ndarray:
    assert frame.orientation is not None
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    length = float(np.linalg.norm(normal))
    return normal / length if length > 0 else normal


def _steps(frames: list[Frame]) -> tuple[float, np.ndarray | None, list[str]]:
    """The mean step as ITK takes it, where the slices really lie, and sentences on what is odd about it."""
    places = np.array([_places(frame) for frame in frames])
    way = places[-1] - places[0]
    # Added in this order, as ITK does: then the spacing is the same to the last bit.
    step = math.sqrt(way[0] * way[0] + way[1] * way[1] + way[2] * way[2]) / (len(frames) - 1)
    heights = _heights(frames)
    heights = heights - heights[0]
    notes = []
    tilt = math.degrees(math.atan2(float(np.linalg.norm(way - _normal(frames[0]) * heights[-1])), heights[-1]))
    if tilt > _SMALLEST_TILT_DEGREES:
        notes.append(
            f"The gantry was tilted by {tilt:.1f} degrees; the slices were processed one by one as they are, and the "
            "labelmap has the same straightened stack."
        )
    mean = heights[-1] / (len(frames) - 1)
    uneven = np.abs(heights - mean * np.arange(len(frames))).max() > max(_UNEVEN_STEPS * mean, _UNEVEN_MM)
    if uneven:
        gaps = np.diff(heights)
        notes.append(
            f"The slices are unevenly spaced, {gaps.min():.4g} to {gaps.max():.4g} mm (images may be missing); "
            f"each was processed as it is, and the grid has the mean step of {step:.4g} mm."
        )
    return step, (heights if notes else None), notes


def _geometry_of_frame(
    frame: Frame, name: str
) -> tuple[tuple[float, float, float], tuple[float, float, float], np.ndarray]:
    """Of a frame of a multi-frame file, from its own header, since ITK keeps the file's order of frames."""
    if frame.orientation is None or frame.position is None or frame.pixel_spacing is None:
        raise InputError(f"{name} is a multi-frame file that does not say where its frames lie.")
    row, column = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    direction = np.column_stack([row, column, _normal(frame)])
    between_rows, between_columns = frame.pixel_spacing
    x, y, z = frame.position
    return (between_columns, between_rows, frame.thickness or 1.0), (x, y, z), direction


def _read_voxels(
    frames: list[Frame],
) -> tuple[np.ndarray, tuple[float, float, float], tuple[float, float, float], np.ndarray]:
    """Reads the images one by one into one array, and the first one's geometry."""
    first = frames[0]
    image = _read_file(first.path)
    plane = _plane(image, first)
    # Whole numbers beyond int16 are clipped later all the same; a slope that is not whole makes floats.
    kind = np.dtype(np.int16) if plane.dtype.kind in "iu" else np.dtype(np.float32)
    array = np.empty((len(frames), first.rows, first.columns), kind)
    files: dict[Path, Any] = {first.path: image}
    for k, frame in enumerate(frames):
        if frame.path not in files:
            files = {frame.path: _read_file(frame.path)}  # only the file at hand stays in memory
        plane = _plane(files[frame.path], frame)
        if plane.dtype.kind == "f" and array.dtype.kind != "f":
            array = array.astype(np.float32)
        array[k] = np.clip(plane, -(2**15), 2**15 - 1)
    direction = np.array(image.GetDirection(), dtype=np.float64).reshape(3, 3)
    return array, image.GetSpacing(), image.GetOrigin(), direction


def _read_file(path: Path) -> Any:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    try:
        with stderr_turned_away():
            image = reader.Execute()
    except RuntimeError as error:
        raise InputError(f"{path.name} is cut short, damaged, or packed in a way that cannot be read.") from error
    if image.GetDimension() == 2:
        image = sitk.JoinSeries(image)
    return image


def _plane(image: Any, frame: Frame) -> np.ndarray:
    """(rows, columns) of one frame."""
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{frame.path.name} holds colours, so it is no CT.")
    voxels = array_of(image)
    if voxels.shape != (frame.n_frames, frame.rows, frame.columns):
        raise InputError(f"{frame.path.name} has a DICOM header that does not fit its image.")
    return voxels[frame.index]
