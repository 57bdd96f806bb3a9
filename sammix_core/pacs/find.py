"""Searching a PACS for studies, and the CT series of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sammix_core.errors import InputError
from sammix_core.pacs.address import DicomwebAddress
from sammix_core.pacs.service import DicomwebService, Entry, value_of
from sammix_core.volume_io.uid_hash import uid_hash

_CT = "CT"


@dataclass(frozen=True)
class FoundSeries:
    """A series as the PACS lists it.

    Attributes:
        address: Where it lies.
        modality: "CT", "SEG", "SR", ...
        date: Study Date as "2026-01-31", "" where absent.
        description: Series Description.
        number: Series Number as text, "" where absent.
        images: How many images it has; 0 where the service does not say.
        patient: Patient ID and name. They go nowhere unless the user asks for them.
    """

    address: DicomwebAddress
    modality: str
    date: str
    description: str
    number: str
    images: int
    patient: str

    @property
    def name(self) -> str:
        """The hash of its UID, as tables, logs and file names have it."""
        return uid_hash(self.address.series or "")


def find_series(
    service: DicomwebService, filters: Mapping[str, str], modality: str | None = None, limit: int = 100
) -> tuple[list[FoundSeries], bool]:
    """Searches for series by attributes of their studies.

    Args:
        service: Where to search; a study or series in its address narrows the search.
        filters: Values by keyword of the study: "PatientID", "AccessionNumber", "StudyDate".
        modality: Of the series: "CT"; None for all.
        limit: At most this many studies.

    Returns:
        The series, study by study in the service's order, and whether there are more studies.

    Raises:
        InputError: The service cannot be searched.
    """
    filters = {keyword: value for keyword, value in filters.items() if value}
    if modality is not None:
        filters["ModalitiesInStudy"] = modality
    if service.address.study is not None:
        filters["StudyInstanceUID"] = service.address.study
    studies = service.studies(filters, limit + 1)
    found: list[FoundSeries] = []
    for study in studies[:limit]:
        found += series_of(service, value_of(study, "StudyInstanceUID"), study)
    wanted = [entry for entry in found if modality in (None, entry.modality)]
    if service.address.series is not None:
        wanted = [entry for entry in wanted if entry.address.series == service.address.series]
    return wanted, len(studies) > limit


def series_of(service: DicomwebService, study: str, study_entry: Entry | None = None) -> list[FoundSeries]:
    """The series of a study, by their numbers.

    Args:
        service: Where the study lies.
        study: Study Instance UID.
        study_entry: What the service said of the study.

    Returns:
        The series; empty where there is no such study.

    Raises:
        InputError: The service cannot be searched.
    """
    found = [_found(service.address, study, entry, study_entry or {}) for entry in service.series(study)]
    return sorted(found, key=lambda entry: (int(entry.number) if entry.number.isdigit() else 0, entry.address.series))


def choose_ct(service: DicomwebService, study: str, wanted: str | None, values_are_hu: bool) -> FoundSeries:
    """Chooses the CT series of a study, by the rules that hold for a folder.

    Where there are several, the header of one image of each says which are localisers or maps.

    Args:
        service: Where the study lies.
        study: Study Instance UID.
        wanted: The series' UID, its end, or its number, maybe with a phase after a slash; None for the only one.
        values_are_hu: Whether someone who knows says that the values of a virtual image are Hounsfield units.

    Returns:
        The series.

    Raises:
        InputError: There is no such study, no CT in it, or no single series that is meant.
    """
    from sammix_core.volume_io.dicom_headers import frame_of_header
    from sammix_core.volume_io.dicom_series import Series, choose

    found = series_of(service, study)
    if not found:
        raise InputError(f"{service.address.service} has no such study; check the address.")
    cts = [entry for entry in found if entry.modality == _CT]
    if not cts:
        held = ", ".join(sorted({entry.modality or "an unknown modality" for entry in found}))
        raise InputError(f"The study holds {held}; SAMMix segments CT only.")
    if len(cts) == 1:
        return cts[0]
    candidates = []
    for entry in cts:
        uid = entry.address.series or ""
        instances = service.instances(study, uid)
        if instances:
            # From the middle: a localiser may be stored with the series that it plans.
            middle = instances[len(instances) // 2]
            header = service.header(study, uid, middle)
            if "Rows" in header and "Columns" in header:  # raw data of the scanner are CT without an image
                candidates.append(Series((frame_of_header(Path(middle), header),) * len(instances)))
    if not candidates:
        raise InputError("The study holds no CT image; SAMMix segments CT only.")
    series_name = None if wanted is None else wanted.partition("/")[0]
    uid = choose(candidates, series_name, "The study", values_are_hu).uid
    return next(entry for entry in cts if entry.address.series == uid)


def _found(address: DicomwebAddress, study: str, entry: Entry, study_entry: Entry) -> FoundSeries:
    def value(keyword: str) -> str:
        return value_of(entry, keyword) or value_of(study_entry, keyword)

    date, images = value("StudyDate"), value("NumberOfSeriesRelatedInstances")
    patient = [value("PatientID"), value("PatientName").replace("^", " ")]
    return FoundSeries(
        address=address.of_series(study, value("SeriesInstanceUID")),
        modality=value("Modality"),
        date=f"{date[:4]}-{date[4:6]}-{date[6:8]}" if len(date) == 8 else date,
        description=value("SeriesDescription"),
        number=value("SeriesNumber"),
        images=int(images) if images.isdigit() else 0,
        patient=", ".join(part for part in patient if part),
    )
