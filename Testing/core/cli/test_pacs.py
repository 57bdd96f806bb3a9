"""From a PACS to a SEG in it, by the commands that a person types, and what they leave behind of the patient."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_files import write_series
from fake_network import a_fake_model
from orthanc_server import OrthancServer, log_in, running_orthanc
from synthetic_ct import synthetic_ct
from typer.testing import CliRunner

from sammix_core import volume_io
from sammix_core.cli import app as cli
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume_io.uid_hash import uid_hash

pytestmark = pytest.mark.slow

SHAPE = (7, 75, 100)
CT = synthetic_ct(SHAPE)
STUDY, SERIES = "1.2.826.0.1.3680043.10.543.7001", "1.2.826.0.1.3680043.10.999.8001"
# Whatever could lead to the patient, each findable in bytes and in text
IDENTIFIERS = {
    "PatientName": "Quimby^Fred",
    "PatientID": "PID-908172",
    "PatientBirthDate": "19510623",
    "AccessionNumber": "ACC-556677",
    "ReferringPhysicianName": "Hibbert^Julius",
    "InstitutionName": "Springfield General",
    "StudyID": "STU-443322",
    "PatientAddress": "742 Evergreen",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A CT with all identifiers; its files in the order of the slices."""
    folder = tmp_path_factory.mktemp("source")
    tags: dict[str, Any] = {**IDENTIFIERS, "StudyInstanceUID": STUDY, "StudyDate": "20260102", "StudyTime": "101500"}
    tags |= {"SeriesDescription": "Abdomen portal", "SeriesNumber": 3, "PatientSex": "M"}
    return write_series(folder, CT, uid=SERIES, **tags)


@pytest.fixture
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network without weights: what is as bright as a liver is liver."""
    monkeypatch.setattr(Segmenter, "load", lambda *_, **__: Segmenter(a_fake_model()))


@pytest.fixture
def orthanc(source: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OrthancServer]:
    """Holds the CT."""
    log_in(monkeypatch)
    monkeypatch.setattr("sammix_core.pacs.service._PAUSES", (0.05,))
    with running_orthanc(tmp_path / "orthanc") as server:
        server.add(*source)
        yield server


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def done(*words: object) -> str:
    """A command that succeeds; all that it printed."""
    code, stdout, stderr = run(*words)
    assert code == 0, stderr
    return stdout + stderr


def addresses(*words: object) -> list[str]:
    return [entry["address"] for entry in json.loads(done("pacs", "find", *words, "--json"))["series"]]


def test_from_a_pacs_to_a_seg_in_it_and_back(
    orthanc: OrthancServer,
    source: list[Path],
    fake_model: None,
    scratch: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The whole way, and nothing that is written on it but the DICOM results knows the patient."""
    temporary: set[str] = set()
    read = volume_io.read_volume

    def watched(path: Path, **options: Any) -> Any:
        temporary.update(str(file.relative_to(scratch)) for file in scratch.rglob("*"))
        return read(path, **options)

    monkeypatch.setattr(volume_io, "read_volume", watched)
    out = tmp_path / "out"
    out.mkdir()
    seg, sr = out / "liver.seg.dcm", out / "report.dcm"

    (address,) = addresses(orthanc.address, "--patient-id", IDENTIFIERS["PatientID"], "--modality", "ct")
    printed = done(
        *("segment", address, "-o", seg, "--sr", sr, "--report", out / "report.json", "--boxes-out", out / "b.json"),
        *("--preview", out / "sheet.png", "--device", "cpu", "--debug"),
    )
    printed += done("pacs", "send", orthanc.address, seg, sr, "--debug")
    assert done("pacs", "send", orthanc.address, seg, "-q") == ""
    assert done("pacs", "send", orthanc.address, seg) == "1 file was there already; nothing was sent\n"
    printed += done("pacs", "fetch", f"{orthanc.address}/studies/{STUDY}", "-o", out / "back", "--debug")

    assert len(orthanc.instances()) == SHAPE[0] + 2
    by_modality = {}
    for file in (out / "back").rglob("*.dcm"):
        by_modality.setdefault(pydicom.dcmread(file, stop_before_pixels=True).Modality, []).append(file)
    assert {modality: len(files) for modality, files in by_modality.items()} == {"CT": SHAPE[0], "SEG": 1, "SR": 1}
    for modality, sent in (("SEG", seg), ("SR", sr)):
        assert by_modality[modality][0].read_bytes() == sent.read_bytes()
    np.testing.assert_array_equal(mask_in(by_modality["SEG"][0], source), mask_in(seg, source))
    assert mask_in(seg, source).sum() > 500

    # Temporary files lay in a folder of their own, under hashes, and are gone.
    assert len(temporary) == 2 + SHAPE[0]
    assert any(name.endswith(f"/{uid_hash(SERIES)}") for name in temporary)
    assert list(scratch.iterdir()) == []
    report = json.loads((out / "report.json").read_text())
    assert report["input"]["name"] == uid_hash(SERIES)
    written = [printed, *temporary, *(str(file.relative_to(tmp_path)) for file in out.rglob("*"))]
    written += [file.read_bytes().decode("latin-1") for file in out.rglob("*") if file.suffix in (".json", ".png")]
    assert len(written) > 12
    for identifier in words_of_identifiers():
        assert not [text for text in written if identifier in text], identifier
        assert identifier in "".join(file.read_bytes().decode("latin-1") for file in source)


def words_of_identifiers() -> list[str]:
    texts = [part for value in IDENTIFIERS.values() for part in value.split("^")]
    return [*texts, STUDY, SERIES]


