"""What connects the module and the computing process: signals, framing, sockets, shared memory, the queue."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import pytest
from SAMMixSlicerLib.signals import Signal
from SAMMixSlicerLib.worker import commands as c
from SAMMixSlicerLib.worker import events as e
from SAMMixSlicerLib.worker.channel import Channel
from SAMMixSlicerLib.worker.child.server import next_quick
from SAMMixSlicerLib.worker.framing import Decoder, encode
from SAMMixSlicerLib.worker.shared_array import AttachedArray, Upload, remove_name

from sammix_core.boxes import Box
from sammix_core.errors import InputError

SHARED = Path("/dev/shm")
needs_shared_folder = pytest.mark.skipif(not SHARED.is_dir(), reason="the system does not show shared memory as files")


# Signals


def test_slots_are_called_once_in_order_and_no_more_after_disconnecting() -> None:
    signal, heard = Signal(), []
    second = lambda value: heard.append(("second", value))  # noqa: E731
    signal.connect(heard.append)
    signal.connect(second)
    signal.connect(heard.append)
    signal.emit(1)
    signal.disconnect(second)
    signal.disconnect(second)
    signal.emit(2)
    signal.disconnect()
    signal.emit(3)
    assert heard == [1, ("second", 1), 2]


def test_a_slot_that_raises_does_not_silence_the_others() -> None:
    signal, heard = Signal(), []

    def bad(_: int) -> None:
        raise RuntimeError("bad slot")

    signal.connect(bad)
    signal.connect(heard.append)
    with pytest.raises(RuntimeError, match="bad slot"):
        signal.emit(1)
    assert heard == [1]


def test_a_slot_may_disconnect_while_it_is_called() -> None:
    signal, heard = Signal(), []

    def once(value: int) -> None:
        heard.append(value)
        signal.disconnect(once)

    signal.connect(once)
    signal.connect(heard.append)
    signal.emit(1)
    signal.emit(2)
    assert heard == [1, 1, 2]


# Bytes and the line


def test_messages_are_reassembled_from_chunks_of_any_size() -> None:
    messages = [e.CancelAcknowledged(1), {"large": np.arange(1000)}, "last"]
    stream = b"".join(encode(message) for message in messages)
    for size in (1, 7, 1000, len(stream)):
        decoder = Decoder()
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        found = [message for piece in pieces for message in decoder.feed(piece)]
        assert found[0] == messages[0]
        np.testing.assert_array_equal(found[1]["large"], np.arange(1000))
        assert found[2] == "last"


@pytest.fixture
def line() -> Iterator[tuple[Channel, socket.socket]]:
    """The module's end and a plain socket at the other."""
    server = socket.create_server(("127.0.0.1", 0))
    other = socket.create_connection(server.getsockname())
    channel = Channel(server.accept()[0])
    yield channel, other
    channel.close()
    other.close()
    server.close()


@pytest.mark.alone
def test_sending_does_not_block_if_the_other_end_does_not_read(line: tuple[Channel, socket.socket]) -> None:
    channel, other = line
    message = np.random.default_rng(0).bytes(30_000_000)
    started = time.perf_counter()
    channel.send(message)
    channel.send("after it")
    assert time.perf_counter() - started < 1.0
    decoder, found = Decoder(), []
    while len(found) < 2:
        found += decoder.feed(other.recv(1_000_000))
        channel.flush()
    assert found == [message, "after it"]


def test_messages_that_arrived_before_the_end_are_returned(line: tuple[Channel, socket.socket]) -> None:
    channel, other = line
    assert channel.receive(0.01) == []
    other.sendall(encode("last words"))
    other.close()
    received = []
    while not channel.isClosed:
        received += channel.receive(0.01)
    assert received == ["last words"]
    assert channel.receive(0.01) == []
    channel.send("nobody hears")


# Shared memory


def own_blocks() -> set[str]:
    return {name for name in os.listdir(SHARED) if name.startswith(f"sammix_{os.getpid()}_")}


