"""Finding, fetching and sending against a real Orthanc, and what happens when it, the disk or the study fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import PATIENT, write_series
from orthanc_server import OrthancServer, log_in, running_orthanc
from synthetic_ct import synthetic_ct

from sammix_core.errors import Cancelled, InputError
from sammix_core.pacs.address import DicomwebAddress
from sammix_core.pacs.fetch import fetch_series
from sammix_core.pacs.find import choose_ct, find_series
from sammix_core.pacs.send import files_to_send, send_files
from sammix_core.pacs.service import DicomwebService
from sammix_core.progress import Progress
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.uid_hash import uid_hash

pytestmark = pytest.mark.slow

STUDY, SERIES = "1.2.3", "1.2.3.4001"
SLICES = 8
CT = synthetic_ct((SLICES, 36, 44))


@pytest.fixture
def orthanc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OrthancServer]:
    log_in(monkeypatch)
    monkeypatch.setattr("sammix_core.pacs.service._PAUSES", (0.05,))
    with running_orthanc(tmp_path / "orthanc") as server:
        yield server


@pytest.fixture
def service(orthanc: OrthancServer) -> DicomwebService:
    return DicomwebService(DicomwebAddress.parse(orthanc.address))


@pytest.fixture
def stored(orthanc: OrthancServer, tmp_path: Path) -> list[Path]:
    """A CT that the PACS holds; its files in the order of the slices."""
    files = write_series(tmp_path / "source", CT, StudyDate="20260102", SeriesDescription="Portal", SeriesNumber=3)
    orthanc.add(*files)
    return files


@pytest.fixture
def series(service: DicomwebService) -> DicomwebAddress:
    return service.address.of_series(STUDY, SERIES)


class At:
    """A progress callback that does something once, after some steps of a stage."""

    def __init__(self, step: int, action: Callable[[], object]) -> None:
        self._step, self._action = step, action

    def __call__(self, progress: Progress) -> None:
        if progress.done == self._step:
            self._step = -1
            self._action()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_fetched_series_is_what_was_stored(
    service: DicomwebService, stored: list[Path], series: DicomwebAddress, tmp_path: Path
) -> None:
    steps: list[Progress] = []
    fetched = fetch_series(service, series, tmp_path / "got", steps.append)
    assert (fetched.images, fetched.kept) == (SLICES, 0)
    assert fetched.folder == tmp_path / "got" / uid_hash(SERIES)
    assert (steps[-1].stage, steps[-1].done, steps[-1].total) == ("Fetching", SLICES, SLICES)
    files = {path.read_bytes() for path in fetched.folder.iterdir()}
    assert files == {path.read_bytes() for path in stored}
    np.testing.assert_array_equal(read_volume(fetched.folder).array, CT)


def test_find_lists_series_and_no_patient(
    orthanc: OrthancServer, service: DicomwebService, stored: list[Path], tmp_path: Path
) -> None:
    orthanc.add(*write_series(tmp_path / "other", CT[:2], uid="1.2.3.5001", Modality="MR", StudyDate="20260102"))
    found, more = find_series(service, {"PatientID": "4711"})
    assert not more
    ct, mr = sorted(found, key=lambda entry: entry.modality)
    assert (ct.modality, ct.date, ct.description, ct.number, ct.images) == ("CT", "2026-01-02", "Portal", "3", SLICES)
    assert (ct.name, str(ct.address)) == (uid_hash(SERIES), f"{orthanc.address}/studies/{STUDY}/series/{SERIES}")
    assert (mr.modality, mr.images, mr.patient) == ("MR", 2, "4711, Doe Jane")
    assert [entry.modality for entry in find_series(service, {}, "MR")[0]] == ["MR"]
    assert find_series(service, {"PatientID": "4712"}) == ([], False)
    assert find_series(service, {"StudyDate": "20260103-"}) == ([], False)


def test_find_says_that_there_are_more_studies(
    orthanc: OrthancServer, service: DicomwebService, stored: list[Path], tmp_path: Path
) -> None:
    orthanc.add(*write_series(tmp_path / "b", CT[:1], uid="1.2.9.1", StudyInstanceUID="1.2.9"))
    found, more = find_series(service, {}, limit=1)
    assert more
    assert len({entry.address.study for entry in found}) == 1


def test_the_ct_of_a_study_is_chosen_as_in_a_folder(
    orthanc: OrthancServer, service: DicomwebService, stored: list[Path], tmp_path: Path
) -> None:
    scout = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    orthanc.add(*write_series(tmp_path / "scout", CT[:2], uid="1.2.3.5001", ImageType=scout, SeriesNumber=1))
    assert choose_ct(service, STUDY, None, False).address.series == SERIES
    orthanc.add(*write_series(tmp_path / "late", CT[:5], uid="1.2.3.6001", SeriesDescription="Late", SeriesNumber=4))
    with pytest.raises(
        InputError, match=r'2 CT series; choose one with --series: .*"Portal".* 8 images.*"Late".* 5 im'
    ):
        choose_ct(service, STUDY, None, False)
    for wanted in ("4", "6001", "1.2.3.6001", "4/acquisition-2"):
        assert choose_ct(service, STUDY, wanted, False).address.series == "1.2.3.6001"
    with pytest.raises(InputError, match='no series "9"'):
        choose_ct(service, STUDY, "9", False)
    with pytest.raises(InputError, match="has no such study"):
        choose_ct(service, "1.2.4", None, False)


def test_a_wrong_login_is_one_sentence(
    orthanc: OrthancServer, stored: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(monkeypatch, password="hush-hush")
    service = DicomwebService(DicomwebAddress.parse(orthanc.address))
    for act in (
        lambda: find_series(service, {"PatientID": "4711"}),
        lambda: fetch_series(service, service.address.of_series(STUDY, SERIES), tmp_path / "got"),
        lambda: send_files(service, files_to_send(stored)),
    ):
        with pytest.raises(InputError, match=r"^localhost:\d+ refused the login; check user and password") as caught:
            act()
        assert caught.value.__suppress_context__, "a traceback would show the address that was asked"
    assert not (tmp_path / "got").exists()


def test_a_killed_server_leaves_whole_images_and_the_same_call_goes_on(
    orthanc: OrthancServer, service: DicomwebService, stored: list[Path], series: DicomwebAddress, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"3 of {SLICES} images of series {uid_hash(SERIES)} are in .*; the same"):
        fetch_series(service, series, tmp_path / "got", At(3, orthanc.stop))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "got").rglob("*.dcm")}
    assert len(kept) == len(files_in(tmp_path / "got")) == 3
    assert {path.read_bytes() for path in kept} < {path.read_bytes() for path in stored}
    orthanc.start()
    fetched = fetch_series(service, series, tmp_path / "got")
    assert (fetched.images, fetched.kept) == (SLICES, 3)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    np.testing.assert_array_equal(read_volume(fetched.folder).array, CT)


def test_a_short_cut_is_passed_over(
    orthanc: OrthancServer, service: DicomwebService, stored: list[Path], series: DicomwebAddress, tmp_path: Path
) -> None:
    def restart() -> None:
        orthanc.stop()
        orthanc.start()

    assert fetch_series(service, series, tmp_path / "got", At(3, restart)).images == SLICES


def test_a_user_who_stops_keeps_what_arrived(
    service: DicomwebService, stored: list[Path], series: DicomwebAddress, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        fetch_series(service, series, tmp_path / "got", cancel=lambda: len(files_in(tmp_path / "got")) == 2)
    assert len(files_in(tmp_path / "got")) == 2


def test_a_series_that_grows_while_it_is_read_is_noticed(
    orthanc: OrthancServer, service: DicomwebService, series: DicomwebAddress, tmp_path: Path
) -> None:
    files = write_series(tmp_path / "source", CT)
    orthanc.add(*files[:-1])
    with pytest.raises(InputError, match="changed on the server while it was read: 1 image was added and 0 removed"):
        fetch_series(service, series, tmp_path / "got", At(2, lambda: orthanc.add(files[-1])))
    assert fetch_series(service, series, tmp_path / "got").images == SLICES


def test_a_series_that_shrinks_while_it_is_read_is_noticed(
    orthanc: OrthancServer, service: DicomwebService, stored: list[Path], series: DicomwebAddress, tmp_path: Path
) -> None:
    first, last = (f"instances/{orthanc.instances()[f'{SERIES}.{k}']}" for k in (1, SLICES))
    with pytest.raises(InputError, match="changed on the server while it was read: an image is no longer there"):
        fetch_series(service, series, tmp_path / "a", At(2, lambda: orthanc.delete(last)))
    with pytest.raises(InputError, match="while it was read: 0 images were added and 1 removed"):
        fetch_series(service, series, tmp_path / "b", At(2, lambda: orthanc.delete(first)))
    # An image that the PACS dropped must not become a slice.
    with pytest.raises(InputError, match="holds files that are not in the series on the server"):
        fetch_series(service, series, tmp_path / "b")


def test_a_full_disk_is_one_sentence_and_leaves_whole_images(
    service: DicomwebService,
    stored: list[Path],
    series: DicomwebAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_as = pydicom.Dataset.save_as
    written: list[Path] = []

    def save_until_full(dataset: pydicom.Dataset, path: Path, **options: object) -> None:
        if len(written) == 2:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        save_as(dataset, path, **options)

    monkeypatch.setattr(pydicom.FileDataset, "save_as", save_until_full)
    with pytest.raises(InputError, match=r"\.dcm could not be written: no space left on device\."):
        fetch_series(service, series, tmp_path / "got")
    left = list((tmp_path / "got" / uid_hash(SERIES)).iterdir())
    assert len(left) == 2
    assert {path.read_bytes() for path in left} < {path.read_bytes() for path in stored}


def test_files_are_sent_once(orthanc: OrthancServer, service: DicomwebService, tmp_path: Path) -> None:
    files = write_series(tmp_path / "source", CT)
    first = send_files(service, files_to_send(files[:2]))
    assert (first.sent, first.there) == (2, 0)
    both = send_files(service, files_to_send([tmp_path / "source"]))
    assert (both.sent, both.there) == (SLICES - 2, 2)
    held = orthanc.instances()
    assert sorted(held) == sorted(f"{SERIES}.{k + 1}" for k in range(SLICES))


def test_a_server_that_is_gone_gets_nothing(orthanc: OrthancServer, service: DicomwebService, tmp_path: Path) -> None:
    files = files_to_send(write_series(tmp_path / "source", CT))
    orthanc.stop()
    with pytest.raises(InputError, match=r"localhost:\d+ cannot be reached; is the server running\?"):
        send_files(service, files)


def test_a_server_killed_in_the_middle_of_sending(
    orthanc: OrthancServer, service: DicomwebService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrived is unknown while it is away; afterwards the same call sends what is missing."""
    monkeypatch.setattr("sammix_core.pacs.send._REQUEST_BYTES", 3 * (CT[0].nbytes + 1000))
    files = files_to_send(write_series(tmp_path / "source", CT, shuffle=False))
    with pytest.raises(InputError, match=r"cannot be reached.*what arrived could not be checked\. The same command"):
        send_files(service, files, At(3, orthanc.stop))
    orthanc.start()
    assert len(orthanc.instances()) == 3
    done = send_files(service, files)
    assert (done.sent, done.there) == (SLICES - 3, 3)