def mask_in(seg: Path, source: list[Path]) -> np.ndarray:
    """The first segment on the grid of the CT, (k, j, i), by highdicom alone."""
    uids = [str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in source]
    pixels = highdicom.seg.segread(seg).get_pixels_by_source_instance(
        uids, segment_numbers=[1], assert_missing_frames_are_empty=True
    )
    return np.asarray(pixels)[..., 0]


def test_find_shows_no_patient_unless_asked(orthanc: OrthancServer) -> None:
    shown = done("pacs", "find", orthanc.address)
    assert shown.splitlines() == [
        f"{uid_hash(SERIES)}  2026-01-02  CT      {SHAPE[0]} images  Abdomen portal",
        f"    {orthanc.address}/studies/{STUDY}/series/{SERIES}",
    ]
    assert "PID-908172, Quimby Fred" in done("pacs", "find", orthanc.address, "--keep-identifiers")
    assert done("pacs", "find", orthanc.address, "--patient-id", "nobody") == "Nothing was found.\n"


def test_a_patient_id_can_be_typed_past_the_command_line(orthanc: OrthancServer) -> None:
    for number, lines in (("PID-908172\n", 2), ("PID-908173\n", 1)):
        result = CliRunner().invoke(cli.app, ["pacs", "find", orthanc.address, "--patient-id", "-"], input=number)
        assert result.exit_code == 0
        assert len(result.stdout.splitlines()) == lines


def test_a_wrong_login_ends_each_command_with_one_sentence_and_nothing_written(
    orthanc: OrthancServer, source: list[Path], scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(monkeypatch, password="hush-hush")
    address = f"{orthanc.address}/studies/{STUDY}"
    out = tmp_path / "out"
    out.mkdir()
    for words in (
        ("pacs", "find", orthanc.address, "--patient-id", "PID-908172"),
        ("pacs", "fetch", address, "-o", out),
        ("pacs", "send", orthanc.address, *source),
        ("segment", address, "-o", out / "liver.nii.gz", "--quiet"),
    ):
        for debug in ((), ("--debug",)):
            code, stdout, stderr = run(*words, *debug)
            assert (code, stdout) == (2, "")
            assert stderr.splitlines()[-1].endswith("refused the login; check user and password, or the token.")
            assert debug or len(stderr.splitlines()) == 1
            assert not any(text in stderr.replace(address, "") for text in ("hush-hush", "PID-908172", SERIES))
    assert [*out.iterdir(), *scratch.iterdir()] == []


def test_a_series_that_changes_while_segment_fetches_it_gives_no_mask(
    orthanc: OrthancServer, source: list[Path], scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sammix_core.pacs.service import DicomwebService

    instance = orthanc.instances()[f"{SERIES}.1"]
    retrieve = DicomwebService.retrieve

    def dropping(service: DicomwebService, *uids: str) -> Any:
        image = retrieve(service, *uids)
        if uids[-1] == f"{SERIES}.2":
            orthanc.delete(f"instances/{instance}")
        return image

    monkeypatch.setattr(DicomwebService, "retrieve", dropping)
    code, _, stderr = run("segment", f"{orthanc.address}/studies/{STUDY}", "-o", tmp_path / "m.nii.gz", "--quiet")
    assert code == 2
    assert stderr == (
        f"Series {uid_hash(SERIES)} changed on the server while it was read: 0 images were added and 1 removed. Wait "
        "until it is complete there, and run the same command again.\n"
    )
    assert not (tmp_path / "m.nii.gz").exists()
    assert list(scratch.iterdir()) == []


def test_stopping_a_fetch_says_that_images_stay(
    orthanc: OrthancServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    address = f"{orthanc.address}/studies/{STUDY}"
    with monkeypatch.context() as patch:
        patch.setattr("sammix_core.pacs.service.DicomwebService.retrieve", interrupted)
        code, stdout, stderr = run("pacs", "fetch", address, "-o", tmp_path / "got", "--quiet")
    assert (code, stdout) == (130, "")
    assert stderr == "Stopped as asked; the images that arrived stay, and the same command goes on from there.\n"
    done("pacs", "fetch", address, "-o", tmp_path / "got")
    again = done("pacs", "fetch", address, "-o", tmp_path / "got", "--quiet", "--verbose")
    assert again == f"sammix_core.pacs.fetch: series {uid_hash(SERIES)}: 0 to fetch, {SHAPE[0]} on disk\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("segment", "dicomweb://ann:hush@pacs/rs/studies/1.2", "-o", "m.nii.gz"), "must not carry a user"),
        (("segment", "http://pacs.example.org/rs/studies/1.2", "-o", "m.nii.gz"), "without encryption"),
        (("segment", "dicomweb://pacs/rs", "-o", "m.nii.gz", "--model", "liver"), "names no study; add /studies/UID"),
        (("pacs", "fetch", "dicomweb://pacs/rs", "-o", "got"), "names no study; add /studies/UID"),
        (("pacs", "send", "dicomweb://pacs/rs", "absent.dcm"), "absent.dcm does not exist; nothing was sent"),
        (("pacs", "find", "ct.nii.gz"), "ct.nii.gz is no address of a DICOMweb service"),
    ],
)
def test_what_cannot_work_is_refused_before_any_connection(
    words: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(monkeypatch)
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = run(*words)
    assert (code, stdout) == (2, "")
    assert sentence in stderr.splitlines()[-1]
    assert "hush" not in stderr
    assert list(tmp_path.iterdir()) == []
