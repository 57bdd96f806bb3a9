"""The folder of a batch: where its files lie, and its lock. The driver alone writes here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sammix_core.batch.job import MASK, PREVIEW, REPORT
from sammix_core.errors import InputError
from sammix_core.files import atomic_path, check_writable, remove_unfinished
from sammix_core.finetuning.process_lock import ProcessLock

_NETWORK_DRIVES = ("nfs", "cifs", "smb", "sshfs", "afs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "9p")


@dataclass(frozen=True)
class BatchFolder:
    """The folder of a batch.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.path / "ledger.sqlite"

    @property
    def csv(self) -> Path:
        """The table for programs."""
        return self.path / "table.csv"

    @property
    def html(self) -> Path:
        """The table for people."""
        return self.path / "table.html"

    @property
    def scratch(self) -> Path:
        """Where workers on this computer put temporary files."""
        return self.path / ".scratch"

    def network_drive(self) -> str | None:
        """The kind of network drive that the folder is on, "nfs4"; None for a local disk."""
        import psutil

        here = self.path.resolve()
        mounts = [part for part in psutil.disk_partitions(all=True) if here.is_relative_to(part.mountpoint)]
        kind = max(mounts, key=lambda part: len(part.mountpoint)).fstype.lower() if mounts else ""
        return kind if kind.removeprefix("fuse.").startswith(_NETWORK_DRIVES) else None

    def relative(self, kind: str, name: str, mask_suffix: str = ".nii.gz") -> str:
        """Where an output lies in the folder, with "/" between the parts on every system.

        Args:
            kind: `MASK`, `REPORT` or `PREVIEW`.
            name: The study's.
            mask_suffix: The mask's format.

        Example:
            >>> BatchFolder(Path("out")).relative(MASK, "ct_12")
            'masks/ct_12.nii.gz'
        """
        suffix = {MASK: mask_suffix, REPORT: ".json", PREVIEW: ".jpg"}[kind]
        return f"{kind}s/{name}{suffix}"

    def write(self, files: dict[str, bytes], name: str, mask_suffix: str) -> None:
        """Writes the outputs of a study, each whole or not at all.

        Args:
            files: Their content by `MASK`, `REPORT` and `PREVIEW`.
            name: The study's.
            mask_suffix: The mask's format.

        Raises:
            InputError: One cannot be written; the disk may be full.
        """
        for kind, content in files.items():
            with atomic_path(self.path / self.relative(kind, name, mask_suffix)) as temporary:
                temporary.write_bytes(content)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the folder this process's own in the block, and clears what a killed one left.

        Raises:
            InputError: Another process works in it, or it cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {self.path} cannot be made: {(error.strerror or '').lower()}.") from error
        check_writable(self.ledger)
        lock = ProcessLock(self.path / ".lock")
        if not lock.take():
            raise InputError(f"Another sammix batch is at work in {self.path}; wait for it, or choose another folder.")
        try:
            self._prepare()
            yield
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)
            lock.release()

    def _prepare(self) -> None:
        """Makes the folders, and removes what a killed process left in them."""
        folders = [self.path / f"{kind}s" for kind in (MASK, REPORT, PREVIEW)]
        try:
            shutil.rmtree(self.scratch, ignore_errors=True)
            for folder in (*folders, self.scratch):
                folder.mkdir(exist_ok=True)
            for folder in (self.path, *folders):
                remove_unfinished(folder)
        except OSError as error:
            raise InputError(f"The folder {self.path} cannot be used: {(error.strerror or '').lower()}.") from error
