"""From the images of one series to a stack: order, geometry, and the voxels, read image by image."""

from __future__ import annotations

import itertools
import math

import numpy as np

from sammix_core.errors import InputError
from sammix_core.volume.volume import DicomFrame
from sammix_core.volume_io.dicom_headers import Frame
from sammix_core.volume_io.dicom_series import Series
from sammix_core.volume_io.dicom_voxels import read_voxels
from sammix_core.volume_io.quiet import quiet_libraries
from sammix_core.volume_io.raw_image import RawImage, check_geometry, tilt_note

# Another size or direction of axial images with more than this share of a series is no oddity: which one is meant?
_LARGEST_ODD_SHARE = 0.2

# Scanners write direction and spacing of one image with other last digits than those of the next.
_COSINE_TOLERANCE = 5e-3
_SPACING_TOLERANCE_MM = 2e-3

# Headers round positions to 0.1 mm at worst, that of the slice and that of the outermost ones by which the even step is
# known; what is farther from it is really uneven.
_UNEVEN_STEPS = 0.1
_UNEVEN_MM = 0.11

_SAME_PLACE_MM = 0.01
_SMALLEST_TILT_DEGREES = 0.2
# Of a tilted gantry all images lie on one slanted line; those that lie farther from it have jumped.
_LARGEST_JUMP_MM = 0.5


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
    frames, more_notes = _ordered(frames, name)
    notes += more_notes
    first = frames[0]
    with quiet_libraries():
        array, grid = read_voxels(frames)
    spacing, origin, direction = grid or _geometry_of_frame(first, name)
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
        dicom_frames=tuple(DicomFrame(frame.path, frame.index) for frame in frames),
    )


def stack_frames(series: Series, name: str) -> list[Frame]:
    """The images that `read_stack` reads, in its order.

    Raises:
        InputError: As `read_stack`.
    """
    frames, _ = _fitting_frames(series.frames, name)
    return _ordered(frames, name)[0]


def stack_geometry(
    frames: list[Frame], name: str
) -> tuple[tuple[float, float, float], tuple[float, float, float], np.ndarray]:
    """Spacing, origin and direction of the grid that `read_stack` gives images in order, by their headers alone.

    Raises:
        InputError: The headers do not say where the images lie.
    """
    spacing, origin, direction = _geometry_of_frame(frames[0], name)
    if len(frames) > 1:
        spacing = (spacing[0], spacing[1], _steps(frames)[0])
    check_geometry(name, spacing, origin, direction)
    return spacing, origin, direction


def _fitting_frames(frames: tuple[Frame, ...], name: str) -> tuple[list[Frame], list[str]]:
    """Leaves out copies, overviews, and images that do not fit the others."""
    # One image twice, as when a folder was copied into itself.
    unique = list({(frame.instance_uid or frame.path, frame.index): frame for frame in frames}.values())
    kinds: list[list[Frame]] = []
    for frame in unique:
        kind = next((kind for kind in kinds if _is_alike(kind[0], frame)), None)
        if kind is None:
            kinds.append([frame])
        else:
            kind.append(frame)
    # The stack is the largest kind of axial images, or of others where there are none.
    kinds.sort(key=lambda kind: (not kind[0].is_localiser, kind[0].samples == 1, kind[0].is_axial, len(kind)))
    stack = kinds.pop()
    rivals = [kind for kind in kinds if _is_rival(kind[0], stack[0])]
    if any(len(kind) > _LARGEST_ODD_SHARE * len(unique) for kind in rivals):
        raise InputError(f"{name} mixes images of {len(rivals) + 1} sizes, directions or kinds in one series.")
    n_odd = len(unique) - len(stack)
    if not n_odd:
        return stack, []
    left_out = "1 image was" if n_odd == 1 else f"{n_odd} images were"
    return stack, [f"{left_out} left out of the series, being of another size, direction or kind than the rest."]


