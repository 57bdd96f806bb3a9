"""The volumes that are open in this process, each with its session, and the limit for their embeddings."""

from __future__ import annotations

import gc
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sammix_core.errors import InputError
from sammix_core.guidance.saved_guidance import SavedGuidance
from sammix_core.segmentation.slice_state import SliceState
from sammix_core.volume.volume import Volume, grid_from_ras
from sammix_core.volume_io.hounsfield import to_volume
from sammix_core.volume_io.raw_image import (
    RawImage,
    check_geometry,
    is_orientation_stated,
    is_placeholder_geometry,
)
from SAMMixSlicerLib.worker.commands import OpenVolume
from SAMMixSlicerLib.worker.shared_array import AttachedArray

if TYPE_CHECKING:
    from sammix_core.segmentation.segmenter import Segmenter
    from sammix_core.segmentation.session import SegmentationSession

_NAME = "The volume"


@dataclass
class _OpenVolume:
    """A volume, its memory, and its session once there is a model."""

    volume: Volume
    memory: AttachedArray
    guidance: bytes | None
    states: tuple[SliceState, ...]
    session: SegmentationSession | None = field(default=None)


class OpenVolumes:
    """Volumes by ID, the least recently used first.

    Args:
        limit_bytes: Limit for the embeddings of all volumes; those of the least recently used volumes go first.

    Attributes:
        segmenter: The model in use, or None.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.segmenter: Segmenter | None = None
        self._limit_bytes = limit_bytes
        self._opened: OrderedDict[str, _OpenVolume] = OrderedDict()

    def open(self, command: OpenVolume) -> Volume:
        """Attaches to a volume's memory; a volume of the same ID is closed first.

        Raises:
            InputError: The volume is not a CT in Hounsfield units, or its grid cannot be used.
        """
        self.close(command.volume_id)
        memory = AttachedArray(command.block)
        try:
            volume = _volume(memory, command)
        except InputError:
            memory.close()
            raise
        self._opened[command.volume_id] = _OpenVolume(volume, memory, command.guidance, command.states)
        return volume

    def close(self, volume_id: str) -> None:
        """Drops a volume; one that is not open is no error."""
        opened = self._opened.pop(volume_id, None)
        if opened is not None:
            memory = opened.memory
            del opened
            gc.collect()  # a session and its caches refer to each other and keep the memory in use
            memory.close()

    def volume(self, volume_id: str) -> Volume:
        """Returns an open volume.

        Raises:
            InputError: The volume is not open.
        """
        return self._opened_of(volume_id).volume

    def session(self, volume_id: str) -> SegmentationSession:
        """Returns the session of a volume, and marks it as the most recently used.

        Raises:
            InputError: The volume is not open, or there is no model.
        """
        opened = self._opened_of(volume_id)
        if self.segmenter is None:
            raise InputError("No model is loaded; load one first.")
        self._opened.move_to_end(volume_id)
        if opened.session is None:
            opened.session = self._new_session(self.segmenter, opened)
        return opened.session

    def states(self, volume_id: str) -> tuple[SliceState, ...]:
        """Returns the current slices of a volume; no model is needed.

        Raises:
            InputError: The volume is not open.
        """
        opened = self._opened_of(volume_id)
        if opened.session is None:
            return opened.states
        return tuple(opened.session.slices.state(index) for index in range(opened.session.boxes.slice_count))

    def put(self, volume_id: str, states: tuple[SliceState, ...]) -> tuple[SliceState, ...]:
        """Sets slices of a volume; without a model they are kept until there is one.

        Raises:
            InputError: The volume is not open, or a slice is out of range.
        """
        opened = self._opened.get(volume_id)
        if opened is not None and self.segmenter is None:
            opened.states = tuple({state.slice_index: state for state in (*opened.states, *states)}.values())
            return states
        slices = self.session(volume_id).slices
        for state in states:
            slices.put(state)
        return tuple(slices.state(state.slice_index) for state in states)

    def use(self, segmenter: Segmenter) -> None:
        """Changes the model: what the user made stays, what the previous model computed is dropped."""
        for volume_id, opened in self._opened.items():
            if opened.session is not None:
                opened.states = self.states(volume_id)
            # The previous model's activation map would not fit the new model's masks.
            opened.guidance, opened.session = None, None
        self.segmenter = segmenter

    def trim(self) -> None:
        """Drops the embeddings of the least recently used volumes until the rest is within the limit."""
        sessions = [opened.session for opened in self._opened.values() if opened.session is not None]
        total = sum(session.embedding_bytes for session in sessions)
        for session in sessions[:-1]:
            if total <= self._limit_bytes:
                return
            total -= session.embedding_bytes
            session.forget_embeddings()

    def _opened_of(self, volume_id: str) -> _OpenVolume:
        opened = self._opened.get(volume_id)
        if opened is None:
            raise InputError("The volume is not open in the computing process; open it again.")
        return opened

    def _new_session(self, segmenter: Segmenter, opened: _OpenVolume) -> SegmentationSession:
        session = segmenter.open_session(opened.volume, limit_bytes=self._limit_bytes)
        if opened.guidance is not None:
            with suppress(InputError):  # damaged in the scene file: the next run computes it again
                session.restore_guidance(SavedGuidance.from_bytes(opened.guidance))
        for state in opened.states:
            session.slices.put(state)
        opened.guidance, opened.states = None, ()
        return session


def _volume(memory: AttachedArray, command: OpenVolume) -> Volume:
    spacing, origin, direction = grid_from_ras(command.ijk_to_ras)
    check_geometry(_NAME, spacing, origin, direction)
    spacing_known = command.spacing_known and not is_placeholder_geometry(spacing, origin, direction)
    raw = RawImage(
        memory.array,
        spacing,
        origin,
        direction,
        spacing_known,
        orientation_known=is_orientation_stated(origin, direction),
    )
    return to_volume(raw, _NAME, command.values_are_hu)