def in_steps(array: np.ndarray, seconds: float = 10.0) -> Upload:
    upload = Upload(array)
    while not upload.step(seconds):
        pass
    return upload


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32", "float64", ">i2"])
def test_an_array_arrives_unchanged_at_the_other_end(dtype: str) -> None:
    array = np.random.default_rng(1).integers(0, 100, (5, 7, 9)).astype(dtype).transpose(2, 0, 1)[:, ::-1]
    upload = in_steps(array)
    attached = AttachedArray(upload.block)
    upload.discard()
    np.testing.assert_array_equal(attached.array, array)
    assert attached.array.dtype.isnative
    with pytest.raises(ValueError, match="read-only"):
        attached.array[0] = 1
    attached.close()


@needs_shared_folder
def test_a_block_has_no_name_once_the_process_has_attached() -> None:
    upload = in_steps(np.ones((3, 4, 5), np.int16))
    assert own_blocks() == {upload.block.name.lstrip("/")}
    attached = AttachedArray(upload.block)
    upload.discard()
    assert own_blocks() == set()
    assert attached.array.all()
    attached.close()
    remove_name(upload.block.name)  # no error where it is gone


@needs_shared_folder
def test_the_name_left_by_a_module_that_died_can_be_removed() -> None:
    upload = in_steps(np.ones((3, 4, 5), np.int16))
    remove_name(upload.block.name)
    assert own_blocks() == set()
    upload.discard()


def test_a_large_volume_is_copied_in_chunks() -> None:
    array = np.ones((64, 512, 512), np.int16)
    upload = Upload(array)
    steps = 1
    while not upload.step(0.0005):
        steps += 1
    assert steps >= 4
    upload.discard()


def test_shared_memory_starts_no_resource_tracker() -> None:
    """It would be started with `sys.executable`, which is a launcher in Slicer."""
    tracker = resource_tracker._resource_tracker  # type: ignore[attr-defined]
    before = tracker._pid
    upload = in_steps(np.ones((3, 4, 5), np.int16))
    AttachedArray(upload.block).close()
    upload.discard()
    assert tracker._pid == before
    assert resource_tracker.register == tracker.register, "other users of the tracker lost it"


@needs_shared_folder
def test_too_little_shared_memory_is_reported_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    upload = Upload(np.ones((3, 4, 5), np.int16))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match="too little shared memory for this volume \\(no space left on device\\)"):
        upload.step(1.0)
    upload.discard()
    assert own_blocks() == set()


# The queue


RUN = c.Run("a", request=1)
EDIT_A = c.SegmentSlice("a", Box(0, 1, 1, 5, 5), request=2)
EDIT_B = c.SegmentSlice("b", Box(0, 1, 1, 5, 5), request=3)
SLOW_B = c.SegmentSlices("b", (1, 2), request=4)
MODEL = c.LoadModel("liver", "cpu", request=5)
BLOCK = c.Block("x", (1, 1, 1), "<i2")


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        ([], None),
        ([EDIT_A], EDIT_A),
        ([SLOW_B, EDIT_A], EDIT_A),
        ([SLOW_B, EDIT_B], None),  # the order on one volume is kept
        ([SLOW_B, EDIT_B, EDIT_A], EDIT_A),
        ([MODEL, EDIT_A], None),  # another model concerns all
        ([c.CloseVolume("a")], None),  # the run stands on it
        ([c.CloseVolume("a"), EDIT_A], None),
        ([c.CloseVolume("b")], c.CloseVolume("b")),
        ([c.OpenVolume("a", BLOCK, np.eye(4), True)], None),
        ([c.ResetSlices("a", (3,))], c.ResetSlices("a", (3,))),
        ([c.ResetSlices("a", (3, 4))], None),
        ([c.Run("b")], None),
    ],
)
def test_edits_of_single_slices_interrupt_a_run(waiting: list[c.Command], expected: c.Command | None) -> None:
    assert next_quick(waiting, "a") == expected
