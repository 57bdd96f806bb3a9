"""From what the user names (files, folders, lists) to the studies in it."""

from __future__ import annotations

import csv
import fnmatch
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sammix_core.batch.study import (
    Study,
    files_of_volume,
    join_files,
    key_of_path,
    key_of_series,
    stamp_of,
)
from sammix_core.errors import InputError
from sammix_core.files import files_under
from sammix_core.pacs.address import DicomwebAddress, address_of
from sammix_core.volume_io.reading import VOLUME_SUFFIXES

if TYPE_CHECKING:
    from sammix_core.volume_io.dicom_headers import Frame
    from sammix_core.volume_io.dicom_series import Series

_PATH, _NAME, _SERIES = "path", "name", "series"
_COLUMNS = (_PATH, _NAME, _SERIES)
_LONGEST_NAME = 100
# What `--keep-identifiers` keeps of a DICOM study, besides the folder
_IDENTIFIERS = (
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "StudyDate",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
)


@dataclass(frozen=True)
class FindOptions:
    """How inputs are searched.

    Attributes:
        out: The batch's own folder, which is passed over.
        pattern: Which NIfTI, NRRD and MetaImage files of a folder are meant, such as "*_ct.nii.gz".
        keep_identifiers: Whether `Study.identifiers` is filled.
        query: What a DICOMweb service is searched for: values by keyword of the study.
        most_studies: A search that finds more is refused.
        ca_file: Certificates that are trusted for DICOMweb, see `DicomwebService`.
    """

    out: Path
    pattern: str = "*"
    keep_identifiers: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    most_studies: int = 50
    ca_file: Path | None = None


