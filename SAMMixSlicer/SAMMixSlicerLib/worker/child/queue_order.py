"""Which waiting commands may be done while a long one is between two slices."""

from __future__ import annotations

from collections.abc import Iterable

from SAMMixSlicerLib.worker.commands import (
    CloseVolume,
    Command,
    OpenVolume,
    ResetSlices,
    SegmentSlice,
    SegmentSlices,
    SetStates,
    ShowCam,
    VolumeCommand,
)
from SAMMixSlicerLib.worker.mask_commands import MaskCommand


def next_quick(waiting: Iterable[Command], running_on: str) -> Command | None:
    """The first waiting command that may go ahead of the one that runs.

    The order of commands on one volume is kept; what concerns all volumes (another model) holds back all after it.

    Args:
        waiting: Commands in the order in which they came.
        running_on: Volume of the command that runs.
    """
    held_back: set[str] = set()
    for command in waiting:
        if not isinstance(command, VolumeCommand):
            return None
        if command.volume_id not in held_back and _is_quick(command, running_on):
            return command
        held_back.add(command.volume_id)
    return None


def _is_quick(command: VolumeCommand, running_on: str) -> bool:
    if isinstance(command, SegmentSlice | SetStates | ShowCam | MaskCommand):
        return True
    if isinstance(command, SegmentSlices | ResetSlices):
        return len(command.slices) <= 1
    # The volume under the run must not be taken from it.
    return isinstance(command, OpenVolume | CloseVolume) and command.volume_id != running_on
