"""CTs without masks that a run learns from, too, and which of their slices a person says show the structure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sammix_core.datasets.case_folder import CT_ENDING, LABEL_INFIX, stem_of
from sammix_core.datasets.cases import CaseConfig, load_case
from sammix_core.datasets.labels import CaseLabels
from sammix_core.errors import InputError
from sammix_core.files import atomic_path
from sammix_core.volume.volume import Volume
from sammix_core.volume_io.reading import VOLUME_SUFFIXES, read_volume

Range = tuple[int, int]  # first and last slice, both included
# The colon of a drive letter is followed by no digits alone, so "C:\ct.nii.gz:12-48" has one reading.
_WITH_RANGE = re.compile(r"(?P<path>.+):(?P<first>[0-9]{1,6})-(?P<last>[0-9]{1,6})")
_NO_RANGE = re.compile(r".+:[\d\s.,–-]*")
_SEGMENTATION = ".seg.nrrd"
_STORED = "ct-*.npz"


@dataclass(frozen=True)
class UnlabelledCt:
    """Where a CT without masks is, and what is said of it.

    Attributes:
        path: A file or a DICOM folder; or a folder of either, see `found`.
        shows: First and last slice that show the structure, along the CT's own slice axis from 0; all others are free
            of it. None where nobody has said.
        labels: A label file that says which slices show the structure, or None.

    Example:
        >>> UnlabelledCt.parse("ct.nii.gz:12-48").shows
        (12, 48)
        >>> UnlabelledCt.parse("ct.nii.gz:48-12")
        Traceback (most recent call last):
            ...
        sammix_core.errors.InputError: ct.nii.gz:48-12 has its slices upside down; write the lower one first, as 12-48.
    """

    path: Path
    shows: Range | None = None
    labels: Path | None = None

    @classmethod
    def parse(cls, text: str) -> UnlabelledCt:
        """Reads "PATH" or "PATH:FIRST-LAST".

        Raises:
            InputError: There is no path, what follows it is no range of slices, or the range ends before it begins.
        """
        if not text.strip():
            raise InputError("A CT without labels has an empty name; name a CT, or a folder of CTs.")
        match = _WITH_RANGE.fullmatch(text)
        if match is None or Path(text).exists():
            if _NO_RANGE.fullmatch(text) and not Path(text).exists():
                raise InputError(
                    f"{text} has no range of slices at its end; write PATH:FIRST-LAST, as ct.nii.gz:12-48."
                )
            return cls(Path(text))
        first, last = int(match["first"]), int(match["last"])
        if last < first:
            raise InputError(f"{text} has its slices upside down; write the lower one first, as {last}-{first}.")
        return cls(Path(match["path"]), (first, last))

    def __str__(self) -> str:
        """As `parse` reads it."""
        return str(self.path) if self.shows is None else f"{self.path}:{self.shows[0]}-{self.shows[1]}"

    def absolute(self) -> UnlabelledCt:
        """The same with an absolute path."""
        return replace(self, path=self.path.expanduser().resolve())

    def found(self) -> list[UnlabelledCt]:
        """The CT at the path, or all CTs of the folder there.

        Of a folder with volume files these are the CTs; of one with subfolders alone each subfolder is one; a folder
        with other files alone is a DICOM series. Files of labels (`NAME_label…`) are not CTs, but a label file
        `NAME_label….json` beside `NAME_ct…` says which slices show the structure, unless a range is given.

        Raises:
            InputError: There is nothing or it cannot be read, a CT has several label files, or one range of slices is
                given for several CTs.
        """
        path = self.path.expanduser()
        if not path.exists():
            raise InputError(f"{path} does not exist; name a CT, or a folder of CTs.")
        try:
            cts = [self] if path.is_file() else _in_folder(self, path)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
        if not cts:
            raise InputError(f"There is no CT in {path}; name a CT, or a folder of CTs.")
        if self.shows is not None and len(cts) > 1:
            raise InputError(
                f"{path} holds {len(cts)} CTs, and one range of slices cannot be right for all; name each CT."
            )
        return cts


@dataclass(frozen=True, eq=False)
class OpenedCt:
    """A CT without masks as it was read; slices are counted in canonical order.

    Attributes:
        name: For messages.
        volume: The CT.
        present: Slices known to show the structure, ascending.
        absent: Slices known to be free of it, ascending.
    """

    name: str
    volume: Volume = field(repr=False)
    present: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()

    @classmethod
    def of_range(cls, name: str, volume: Volume, shows: Range | None, target: str) -> OpenedCt:
        """Takes a person's word for which slices show the structure.

        Args:
            name: For messages.
            volume: The CT.
            shows: See `UnlabelledCt`.
            target: The structure, for messages.

        Raises:
            InputError: The volume lacks a slice of the range.
        """
        if shows is None:
            return cls(name, volume)
        order, shape = volume.axial_order, volume.shape_kji
        count = len(order.forward(volume.array))
        if shows[1] >= count:
            raise InputError(
                f"The CT {name} has the slices 0 to {count - 1}, so it cannot show the {target} on slice {shows[1]}."
            )
        present = {order.canonical_slice(index, shape) for index in range(shows[0], shows[1] + 1)}
        return cls(name, volume, tuple(sorted(present)), tuple(k for k in range(count) if k not in present))


def read_cts(cts: Sequence[UnlabelledCt], target: str, values_are_hu: bool) -> Iterator[OpenedCt]:
    """Reads CTs, one after the other.

    Args:
        cts: Where they are; folders stand for what is in them.
        target: The structure.
        values_are_hu: Whether someone who knows says that they are in Hounsfield units, so that it is not checked.

    Raises:
        InputError: A CT cannot be used, lacks a slice of its range, or has a label file of another structure.
    """
    for ct in (one for entry in cts for one in entry.found()):
        name = ct.path.name
        if ct.labels is None:
            volume = read_volume(ct.path, values_are_hu=values_are_hu)
            yield OpenedCt.of_range(name, volume, ct.shows, target)
            continue
        of = CaseLabels.read(ct.labels).target
        if of.casefold() != target.casefold():
            raise InputError(f"The label file {ct.labels.name} says which slices show the {of}, not the {target}.")
        case = load_case(CaseConfig(name, ct.path, ct.labels, values_are_hu=values_are_hu))
        yield OpenedCt(name, case.volume, tuple(sorted({*case.present, *case.masks})), case.absent)


def store_ct(folder: Path, volume: Volume, shows: Range | None) -> None:
    """Writes a volume that is in no file for the process of a run; the file does not name the patient.

    Args:
        folder: Of the run's CTs; it is made if it is absent.
        volume: The CT.
        shows: See `UnlabelledCt`.

    Raises:
        InputError: The volume lacks a slice of the range, or the file cannot be written.
    """
    number = 1 + len(list(folder.glob(_STORED)))
    name = f"number {number}"
    OpenedCt.of_range(name, volume, shows, "structure")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {(error.strerror or str(error)).lower()}.") from error
    with atomic_path(folder / _STORED.replace("*", f"{number:03d}")) as unfinished, unfinished.open("wb") as stream:
        np.savez(
            stream,
            hu=volume.array,
            spacing=volume.spacing,
            origin=volume.origin,
            direction=volume.direction,
            spacing_known=volume.spacing_known,
            shows=[] if shows is None else shows,
        )


def stored_cts(folder: Path, target: str) -> Iterator[OpenedCt]:
    """Reads what `store_ct` wrote; nothing where the folder is absent.

    Args:
        folder: Of the run's CTs.
        target: The structure.

    Raises:
        InputError: A file is damaged.
    """
    for number, path in enumerate(sorted(folder.glob(_STORED)), 1):
        try:
            with np.load(path, allow_pickle=False) as arrays:
                i, j, k = (float(value) for value in arrays["spacing"])
                x, y, z = (float(value) for value in arrays["origin"])
                volume = Volume(arrays["hu"], (i, j, k), (x, y, z), arrays["direction"], bool(arrays["spacing_known"]))
                shows = tuple(int(index) for index in arrays["shows"])
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(f"The CT without labels {path} is damaged; begin the run again.") from error
        yield OpenedCt.of_range(f"number {number}", volume, (shows[0], shows[1]) if shows else None, target)


def _in_folder(ct: UnlabelledCt, folder: Path) -> list[UnlabelledCt]:
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    files = [entry for entry in entries if entry.is_file()]
    volumes = [entry for entry in files if _is_volume(entry)]
    if volumes:
        folders = [entry for entry in entries if entry.is_dir() and entry.name.endswith(CT_ENDING)]
        cts = [entry for entry in (*volumes, *folders) if LABEL_INFIX not in entry.name]
    elif any(entry.suffix.lower() not in (".json", ".csv", ".txt") for entry in files):
        return [ct]
    else:
        cts = [entry for entry in entries if entry.is_dir()]
    return [replace(ct, path=entry, labels=_label_file(entry) if ct.shows is None else None) for entry in cts]


def _is_volume(file: Path) -> bool:
    name = file.name.lower()
    return name.endswith(VOLUME_SUFFIXES) and not name.endswith(_SEGMENTATION)


def _label_file(ct: Path) -> Path | None:
    """The label file beside a CT, or None."""
    name = (stem_of(ct) or ct.name).removesuffix(CT_ENDING)
    found = [path for path in ct.parent.glob("*.json") if path.name.startswith(name + LABEL_INFIX)]
    if len(found) > 1:
        raise InputError(f"The CT {ct.name} has {len(found)} label files beside it; leave one there.")
    return found[0] if found else None
