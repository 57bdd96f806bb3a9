"""The steps of following, in their order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from sammix_core.boxes import NetworkBox
from sammix_core.engines.threads import in_threads
from sammix_core.guidance.boxes_from_cam import GuidedBoxes
from sammix_core.segmentation.following.breaks import drop_beyond_breaks
from sammix_core.segmentation.following.ends import follow_ends
from sammix_core.segmentation.following.neighbours import mend_by_neighbours
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.following.track import Track, Viewer
from sammix_core.segmentation.slice_look import Look, padded


def follow(
    guided: GuidedBoxes,
    viewer: Viewer,
    slice_mm: float,
    size: int,
    settings: FollowSettings,
    step: Callable[[], None] = lambda: None,
) -> GuidedBoxes:
    """Refits boxes, drops what is of another density, mends slices by their neighbours, follows the organ.

    Args:
        guided: What the guidance found.
        viewer: Shows slices as the decoder sees them.
        slice_mm: Distance of slices.
        size: Side of the network image in pixels.
        settings: The model's settings.
        step: Called after each of the guidance's boxes.

    Returns:
        The boxes in use. Mended and followed slices get what they were decoded from as map, so that masks are made
        from it.
    """
    if settings.grow <= 0:
        return guided
    track = Track.start(guided, viewer, slice_mm, size)
    held = [(index, box) for index, box in enumerate(guided.boxes) if box is not None]

    def refitted(one: tuple[int, NetworkBox]) -> Look | None:
        index, box = one
        grown = padded(box, settings.grow, size)
        return viewer.look(index, grown, guided.cam_logits[index], guided.support[index])

    with closing(in_threads(refitted, held, viewer.concurrency)) as looks:
        for (index, _), look in zip(held, looks, strict=True):
            if look is not None:
                track.looks[index] = look
                track.found.boxes[index] = look.box
            step()
    drop_beyond_breaks(track, settings)
    mend_by_neighbours(track, settings)
    follow_ends(track, settings)
    return track.found
