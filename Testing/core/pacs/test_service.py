"""What goes wrong between here and a PACS: TLS, redirects, cut and strange answers, each one sentence."""

from __future__ import annotations

import datetime
import logging
import sys
from dataclasses import replace
from pathlib import Path

import certifi
import pydicom
import pytest
from dicom_files import write_series
from dicomweb_stub import Answer, answering
from synthetic_ct import synthetic_ct

from sammix_core.errors import InputError
from sammix_core.pacs.address import DicomwebAddress
from sammix_core.pacs.find import find_series
from sammix_core.pacs.login import Login
from sammix_core.pacs.send import files_to_send, send_files
from sammix_core.pacs.service import DicomwebService, NotFound, ServerUnavailable, value_of

NO_LOGIN = Login()
JSON = {"Content-Type": "application/dicom+json"}
BOUNDARY = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sammix_core.pacs.service._PAUSES", (0.01,))


@pytest.fixture
def part(tmp_path: Path) -> bytes:
    """An image as one part of a multipart answer, without the end of the answer."""
    file = write_series(tmp_path / "part", synthetic_ct((1, 36, 44)))[0]
    return b"--x\r\nContent-Type: application/dicom\r\n\r\n" + file.read_bytes()


def asked(answer: Answer) -> object:
    """Asks for one image and gets this answer."""
    with answering(lambda *_: answer) as address:
        return DicomwebService(address, login=NO_LOGIN).retrieve("1.2.3", "1.2.3.4001", "1.2.3.4001.1")


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        (Answer(401), InputError, r"localhost:\d+ needs a login: set SAMMIX_PACS_USER and SAMMIX_PACS_PASSWORD"),
        (Answer(404), NotFound, "knows no such study, series or image"),
        (Answer(406), InputError, r"failed with an error of its own \(406\)"),
        (Answer(503), ServerUnavailable, r"is busy or being restarted \(503\)"),
        (Answer(507), InputError, r"has no space left \(507\)"),
        (Answer(200, {"Content-Type": "application/json"}, b"[]"), InputError, "gave an answer that is not DICOMweb"),
        (Answer(200, {"Content-Type": "text/html"}, b"<html>"), InputError, "gave an answer that is not DICOMweb"),
        (Answer(200, BOUNDARY, b"--x\r\n\r\nnonsense\r\n--x--"), InputError, "gave an answer that is not DICOMweb"),
        (Answer(200, {**BOUNDARY, "Content-Length": "9999"}, b"--x\r\n"), ServerUnavailable, "was cut"),
        (
            Answer(302, {"Location": "https://elsewhere.example.org/rs?key=hush"}),
            InputError,
            r"sends requests on to elsewhere\.example\.org/rs; if you trust it, name that address instead",
        ),
    ],
)
def test_a_strange_answer_is_one_sentence(answer: Answer, kind: type[InputError], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        asked(answer)
    assert type(caught.value) is kind
    assert "1.2.3.4001" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_an_answer_without_its_end_is_no_image(part: bytes) -> None:
    """Neither length nor end marker: dicomweb-client and pydicom would take what came for the whole image."""
    whole = asked(Answer(200, BOUNDARY, part + b"\r\n--x--"))
    assert isinstance(whole, pydicom.Dataset)
    assert len(whole.PixelData) == 2 * 36 * 44
    for length in (len(part) - 500, len(part)):
        with pytest.raises(ServerUnavailable, match="was cut"):
            asked(Answer(200, BOUNDARY, part[:length]))


def test_another_image_than_the_requested_one_is_refused(part: bytes) -> None:
    with (
        answering(lambda *_: Answer(200, BOUNDARY, part + b"\r\n--x--")) as address,
        pytest.raises(InputError, match="sent another image than the one that was requested"),
    ):
        DicomwebService(address, login=NO_LOGIN).retrieve("1.2.3", "1.2.3.4001", "1.2.3.4001.2")


def test_a_busy_server_gets_a_second_try() -> None:
    answers = iter([Answer(503), Answer(200, JSON, b'[{"0020000E": {"vr": "UI", "Value": ["1.2.3.4"]}}]')])
    with answering(lambda *_: next(answers, Answer(200, JSON, b"[]"))) as address:
        (entry,) = DicomwebService(address, login=NO_LOGIN).series("1.2.3")
    assert value_of(entry, "SeriesInstanceUID") == "1.2.3.4"


def test_pages_are_put_together_and_a_server_that_ignores_the_offset_ends() -> None:
    def uid(k: int) -> str:
        return f'{{"00080018": {{"vr": "UI", "Value": ["1.2.{k}"]}}}}'

    def pages(_: str, path: str) -> Answer:
        first = int(path.partition("offset=")[2] or 0)
        return Answer(200, JSON, f"[{','.join(uid(k) for k in range(first, min(first + 2, 5)))}]".encode())

    with answering(pages) as address:
        assert DicomwebService(address, login=NO_LOGIN).instances("1.2", "1.3") == [f"1.2.{k}" for k in range(5)]
    with answering(lambda *_: Answer(200, JSON, f"[{uid(1)},{uid(2)}]".encode())) as address:
        assert DicomwebService(address, login=NO_LOGIN).instances("1.2", "1.3") == ["1.2.1", "1.2.2"]


def test_a_cut_while_sending_says_what_arrived_and_sends_the_body_once(tmp_path: Path) -> None:
    """The body goes in chunks; a second try inside dicomweb-client would send what is left of it as a whole one."""
    files = files_to_send(write_series(tmp_path / "ct", synthetic_ct((2, 700, 700))))
    posts: list[str] = []

    def cut(method: str, _: str) -> Answer:
        if method == "POST":
            posts.append(method)
            return Answer(cut=True)
        arrived = b'[{"00080018": {"vr": "UI", "Value": ["1.2.3.4001.2"]}}]' if posts else b"[]"
        return Answer(200, JSON, arrived)

    with answering(cut) as address, pytest.raises(InputError) as caught:
        send_files(DicomwebService(address, login=NO_LOGIN), files)
    name = next(file.path.name for file in files if file.instance == "1.2.3.4001.2")
    assert str(caught.value) == (
        f"The connection to {address.host} was cut; of 2 files these arrived: {name}. The same command sends what is "
        "missing."
    )
    assert posts == ["POST"]


@pytest.mark.parametrize(
    ("code", "reason"), [(0xA700, "the server has no space left"), (0x0122, "takes no files of this kind"), (7, "0007")]
)
def test_the_reason_for_a_refused_file_is_in_the_sentence(tmp_path: Path, code: int, reason: str) -> None:
    files = files_to_send(write_series(tmp_path / "ct", synthetic_ct((1, 36, 44))))
    failed = f'{{"00081198": {{"vr": "SQ", "Value": [{{"00081197": {{"vr": "US", "Value": [{code}]}}}}]}}}}'

    def refuse(method: str, _: str) -> Answer:
        return Answer(202, JSON, failed.encode() if method == "POST" else b"[]")

    with (
        answering(refuse) as address,
        pytest.raises(InputError, match=f"1 of the files were not stored: .*{reason}; nothing arrived"),
    ):
        send_files(DicomwebService(address, login=NO_LOGIN), files)


def test_no_log_names_what_was_searched_for(caplog: pytest.LogCaptureFixture) -> None:
    with answering(lambda *_: Answer(200, JSON, b"[]")) as address, caplog.at_level(logging.DEBUG):
        service = DicomwebService(address, login=Login("Bearer hush"))
        assert find_series(service, {"PatientID": "4711"}) == ([], False)
    assert "4711" not in caplog.text
    assert "hush" not in caplog.text


def test_without_dicomweb_client_a_sentence_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dicomweb_client.web", None)
    with pytest.raises(InputError, match=r"pip install 'sammix\[pacs\]'"):
        DicomwebService(DicomwebAddress("https://pacs"), login=NO_LOGIN)


def test_certificates_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    for file, reason in (("text.pem", "no certificate in PEM form"), ("absent.pem", "no such file")):
        with pytest.raises(InputError, match=f"--ca-file .*{file} cannot be used: .*{reason}"):
            DicomwebService(DicomwebAddress("https://pacs"), tmp_path / file, NO_LOGIN)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of localhost, which no authority knows."""
    x509 = pytest.importorskip(
        "cryptography.x509", reason="cryptography, which makes the certificate, is not installed"
    )
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "A hospital")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(pem + made.public_bytes(encoding))
    return path


def test_tls_is_verified(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def searched(address: DicomwebAddress, ca_file: Path | None) -> object:
        return find_series(DicomwebService(address, ca_file, Login("Bearer hush")), {})

    received: list[str] = []

    def empty(_: str, path: str) -> Answer:
        received.append(path)
        return Answer(200, JSON, b"[]")

    with answering(empty, certificate) as address:
        assert address.encrypted
        with pytest.raises(
            InputError, match=r"certificate of localhost:\d+ is not trusted; .* name its certificate wi"
        ):
            searched(address, None)
        by_number = replace(address, service=address.service.replace("localhost", "127.0.0.1"))
        with pytest.raises(InputError, match=r"The certificate of 127\.0\.0\.1:\d+ is for another host"):
            searched(by_number, certificate)
        assert received == []
        assert searched(address, certificate) == ([], False)
        # A variable of requests, which is set on many machines, must not outweigh the option.
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
        assert searched(address, certificate) == ([], False)
        assert len(received) == 2


def test_a_server_without_tls_gets_no_login() -> None:
    received: list[str] = []
    with answering(lambda method, _: Answer(200, JSON, received.append(method) or b"[]")) as address:
        encrypted = replace(address, service=address.service.replace("http:", "https:"))
        with pytest.raises(InputError, match=r"localhost:\d+ does not answer by TLS; check the port"):
            find_series(DicomwebService(encrypted, login=Login("Bearer hush")), {})
    assert received == []


def test_a_proxy_is_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with answering(lambda *_: Answer(200, JSON, b"[]")) as address:
        assert find_series(DicomwebService(address, login=NO_LOGIN), {}) == ([], False)
