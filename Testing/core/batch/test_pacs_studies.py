"""A batch over what a real Orthanc holds, with masks as DICOM SEG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from batch_inputs import IDENTIFIERS, SETTINGS, UID, Harness
from dicom_files import write_series
from orthanc_server import OrthancServer, log_in, running_orthanc
from synthetic_ct import synthetic_ct

from sammix_core.batch.discovery import FindOptions, StudyFinder
from sammix_core.batch.folder import BatchFolder
from sammix_core.batch.ledger import State
from sammix_core.batch.study import key_of_series
from sammix_core.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    """Two CTs, of which one is two years older, a localiser, and an MR."""
    folder = tmp_path_factory.mktemp("pacs")
    array = synthetic_ct((5, 36, 44))
    with pytest.MonkeyPatch.context() as patch, running_orthanc(folder / "orthanc") as server:
        log_in(patch)
        for number, tags in enumerate(
            (
                {},
                {"StudyDate": "20170827", "StudyInstanceUID": UID.format(98)},
                {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
                {"Modality": "MR"},
            ),
            start=1,
        ):
            server.add(*write_series(folder / str(number), array, uid=UID.format(number), **{**IDENTIFIERS, **tags}))
        yield server


def find(address: str, **options: object) -> StudyFinder:
    finder = StudyFinder(FindOptions(Path("out"), **options))  # type: ignore[arg-type]
    finder.add(address)
    return finder


def test_a_search_finds_the_plain_cts_that_fit(orthanc: OrthancServer) -> None:
    finder = find(orthanc.address)
    assert {study.series_uid for study in finder.studies} == {UID.format(1), UID.format(2)}
    assert finder.notes == ["DICOM series that are no plain CT were left out: 1 localisers."]
    assert [study.series_uid for study in find(orthanc.address, query={"StudyDate": "20180101-"}).studies] == [
        UID.format(1)
    ]
    with pytest.raises(InputError, match="has more than 1 studies that fit; narrow the search, or raise --limit"):
        find(orthanc.address, most_studies=1)
    with pytest.raises(InputError, match="has no CT series that fits the search"):
        find(orthanc.address, query={"PatientID": "nobody"})


def test_studies_are_fetched_segmented_and_deleted(orthanc: OrthancServer, tmp_path: Path) -> None:
    harness = Harness(BatchFolder(tmp_path / "out"))
    settings = replace(SETTINGS, mask_suffix=".dcm")
    assert harness.run([orthanc.address], settings).counts == {State.DONE: 2}
    name = f"dicom-{key_of_series(UID.format(1))}"
    seg = pydicom.dcmread(tmp_path / "out" / "masks" / f"{name}.dcm")
    assert (seg.Modality, seg.PatientID) == ("SEG", IDENTIFIERS["PatientID"])
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == UID.format(1)
    kept = {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert kept == {"", ".sqlite", ".dcm", ".json", ".jpg", ".csv", ".html"}
    assert b"Zzyzx" not in harness.folder.ledger.read_bytes() + harness.folder.html.read_bytes()

    # Nothing is fetched twice, and a series that gained an image is.
    assert harness.run([orthanc.address], settings).segmented == 0
    more = write_series(tmp_path / "more", synthetic_ct((6, 36, 44)), uid=UID.format(1), **IDENTIFIERS)
    orthanc.add(more[5])
    assert harness.run([orthanc.address], settings).segmented == 1
    assert harness.entries()[name].figures.slices == 6