def test_what_the_server_refuses_is_named(
    orthanc: OrthancServer, service: DicomwebService, stored: list[Path], tmp_path: Path
) -> None:
    """Orthanc stores what belongs to the study of the address and refuses the rest."""
    strange = write_series(tmp_path / "strange", CT[:1], uid="1.2.9.1", StudyInstanceUID="1.2.9")
    of_study = DicomwebService(DicomwebAddress.parse(f"{orthanc.address}/studies/{STUDY}"))
    with pytest.raises(InputError, match="IM0000 belongs to another study than the address; nothing was sent"):
        send_files(of_study, files_to_send(strange))
    assert len(orthanc.instances()) == SLICES


def test_what_is_no_dicom_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    files = write_series(tmp_path / "source", CT[:2])
    (tmp_path / "text.dcm").write_text("no image")
    (tmp_path / "empty").mkdir()
    same_uid = tmp_path / "same.dcm"
    header = pydicom.dcmread(files[0])
    header.SeriesDescription = "Another"
    header.save_as(same_uid)
    for path, sentence in (
        (tmp_path / "text.dcm", "is no DICOM file; nothing was sent"),
        (tmp_path / "absent.dcm", "does not exist; nothing was sent"),
        (tmp_path / "empty", "holds no DICOM file; nothing was sent"),
        (same_uid, "have one UID and different content; nothing was sent"),
    ):
        with pytest.raises(InputError, match=sentence) as caught:
            files_to_send([*files, path])
        assert PATIENT not in str(caught.value)
    assert len(files_to_send([*files, tmp_path / "source"])) == 2
