"""What the driver does around its workers, with one worker in this process."""

from __future__ import annotations

import errno
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from batch_inputs import IDENTIFIERS, NOTHING, Harness, write_ct
from image_files import truncate

from sammix_core.batch.driver import Rules
from sammix_core.batch.folder import BatchFolder
from sammix_core.batch.job import Finished, Hello, Job, Lost, Outcome, Verdict
from sammix_core.batch.ledger import Ledger, State
from sammix_core.batch.pool import PoolFailed, check_hello
from sammix_core.batch.study import Study
from sammix_core.errors import Cancelled, InputError
from sammix_core.finetuning.process_lock import ProcessLock
from sammix_core.progress import Progress
from sammix_core.version import __version__


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for number, name in enumerate(("a", "b", "c")):
        write_ct(tmp_path / "in" / f"{name}.nii.gz", number)
    return tmp_path / "in"


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(BatchFolder(tmp_path / "out"))


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_study_goes_to_another_worker_twice_and_then_fails_alone(harness: Harness, three: Path) -> None:
    harness.script = lambda job: Lost(job, "killed by SIGKILL") if job.name == "b" else None
    summary = harness.run([three])
    assert [job.name for job in harness.pools[0].jobs] == ["a", "b", "c", "b", "b"]
    assert summary.counts == {State.DONE: 2, State.FAILED: 1}
    sentence = "Its worker ended 3 times (killed by SIGKILL); is there enough memory?"
    assert harness.entries()["b"].sentence == sentence
    assert harness.said == [f"{three / 'b.nii.gz'}: {sentence}"]
    # Failed studies stay so until they are to be tried again.
    harness.script = lambda job: None
    assert harness.run([three]).counts == summary.counts
    assert harness.run([three], rules=Rules(retry_failed=True)).counts == {State.DONE: 3}


def test_a_worker_that_takes_too_long_is_ended(harness: Harness, three: Path) -> None:
    harness.script = lambda job: NOTHING if job.name == "b" else None
    summary = harness.run([three], rules=Rules(seconds_per_study=0.6))
    assert [job.name for job in harness.pools[0].ended] == ["b"]
    assert summary.counts == {State.DONE: 2, State.FAILED: 1}
    assert harness.entries()["b"].sentence == "It took longer than 0.01 minutes."


def test_a_study_that_failed_after_it_was_done_is_not_taken_for_done(harness: Harness, three: Path) -> None:
    path = three / "a.nii.gz"
    assert harness.run([path]).segmented == 1
    content = path.read_bytes()
    truncate(path)
    assert harness.run([path]).counts == {State.FAILED: 1}
    assert harness.run([path], rules=Rules(retry_failed=True)).counts == {State.FAILED: 1}
    path.write_bytes(content)
    assert harness.run([path]).segmented == 1


def test_a_worker_without_room_ends_the_run_and_no_study_fails(harness: Harness, three: Path) -> None:
    full = Outcome(Verdict.NO_ROOM, sentence="A worker cannot write its temporary files: no space left on device.")
    harness.script = lambda job: Finished(job, full) if job.name == "b" else None
    with pytest.raises(InputError, match=r"no space left on device. So far 1 of 3 studies are done, and the same"):
        harness.run([three])
    assert [entry.state for entry in harness.entries().values()] == [State.DONE, State.WAITING, State.WAITING]
    harness.script = lambda job: None
    assert harness.run([three]).segmented == 2