def _is_alike(frame: Frame, other: Frame) -> bool:
    """Whether two images may be of one stack."""
    if (frame.rows, frame.columns, frame.samples) != (other.rows, other.columns, other.samples):
        return False
    if frame.is_localiser != other.is_localiser or (frame.position is None) != (other.position is None):
        return False
    return _are_near(frame.orientation, other.orientation, _COSINE_TOLERANCE) and _are_near(
        frame.pixel_spacing, other.pixel_spacing, _SPACING_TOLERANCE_MM
    )


def _are_near(values: tuple[float, ...] | None, others: tuple[float, ...] | None, tolerance: float) -> bool:
    if values is None or others is None:
        return values is others
    return bool(np.allclose(values, others, rtol=0, atol=tolerance))


def _is_rival(frame: Frame, other: Frame) -> bool:
    """Whether a kind of images may be meant as well as the one that was chosen."""
    return (frame.is_localiser, frame.samples, frame.is_axial) == (other.is_localiser, other.samples, other.is_axial)


def _ordered(frames: list[Frame], name: str) -> tuple[list[Frame], list[str]]:
    """Images by their place, each place once, and a sentence on what was left out."""
    if len(frames) == 1:
        return frames, []
    if frames[0].orientation is None or frames[0].position is None:
        raise InputError(f"{name} does not say where its images lie in the patient, so they cannot be put in order.")
    heights = _heights(frames)
    if not np.isfinite(heights).all() or not np.isclose(np.linalg.norm(_normal(frames[0])), 1):
        raise InputError(f"{name} has damaged DICOM headers: their positions or directions are impossible.")
    order = np.argsort(heights, kind="stable")
    kept, n_same = [frames[order[0]]], 0
    for before, index in itertools.pairwise(order):
        if heights[index] - heights[before] >= _SAME_PLACE_MM:
            kept.append(frames[index])
            continue
        n_same += 1
        with quiet_libraries():
            same = np.array_equal(read_voxels([kept[-1]])[0], read_voxels([frames[index]])[0])
        if not same:
            raise InputError(
                f"{name} has images at the place of another one that differ from it (several phases or reconstructions "
                "in one series?); keep one image for each place."
            )
    if not n_same:
        return kept, []
    left_out = "1 image was" if n_same == 1 else f"{n_same} images were"
    return kept, [f"{left_out} left out of the series, being the same as another one at the same place."]


def _heights(frames: list[Frame]) -> np.ndarray:
    """(n,) mm along the normal of the first image."""
    return np.array([_position(frame) for frame in frames]) @ _normal(frames[0])


def _position(frame: Frame) -> tuple[float, ...]:
    assert frame.position is not None  # `_is_alike` keeps images with and without a position apart
    return frame.position


def _normal(frame: Frame) -> np.ndarray:
    assert frame.orientation is not None
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    length = float(np.linalg.norm(normal))
    return normal / length if length > 0 else normal


def _steps(frames: list[Frame]) -> tuple[float, np.ndarray | None, list[str]]:
    """The mean step as ITK takes it, where the slices really lie, and sentences on what is odd about it."""
    positions = np.array([_position(frame) for frame in frames])
    way = positions[-1] - positions[0]
    # Added in this order, as ITK does: then the spacing is the same to the last bit.
    step = math.sqrt(way[0] * way[0] + way[1] * way[1] + way[2] * way[2]) / (len(frames) - 1)
    heights = _heights(frames)
    heights = heights - heights[0]
    notes = []
    across = positions - positions[0] - np.outer(heights, _normal(frames[0]))
    slope = heights @ across / max(float(heights @ heights), 1e-9)
    away = np.linalg.norm(across - np.outer(heights, slope), axis=1)
    tilt = math.degrees(math.atan(float(np.linalg.norm(slope))))
    if away.max() > _LARGEST_JUMP_MM:
        jump = int(np.argmax(np.linalg.norm(np.diff(across, axis=0), axis=1))) + 1
        size = float(np.linalg.norm(across[jump] - across[jump - 1]))
        notes.append(
            f"From image {jump + 1} on the images lie {size:.1f} mm to the side of those before (another scan or a "
            "moved table?); the slices were processed one by one as they are, and the labelmap has the same "
            "straightened stack."
        )
    elif tilt > _SMALLEST_TILT_DEGREES:
        notes.append(tilt_note(tilt))
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