class StudyFinder:
    """Collects the studies of several inputs; the same one named twice counts once.

    Args:
        options: How inputs are searched.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a_ct.nii.gz", "b_ct.nii.gz", "b_label.nii.gz", "notes.txt"):
        ...     (folder / name).touch()
        >>> finder = StudyFinder(FindOptions(out=folder / "out", pattern="*_ct.nii.gz"))
        >>> finder.add(str(folder))
        >>> [study.name for study in finder.studies]
        ['a_ct', 'b_ct']
    """

    def __init__(self, options: FindOptions) -> None:
        self._options = options
        self._out = os.path.abspath(options.out)
        self._studies: dict[str, Study] = {}
        self._left_out: Counter[str] = Counter()

    @property
    def studies(self) -> list[Study]:
        """The studies so far, in the order of the inputs."""
        return list(self._studies.values())

    @property
    def notes(self) -> list[str]:
        """What was found and is not segmented, in sentences."""
        if not self._left_out:
            return []
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._left_out.most_common())
        return [f"DICOM series that are no plain CT were left out: {kinds}."]

    def add(self, given: str) -> None:
        """Adds what one input holds.

        Args:
            given: A volume, a DICOM file, a folder, a list that ends with ".csv", or a DICOMweb address.

        Raises:
            InputError: It does not exist, is of no use, or holds no study; or the service cannot be searched.
        """
        address = address_of(given)
        if address is not None:
            self._add_from_service(address, given)
            return
        path = Path(given).expanduser()
        try:
            if given.lower().endswith(".csv"):
                self._add_list(path)
            else:
                found = self._add_path(path, given)
                if not found:
                    raise InputError(_nothing_in(path, given, self._options.pattern))
        except OSError as error:
            raise InputError(f"{given} cannot be read: {(error.strerror or str(error)).lower()}.") from error

    def _add_path(self, path: Path, given: str, name: str = "", series: str = "") -> int:
        """Adds a file or a folder, and returns how many studies it holds, known or not to be segmented ones too."""
        if not path.exists():
            raise InputError(f"{given} does not exist.")
        if path.is_dir():
            return self._add_folder(path, given, name, series)
        if not path.is_file():
            raise InputError(f"{given} is neither a file nor a folder.")
        if path.name.lower().endswith(VOLUME_SUFFIXES):
            if series:
                raise InputError(f"{given} is no DICOM, so there is no series to choose.")
            self._add_volume(path, given, name)
            return 1
        from sammix_core.volume_io.dicom import is_dicom

        if not is_dicom(path):
            raise InputError(f"{given} is no CT volume that can be read.")
        return self._add_dicom_file(path, given, name, series)

    def _add_volume(self, path: Path, given: str, name: str = "") -> None:
        files = files_of_volume(path)
        stem = name or path.name[: -len(_volume_suffix(path))]
        self._keep(
            Study(
                key=key_of_path(path),
                name=safe_name(stem),
                other_name=safe_name(f"{path.absolute().parent.name}-{stem}"),
                source=_text(given),
                folder=path.parent.absolute(),
                stamp=stamp_of(files),
                joined_files=join_files(files, path.parent),
            )
        )

    def _add_folder(self, folder: Path, given: str, name: str, series: str) -> int:
        found = 0
        # Each subfolder by itself: the headers of all its images are in memory at once.
        for _, files in itertools.groupby(
            self._files_under(folder), lambda path: path.relative_to(folder).parts[:-1][:1]
        ):
            rest = []
            for path in files:
                if path.name.lower().endswith(VOLUME_SUFFIXES):
                    # A choice of series is one among DICOM.
                    if not series and fnmatch.fnmatch(path.name, self._options.pattern):
                        self._add_volume(path, os.path.join(given, path.relative_to(folder)), name)
                        found += 1
                else:
                    rest.append(path)
            found += self._add_dicom(rest, given, name, series)
        return found

    def _files_under(self, folder: Path) -> Iterator[Path]:
        for path in files_under(folder):
            if os.path.commonpath([self._out, os.path.abspath(path)]) != self._out:
                yield path

    def _add_dicom_file(self, path: Path, given: str, name: str, series: str) -> int:
        from sammix_core.volume_io.dicom_headers import frames_of, is_directory
        from sammix_core.volume_io.quiet import quiet_libraries

        with quiet_libraries():
            if is_directory(path):
                return self._add_folder(path.parent, given, name, series)
            frames = frames_of(path)
        if not frames:
            raise InputError(f"{given} is a DICOM file without an image.")
        uid = frames[0].series_uid
        beside = list(files_under(path.parent, deep=False)) if uid else [path]
        return self._add_dicom(beside, given, name, series, None if series else uid)

    def _add_dicom(self, paths: Iterable[Path], given: str, name: str, series: str, uid: str | None = None) -> int:
        """Adds the plain CT series in DICOM files; other files are passed over.

        Args:
            paths: Files of any kind.
            given: The input that they belong to.
            name: What outputs are called; "" for a hash.
            series: The series that is meant; "" for all.
            uid: The only series that counts, or None for all.
        """
        from sammix_core.volume_io.dicom_headers import frames_of, is_dicom
        from sammix_core.volume_io.dicom_series import group
        from sammix_core.volume_io.quiet import quiet_libraries

        frames: list[Frame] = []
        damaged: Counter[Path] = Counter()
        with quiet_libraries():
            for path in paths:
                if path.name.upper() == "DICOMDIR" or not is_dicom(path):
                    continue
                try:
                    frames += [frame for frame in frames_of(path) if uid in (None, frame.series_uid)]
                except InputError:
                    damaged[path.parent] += 1
        for folder, count in damaged.items():
            self._keep(_damaged(folder, count, given, self._options.keep_identifiers))
        # Without a UID the folder says what belongs together.
        unnamed = sorted({frame.path.parent for frame in frames if not frame.series_uid})
        groups = [[frame for frame in frames if frame.series_uid]]
        groups += [
            [frame for frame in frames if not frame.series_uid and frame.path.parent == part] for part in unnamed
        ]
        found = 0
        for part in groups:
            every = group(part)
            if series and every:
                every = [_chosen(every, series, given)]
            for candidate in every:
                found += 1
                if candidate.is_plain or series:
                    self._keep(self._dicom_study(candidate, given, name))
                else:
                    self._left_out[_kind(candidate)] += 1
        return found + len(damaged)

    def _dicom_study(self, series: Series, given: str, name: str) -> Study:
        files = sorted({frame.path.absolute() for frame in series.frames})
        folder = Path(os.path.commonpath([path.parent for path in files]))
        key = key_of_series(series.uid, series.phase) if series.uid else key_of_path(files[0].parent)
        identifiers = {}
        if self._options.keep_identifiers:
            identifiers = {"Folder": _text(str(folder)), **_identifiers(files[0])}
        return Study(
            key=key,
            name=safe_name(name) if name else f"dicom-{key}",
            other_name=f"{safe_name(name)}-{key}" if name else f"dicom-{key}",
            source=_text(given),
            folder=folder,
            stamp=stamp_of(files),
            series_uid=series.uid,
            phase=series.phase,
            is_dicom=True,
            identifiers=identifiers,
            joined_files=join_files(files, folder),
        )

    def _add_from_service(self, address: DicomwebAddress, given: str) -> None:
        """Adds the plain CT series that a DICOMweb service finds; the header of one image of each says what it is."""
        from sammix_core.pacs.find import find_series
        from sammix_core.pacs.service import DicomwebService
        from sammix_core.volume_io.dicom_headers import frame_of_header
        from sammix_core.volume_io.dicom_series import Series

        service = DicomwebService(address, self._options.ca_file)
        found, more = find_series(service, self._options.query, "CT", self._options.most_studies)
        if more:
            raise InputError(
                f"{given} has more than {self._options.most_studies} studies that fit; narrow the search, or raise "
                "--limit."
            )
        for entry in found:
            study, uid = entry.address.study or "", entry.address.series or ""
            instances = service.instances(study, uid)
            if not instances:
                continue
            middle = instances[len(instances) // 2]
            header = service.header(study, uid, middle)
            if "Rows" not in header or "Columns" not in header:
                self._left_out["without an image"] += 1
                continue
            series = Series((frame_of_header(Path(middle), header),) * len(instances))
            if not series.is_plain:
                self._left_out[_kind(series)] += 1
                continue
            identifiers = {}
            if self._options.keep_identifiers:
                identifiers = {"Patient": entry.patient, "StudyDate": entry.date, "Address": str(entry.address)}
            key = key_of_series(uid)
            self._keep(
                Study(
                    key=key,
                    name=f"dicom-{key}",
                    other_name=f"dicom-{key}",
                    source=_text(given),
                    folder=Path(),
                    stamp=key_of_series("\n".join(instances)),
                    series_uid=uid,
                    is_dicom=True,
                    address=str(entry.address),
                    ca_file=self._options.ca_file,
                    identifiers=identifiers,
                )
            )
        if not found:
            raise InputError(f"{given} has no CT series that fits the search.")

    def _add_list(self, path: Path) -> None:
        rows = 0
        for number, row in _rows(path):
            rows += 1
            given = row[_PATH]
            place = path.parent / Path(given).expanduser()
            try:
                if not self._add_path(place, given, row.get(_NAME, ""), row.get(_SERIES, "")):
                    raise InputError(_nothing_in(place, given, self._options.pattern))
            except (InputError, OSError) as error:
                # One wrong row among thousands stops nothing; it fails by itself.
                reason = str(error) if isinstance(error, InputError) else f"It cannot be read: {error.strerror}."
                name = safe_name(row.get(_NAME, "") or Path(given).name)
                key = key_of_path(place)
                self._keep(
                    Study(
                        key=key,
                        name=name,
                        other_name=f"{name}-{key}",
                        source=_text(given),
                        folder=place.absolute().parent,
                        fault=f"{path.name}, line {number}: {reason}",
                    )
                )
        if not rows:
            raise InputError(f"{path} lists no study.")

    def _keep(self, study: Study) -> None:
        known = self._studies.get(study.key)
        if known is None:
            self._studies[study.key] = study
        elif (
            study.is_dicom
            and not (study.fault or study.address or known.address)
            and set(study.files) - set(known.files)
        ):
            # A series that lies in several folders
            files = sorted({*known.files, *study.files})
            folder = Path(os.path.commonpath([path.parent for path in files]))
            joined = join_files(files, folder)
            self._studies[study.key] = replace(known, folder=folder, stamp=stamp_of(files), joined_files=joined)


def safe_name(text: str) -> str:
    """A text as a file name that every system takes: letters, digits, and what is harmless between them.

    >>> safe_name("CT 12/final: v2")
    'CT_12_final_v2'
    """
    kept = "".join(sign if sign.isalnum() or sign in "._-+^@" else "_" for sign in _text(text))
    while "__" in kept:
        kept = kept.replace("__", "_")
    return kept.strip("._-")[:_LONGEST_NAME] or "study"


def _text(text: str) -> str:
    """A text without what is no UTF-8, which neither a database nor a report can hold."""
    return os.fsencode(text).decode("utf-8", errors="replace")


def _volume_suffix(path: Path) -> str:
    name = path.name.lower()
    return max((suffix for suffix in VOLUME_SUFFIXES if name.endswith(suffix)), key=len)


def _kind(series: Series) -> str:
    if series.modality != "CT":
        return f"of modality {series.modality or 'unknown'}"
    if series.is_localiser:
        return "localisers"
    if series.is_colour:
        return "in colour"
    return "computed maps or virtual images"


def _chosen(every: list[Series], wanted: str, given: str) -> Series:
    """The series that a list names; the sentence has none of the descriptions in their headers."""
    from sammix_core.volume_io.dicom_series import choose

    try:
        return choose(every, wanted, given)
    except InputError:
        raise InputError(f'{given} holds no single plain CT series "{wanted}"; sammix segment lists them.') from None


def _damaged(folder: Path, count: int, given: str, keep_identifiers: bool) -> Study:
    key = key_of_path(folder / "damaged")
    files = "a file has a damaged DICOM header" if count == 1 else f"{count} files have damaged DICOM headers"
    return Study(
        key=key,
        name=f"dicom-{key}",
        other_name=f"dicom-{key}",
        source=_text(given),
        folder=folder.absolute(),
        is_dicom=True,
        fault=f"In one folder of the input {files}; --keep-identifiers says in which.",
        identifiers={"Folder": _text(str(folder.absolute()))} if keep_identifiers else {},
    )


def _identifiers(path: Path) -> dict[str, str]:
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=list(_IDENTIFIERS))
    return {keyword: str(header.get(keyword) or "") for keyword in _IDENTIFIERS}


