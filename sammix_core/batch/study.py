"""One study of a batch: where it is, what it is called, and how to tell that it has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sammix_core.files import sha256_of
from sammix_core.volume_io.uid_hash import uid_hash

_KEY_DIGITS = 16
# Files that only describe a volume; the voxels are beside them, in a file of the same stem.
_HEADER_SUFFIXES = (".mhd", ".nhdr")
_SEPARATOR = "\0"  # in no file name


@dataclass(frozen=True)
class Study:
    """A volume to segment.

    Attributes:
        key: Identifies it in every run: a hash of its path, or of its series for DICOM.
        name: What its outputs are called, unless another study has that name.
        other_name: What they are called then.
        source: The path as it was given, of a DICOM study the input that it was found in.
        folder: An absolute path; `files` are relative to it.
        stamp: Changes with the size or time of any of its files.
        series_uid: Series Instance UID; "" for what is no DICOM.
        phase: Which phase of the series, see `sammix_core.volume_io.dicom_series.Series`.
        is_dicom: Whether it is DICOM, whose paths and file names are often a patient's and are never shown.
        fault: Why it cannot be segmented, where that is known already; else "".
        address: Where a DICOMweb service has it, "dicomweb://host/path/studies/UID/series/UID"; "" for what is on disk.
        ca_file: Certificates that are trusted for that service, see `DicomwebService`.
        identifiers: Of a DICOM study, by their DICOM keywords; empty unless the user keeps them.
    """

    key: str
    name: str
    other_name: str
    source: str
    folder: Path
    stamp: str = ""
    series_uid: str = ""
    phase: str = ""
    is_dicom: bool = False
    fault: str = ""
    address: str = ""
    ca_file: Path | None = None
    identifiers: dict[str, str] = field(default_factory=dict)
    # One text: a million names as objects of their own would take ten times the memory.
    joined_files: str = ""

    @property
    def label(self) -> str:
        """What people read: the path as it was given, or the name for DICOM."""
        return self.name if self.is_dicom else self.source

    @property
    def files(self) -> list[Path]:
        """Its files, absolute."""
        return [self.folder / name for name in self.joined_files.split(_SEPARATOR)] if self.joined_files else []


def join_files(paths: Iterable[Path], folder: Path) -> str:
    """The files of a study for `Study.joined_files`, relative to its folder."""
    return _SEPARATOR.join(os.path.relpath(path, folder) for path in paths)


def key_of_path(path: Path) -> str:
    """The key of the study in a file or folder, wherever the user stands.

    >>> key_of_path(Path("ct.nii.gz")) == key_of_path(Path.cwd() / "ct.nii.gz")
    True
    """
    return _key(os.path.abspath(path))


def key_of_series(uid: str, phase: str = "") -> str:
    """The key of a DICOM series, or of a phase of it: the hash by which the series appears elsewhere too.

    >>> key_of_series("1.2.840.1")
    'f9a13599155b7052'
    """
    return uid_hash(f"{uid}/{phase}" if phase else uid)


def stamp_of(paths: Iterable[Path]) -> str:
    """A hash of the names, sizes and times of files, which takes no reading.

    Raises:
        OSError: A file is gone.
    """
    digest = hashlib.sha256()
    for path in paths:
        status = path.stat()
        digest.update(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[: 2 * _KEY_DIGITS]


def content_hash(paths: Iterable[Path]) -> str:
    """SHA-256 of what is in the files, whatever their names and order.

    Raises:
        OSError: A file cannot be read.
    """
    sums = sorted(sha256_of(path) for path in paths)
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def files_of_volume(path: Path) -> list[Path]:
    """The files that a volume is in: one, or a header and what lies beside it under the same stem.

    Args:
        path: A NIfTI, NRRD or MetaImage file.
    """
    if path.suffix.lower() not in _HEADER_SUFFIXES:
        return [path]
    beside = (other for other in path.parent.glob("*") if other.name.partition(".")[0] == path.name.partition(".")[0])
    return [path, *sorted(other for other in beside if other != path and other.is_file())]


def _key(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:_KEY_DIGITS]
