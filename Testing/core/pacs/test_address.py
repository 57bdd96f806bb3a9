"""What is accepted as the address of a DICOMweb service, and what is refused without a word of a password."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest

from sammix_core.errors import InputError
from sammix_core.pacs.address import DicomwebAddress, address_of

UID = "1.2.840.113619.2.55.3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dicomweb://pacs.example.org/dicom-web", ("https://pacs.example.org/dicom-web", None, None)),
        ("https://pacs.example.org/", ("https://pacs.example.org", None, None)),
        ("dicomweb://pacs:8443/a/b/studies/1.2/", ("https://pacs:8443/a/b", "1.2", None)),
        (f"dicomweb://pacs/rs/studies/{UID}/series/{UID}.1", ("https://pacs/rs", UID, f"{UID}.1")),
        ("dicomweb://pacs/rs/studies", ("https://pacs/rs", None, None)),
        ("http://127.0.0.1:8042/dicom-web/studies/1.2", ("http://127.0.0.1:8042/dicom-web", "1.2", None)),
        ("http://localhost:8042/dicom-web", ("http://localhost:8042/dicom-web", None, None)),
        ("http://[::1]:8042/dicom-web", ("http://[::1]:8042/dicom-web", None, None)),
    ],
)
def test_addresses(text: str, expected: tuple[str, str | None, str | None]) -> None:
    address = DicomwebAddress.parse(text)
    assert (address.service, address.study, address.series) == expected
    assert address.encrypted is expected[0].startswith("https:")
    assert DicomwebAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("http://pacs.example.org/dicom-web", "pacs.example.org would be reached without encryption"),
        ("http://127.0.0.1.example.org/dicom-web", "without encryption"),
        ("http://localhost.example.org/dicom-web", "without encryption"),
        ("dicomweb://pacs/dicom-web?token=hush", r'has no "\?"'),
        ("dicomweb:///studies/1.2", "no address of a DICOMweb service"),
        ("dicomweb://pacs:port/dicom-web", "no address of a DICOMweb service"),
        ("ftp://pacs/dicom-web", "no address of a DICOMweb service"),
        ("dicomweb://pacs/rs/studies/Doe", '"Doe" in the address is no UID'),
        ("dicomweb://pacs/rs/studies/1..2", "no UID"),
        ("dicomweb://pacs/rs/studies/1.2/series/1.2.3/instances/1.2.3.4", "not a single image"),
    ],
)
def test_what_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        DicomwebAddress.parse(text)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["dicomweb://ann:hush@pacs/dicom-web", "http://ann:hush@pacs/rs", "https://hush@pacs", "x://ann:hush@pacs"]
)
def test_a_password_in_an_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError, match="must not carry a user or a password") as caught:
        DicomwebAddress.parse(text)
    assert "hush" not in str(caught.value)


def test_an_address_survives_being_a_path() -> None:
    text = "dicomweb://pacs.example.org/dicom-web/studies/1.2"
    assert str(address_of(Path(text))) == text
    assert str(address_of(PureWindowsPath(text).as_posix())) == text


@pytest.mark.parametrize("path", ["ct.nii.gz", "C:/studies/ct", "a/dicomweb:/b", "http", "dicomweb"])
def test_a_path_is_no_address(path: str) -> None:
    assert address_of(Path(path)) is None