def _nothing_in(path: Path, given: str, pattern: str) -> str:
    if path.is_dir() and pattern != "*":
        return f'The folder {given} holds no CT volume that fits "{pattern}", and no DICOM image.'
    return f"The folder {given} holds no CT volume and no DICOM image."


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a list with their line numbers, checked for the columns that it must and may have."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    lines = text.splitlines()
    head = lines[0] if lines else ""
    # Spreadsheets of some countries write semicolons.
    reader = csv.DictReader(lines, delimiter=";" if ";" in head and "," not in head else ",", skipinitialspace=True)
    columns = [(name or "").strip().lower() for name in reader.fieldnames or ()]
    if _PATH not in columns:
        raise InputError(f'{path} needs a column "{_PATH}" in its first line; "{_NAME}" and "{_SERIES}" are optional.')
    if unknown := sorted(set(columns) - set(_COLUMNS)):
        raise InputError(f'{path} has the unknown column "{unknown[0]}"; known are {", ".join(_COLUMNS)}.')
    reader.fieldnames = columns
    for row in reader:
        values = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
        if None in row:
            raise InputError(f"{path}, line {reader.line_num}: there are more values than columns.")
        if values[_PATH]:
            yield reader.line_num, values
        elif any(values.values()):
            raise InputError(f"{path}, line {reader.line_num}: there is no path.")
