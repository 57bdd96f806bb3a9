"""The steps of following, in their order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from sammix_core.boxes.network_box import NetworkBox
from sammix_core.engines.threads import in_threads
from sammix_core.guidance.boxes_from_cam import GuidedBoxes
from sammix_core.segmentation.following.breaks import drop_beyond_breaks
from sammix_core.segmentation.following.ends import follow_ends
from sammix_core.segmentation.following.neighbours import mend_by_neighbours
from sammix_core.segmentation.following.parts import add_missing_parts
from sammix_core.segmentation.following.settings import FollowSettings
from sammix_core.segmentation.following.track import Decoder, Track
from sammix_core.segmentation.slice_decoder import NetworkMask, padded


def follow(
    guided: GuidedBoxes,
    decoder: Decoder,
    slice_mm: float,
    size: int,
    settings: FollowSettings,
    step: Callable[[], None] = lambda: None,
) -> GuidedBoxes:
    """Refits boxes, drops what is of another density, mends slices by their neighbours, follows organ and parts.

    Of a slice with several boxes the first is followed; the others stay as they are. Parts that slices lack are added
    at the end.

    Args:
        guided: The guidance's boxes; they stay as they are.
        decoder: Decodes slices in the network's frame.
        slice_mm: Distance of slices.
        size: Side of the network image in pixels.
        settings: The model's settings.
        step: Called after each of the guidance's boxes.

    Returns:
        The boxes to use. The map of a mended or followed slice is the prompt that it was decoded from, so that its
        mask is made from it.
    """
    if settings.grow <= 0:
        return guided
    track = Track.start(guided, decoder, slice_mm, size)
    boxes = [(index, boxes[0]) for index, boxes in enumerate(guided.boxes) if boxes]

    def refitted(indexed: tuple[int, NetworkBox]) -> NetworkMask | None:
        index, box = indexed
        return decoder.decode(index, padded(box, settings.grow, size), guided.cam_logits[index], guided.support[index])

    with closing(in_threads(refitted, boxes, decoder.concurrency)) as masks:
        for (index, _), mask in zip(boxes, masks, strict=True):
            if mask is not None:
                track.masks[index] = mask
                track.set_box(index, mask.box)
            step()
    drop_beyond_breaks(track, settings)
    mend_by_neighbours(track, settings)
    follow_ends(track, settings)
    add_missing_parts(track, settings)
    return track.guided
