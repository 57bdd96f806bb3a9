"""Commands on their way to the process, in order; volumes go through shared memory on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from SAMMixSlicerLib.worker.commands import Block, BlockMade, Command, OpenVolume, VolumeCommand
from SAMMixSlicerLib.worker.held_volume import HeldVolume
from SAMMixSlicerLib.worker.shared_array import Upload


@dataclass(frozen=True)
class Opening(VolumeCommand):
    """A volume to be copied into shared memory and opened.

    Attributes:
        held: The volume.
    """

    held: HeldVolume = field(repr=False)


class Outbox:
    """Sends commands in their order, a little at each call."""

    def __init__(self) -> None:
        self._waiting: deque[Command] = deque()
        self._uploads: dict[int, Upload] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Command]:
        return iter(list(self._waiting))

    def put(self, command: Command) -> None:
        """Appends a command."""
        self._waiting.append(command)

    def takeBack(self, request: int) -> Command | None:
        """Takes a command out, if it is still here."""
        for command in self._waiting:
            if command.request == request:
                self._waiting.remove(command)
                self.release(request)
                return command
        return None

    def push(self, send: Callable[[Any], None], seconds: float) -> Iterator[Command]:
        """Sends what can be sent, and yields it; copies a volume on for about so long.

        Raises:
            InputError: There is too little shared memory for the volume of the first command, which stays here.
        """
        while self._waiting:
            command = self._waiting[0]
            if isinstance(command, Opening):
                block = self._copied(command, send, seconds)
                if block is None:
                    return
                held = command.held
                states = tuple(held.states.values())
                geometry = (held.ijkToRas, held.spacingKnown)
                send(OpenVolume(command.request, command.volume_id, block, *geometry, held.guidance, states))
            else:
                send(command)
            self._waiting.popleft()
            yield command

    def release(self, request: int) -> None:
        """Removes the block of a command that the process has taken over, or that never goes there."""
        upload = self._uploads.pop(request, None)
        if upload is not None:
            upload.discard()

    def releaseAll(self) -> None:
        """Removes every block, for a process that is gone; volumes that wait are copied again."""
        for request in list(self._uploads):
            self.release(request)

    def clear(self) -> None:
        """Drops every command and every block."""
        self._waiting.clear()
        self.releaseAll()

    def _copied(self, command: Opening, send: Callable[[Any], None], seconds: float) -> Block | None:
        """The block of a volume once all of it is there."""
        upload = self._uploads.get(command.request)
        if upload is None:
            upload = self._uploads[command.request] = Upload(command.held.array)
            send(BlockMade(upload.block.name))
        return upload.block if upload.step(seconds) else None
