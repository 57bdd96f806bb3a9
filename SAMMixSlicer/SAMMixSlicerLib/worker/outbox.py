"""Commands that wait to be sent, in order; volumes are copied into shared memory first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from SAMMixSlicerLib.worker.commands import Block, BlockCreated, Command, OpenVolume, VolumeCommand
from SAMMixSlicerLib.worker.shared_array import Upload
from SAMMixSlicerLib.worker.volume_state import VolumeState


@dataclass(frozen=True)
class PendingOpen(VolumeCommand):
    """A volume to be copied into shared memory and opened; the process receives an `OpenVolume`.

    Attributes:
        volume: The volume.
    """

    volume: VolumeState = field(repr=False)
    repeatable: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Name of the command that the process receives."""
        return OpenVolume.__name__


class Outbox:
    """Sends commands in order, within a time limit at each call."""

    def __init__(self) -> None:
        self._queue: deque[Command] = deque()
        self._uploads: dict[int, Upload] = {}

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Command]:
        return iter(list(self._queue))

    def put(self, command: Command) -> None:
        """Appends a command."""
        self._queue.append(command)

    def withdraw(self, request: int) -> Command | None:
        """Removes a command that was not sent yet, and returns it."""
        for command in self._queue:
            if command.request == request:
                self._queue.remove(command)
                self.release(request)
                return command
        return None

    def push(self, send: Callable[[Any], None], seconds: float) -> Iterator[Command]:
        """Sends and yields the commands that can go; copies a volume for at most about `seconds`.

        Raises:
            InputError: There is too little shared memory for the volume of the first command, which stays queued.
        """
        while self._queue:
            command = self._queue[0]
            if isinstance(command, PendingOpen):
                block = self._uploadedBlock(command, send, seconds)
                if block is None:
                    return
                send(_openVolume(command, block))
            else:
                send(command)
            self._queue.popleft()
            yield command

    def release(self, request: int) -> None:
        """Removes the block of a command that the process has attached to, or that will not be sent."""
        upload = self._uploads.pop(request, None)
        if upload is not None:
            upload.discard()

    def releaseAll(self) -> None:
        """Removes every block after the process has ended; queued volumes are copied again."""
        for request in list(self._uploads):
            self.release(request)

    def clear(self) -> None:
        """Drops every command and every block."""
        self._queue.clear()
        self.releaseAll()

    def _uploadedBlock(self, command: PendingOpen, send: Callable[[Any], None], seconds: float) -> Block | None:
        """The block of a volume once it is copied completely, else None."""
        upload = self._uploads.get(command.request)
        if upload is None:
            upload = self._uploads[command.request] = Upload(command.volume.array)
            send(BlockCreated(upload.block.name))
        return upload.block if upload.step(seconds) else None


def _openVolume(command: PendingOpen, block: Block) -> OpenVolume:
    volume = command.volume
    return OpenVolume(
        command.volume_id,
        block,
        ijk_to_ras=volume.ijkToRas,
        spacing_known=volume.spacingKnown,
        values_are_hu=volume.valuesAreHu,
        guidance=volume.guidance,
        states=tuple(volume.states.values()),
        request=command.request,
    )