def test_a_full_disk_leaves_no_half_file(harness: Harness, three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, count = os.fsync, 0

    def fsync(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == 7:  # of the second study: the worker's mask, the mask, the report
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(InputError, match=r"b\.json could not be written: no space left on device\. So far 1 of 3"):
        harness.run([three])
    monkeypatch.undo()
    assert [entry.state for entry in harness.entries().values()] == [State.DONE, State.WAITING, State.WAITING]
    kept = {"masks/a.nii.gz", "masks/b.nii.gz", "reports/a.json", "previews/a.jpg"}
    assert set(files_in(harness.folder.path)) - kept <= {".lock", "ledger.sqlite", "table.csv", "table.html"}
    assert harness.run([three]).counts == {State.DONE: 3}


def test_ctrl_c_is_booked_and_the_next_run_goes_on(harness: Harness, three: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done == 1:
            os.kill(os.getpid(), signal.SIGINT)

    harness.on_step = interrupt
    with pytest.raises(Cancelled, match="Stopped as asked; 1 of 3 studies are done, and the same command goes on"):
        harness.run([three])
    assert [entry.state for entry in harness.entries().values()] == [State.DONE, State.WAITING, State.WAITING]
    harness.on_step = lambda progress: None
    assert harness.run([three]).segmented == 2


def test_what_a_killed_driver_left_is_cleared_and_done_again(harness: Harness, three: Path) -> None:
    harness.run([three])
    ledger = Ledger(harness.folder.ledger)
    ledger.start(ledger.entries()[1].key)
    ledger.close()
    (harness.folder.path / "masks" / "b.nii.gz").unlink()
    left = [
        harness.folder.path / "masks" / ".0123abcd-b.nii.gz",
        harness.folder.scratch / "sammix-batch-x" / "mask.nii",
    ]
    for path in left:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"half")
    summary = harness.run([three])
    assert (summary.segmented, summary.counts) == (1, {State.DONE: 3})
    assert not any(path.exists() for path in left)


def test_a_second_driver_is_refused(harness: Harness, three: Path) -> None:
    harness.run([three])
    before = files_in(harness.folder.path)
    lock = ProcessLock(harness.folder.path / ".lock")
    assert lock.take()
    with pytest.raises(InputError, match=r"Another sammix batch is at work in .*out; wait for it, or choose another"):
        harness.run([three])
    lock.release()
    assert files_in(harness.folder.path) == before


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be taken for one" * 20, None])
def test_a_ledger_that_cannot_be_used_is_refused(harness: Harness, three: Path, content: bytes | None) -> None:
    harness.run([three])
    if content is None:
        import sqlite3

        database = sqlite3.connect(harness.folder.ledger)
        database.execute("PRAGMA user_version = 99")
        database.close()
    else:
        harness.folder.ledger.write_bytes(content)
    with pytest.raises(InputError, match=r"The ledger .*(later version of SAMMix|cannot be used)|.*later version"):
        harness.run([three])


def test_a_network_drive_is_named(
    harness: Harness, three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = SimpleNamespace(mountpoint="/", fstype="ext4")
    monkeypatch.setattr("psutil.disk_partitions", lambda all: [local])
    assert harness.folder.network_drive() is None
    monkeypatch.setattr(
        "psutil.disk_partitions", lambda all: [SimpleNamespace(mountpoint=str(tmp_path), fstype="nfs4"), local]
    )
    harness.run([three / "a.nii.gz"])
    assert harness.said == [
        f"Warning: {harness.folder.path} is on a network drive (nfs4); the ledger is safe on a local disk alone."
    ]


def test_workers_of_another_version_or_model_are_refused() -> None:
    check_hello(Hello(__version__, "abc"), "abc", "A worker")
    with pytest.raises(PoolFailed, match=r"The computer x has SAMMix 0\.0\.1, this computer .*; install the same"):
        check_hello(Hello("0.0.1", "abc"), "abc", "The computer x")
    with pytest.raises(PoolFailed, match="The computer x has another model of that name than this computer"):
        check_hello(Hello(__version__, "abd"), "abc", "The computer x")
    with pytest.raises(PoolFailed, match=r"^There is no such model\.$"):
        check_hello(Hello(__version__, sentence="There is no such model."), "abc", "A worker")


def test_an_unexpected_error_shows_its_place_and_not_its_message(
    harness: Harness, three: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read(study: Study, name: str, values_are_hu: bool) -> None:
        raise ValueError(f"PatientName is {IDENTIFIERS['PatientName']}")

    monkeypatch.setattr("sammix_core.batch.worker.read_study", read)
    with caplog.at_level("DEBUG"):
        assert harness.run([three / "a.nii.gz"]).counts == {State.FAILED: 1}
    sentence = harness.entries()["a"].sentence
    assert re.fullmatch(r"Unexpected error \(ValueError in batch/test_driver\.py, line \d+\)\.", sentence)
    assert "test_driver.py" in caplog.text
    assert "Zzyzx" not in caplog.text


def test_jobs_that_are_only_checked_know_their_hash(harness: Harness, three: Path) -> None:
    harness.run([three])
    os.utime(three / "a.nii.gz", ns=(1, 1))
    asked: list[Job] = []
    harness.script = lambda job: asked.append(job)
    assert harness.run([three]).segmented == 0
    assert [(job.name, job.known_hash) for job in asked] == [("a", harness.entries()["a"].input_hash)]
