"""A DICOMweb service: queries, retrieval and storage by dicomweb-client, and each failure as one sentence.

No message of `requests` is passed on: they hold addresses with what was searched for, such as a patient ID.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from sammix_core.errors import InputError
from sammix_core.pacs.address import DicomwebAddress
from sammix_core.pacs.login import PASSWORD, TOKEN, USER, Login, find_login, keyring_service

if TYPE_CHECKING:
    from pydicom import Dataset

_T = TypeVar("_T")
_CONNECT_SECONDS, _READ_SECONDS = 10, 120
# Pauses before a query or a retrieval is tried again where the connection was cut or the server is busy.
_PAUSES = (0.5, 2.0)
_BUSY = (429, 503, 504)
# They print addresses and headers of requests, which name patients.
_LOGGERS = ("dicomweb_client", "dicomweb_client.web", "urllib3", "urllib3.connectionpool", "retrying")

Entry = Mapping[str, Mapping[str, Any]]


class NotFound(InputError):
    """The service has no such study, series or image."""


class ServerUnavailable(InputError):
    """The server cannot be reached, is busy, or the connection was cut; it may answer later."""


def value_of(entry: Entry, keyword: str) -> str:
    """The first value of an attribute of an answer in DICOM JSON, as text; "" where it is absent.

    Args:
        entry: One study, series or image of an answer.
        keyword: The attribute: "SeriesInstanceUID".

    Returns:
        The value; of a person's name, its alphabetic form.
    """
    from pydicom.datadict import tag_for_keyword

    values = (entry.get(f"{tag_for_keyword(keyword) or 0:08X}") or {}).get("Value") or [""]
    first = values[0]
    if isinstance(first, Mapping):
        first = first.get("Alphabetic", "")
    return "" if first is None else str(first).strip()


class DicomwebService:
    """The queries, retrievals and storing that SAMMix needs of a DICOMweb service.

    Args:
        address: The service; a study or a series in it is ignored.
        ca_file: Certificates that are trusted instead of those of the system, as PEM, for a hospital's own authority.
        login: The login; by default the one of the environment or the keyring.

    Raises:
        InputError: dicomweb-client is not installed, the certificates cannot be read, or no login can be made.

    Attributes:
        address: The service.
    """

    def __init__(self, address: DicomwebAddress, ca_file: Path | None = None, login: Login | None = None) -> None:
        self.address = address
        self._login = find_login(address) if login is None else login
        try:
            from dicomweb_client.web import DICOMwebClient
        except ImportError:
            raise InputError(
                "DICOMweb needs the package dicomweb-client, which is not installed: pip install 'sammix[pacs]'."
            ) from None
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        session = _session(self._login, ca_file, encrypted=address.encrypted)
        self._client: Any = DICOMwebClient(
            address.service, session=session, permissive_uid=True, timeout=(_CONNECT_SECONDS, _READ_SECONDS)
        )
        # It would send what is left of a half-sent body again.
        self._client.set_http_retry_params(retry=False)

    def studies(self, filters: Mapping[str, str], limit: int) -> list[Entry]:
        """The studies that match.

        Args:
            filters: Values by keyword: {"PatientID": "4711", "StudyDate": "20260101-"}.
            limit: At most this many.

        Returns:
            The service's entries, in its order.

        Raises:
            InputError: The service cannot be searched.
        """
        fields = ["StudyDescription", "ModalitiesInStudy"]
        try:
            found = self._tried(
                lambda: self._client.search_for_studies(limit=limit, search_filters=dict(filters), fields=fields)
            )
        except NotFound:
            raise InputError(f"There is no DICOMweb service at {self.address.service}; check the address.") from None
        return list(found)[:limit]

    def series(self, study: str) -> list[Entry]:
        """The series of a study; empty where there is no such study.

        Raises:
            InputError: The service cannot be searched.
        """
        fields = ["SeriesDescription", "SeriesNumber", "NumberOfSeriesRelatedInstances"]
        return self._all(
            "SeriesInstanceUID", lambda offset: self._client.search_for_series(study, fields=fields, offset=offset)
        )

    def instances(self, study: str, series: str) -> list[str]:
        """The SOP Instance UIDs of a series, sorted; empty where there is no such series.

        Raises:
            InputError: The service cannot be searched.
        """
        entries = self._all(
            "SOPInstanceUID", lambda offset: self._client.search_for_instances(study, series, offset=offset)
        )
        return sorted(value_of(entry, "SOPInstanceUID") for entry in entries)

    def header(self, study: str, series: str, instance: str) -> Dataset:
        """The attributes of an image without its pixels.

        Raises:
            NotFound: There is no such image.
            InputError: It cannot be retrieved.
        """
        from pydicom import Dataset

        document = self._tried(lambda: self._client.retrieve_instance_metadata(study, series, instance))
        with self._sentences():
            return Dataset.from_json(document, bulk_data_uri_handler=lambda *_: None)

    def retrieve(self, study: str, series: str, instance: str) -> Dataset:
        """One image as it is stored, compressed or not.

        Raises:
            NotFound: There is no such image.
            InputError: It cannot be retrieved, or the service sent another one.
        """
        dataset = self._tried(lambda: self._client.retrieve_instance(study, series, instance))
        if str(dataset.get("SOPInstanceUID")) != instance or str(dataset.get("SeriesInstanceUID")) != series:
            raise InputError(
                f"{self.address.host} sent another image than the one that was requested; nothing was kept."
            )
        return dataset

    def store(self, datasets: Sequence[Dataset], study: str) -> Dataset:
        """Sends images of one study in one request.

        Args:
            datasets: Whole DICOM files, as `pydicom.dcmread` returns them.
            study: Their Study Instance UID.

        Returns:
            The service's answer, with Referenced SOP Sequence and Failed SOP Sequence; empty where it says nothing.

        Raises:
            InputError: The service refused them, or the connection was cut: some may have arrived.
        """
        with self._sentences():
            return self._client.store_instances(datasets, study)

    def _all(self, keyword: str, search: Callable[[int | None], Sequence[Entry]]) -> list[Entry]:
        """All pages of an answer; ends where a page holds nothing new, since some services ignore the offset."""
        found: dict[str, Entry] = {}
        while True:
            try:
                entries = self._tried(partial(search, len(found) or None))
            except NotFound:
                entries = []
            new = {value_of(entry, keyword): entry for entry in entries if value_of(entry, keyword) not in found}
            if not new:
                return list(found.values())
            found |= new

    def _tried(self, request: Callable[[], _T]) -> _T:
        """Makes a request that changes nothing, and again after a pause where the connection was cut."""
        for pause in _PAUSES:
            try:
                with self._sentences():
                    return request()
            except ServerUnavailable:
                time.sleep(pause)
        with self._sentences():
            return request()

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turns every failure in the block into one sentence."""
        import requests
        from pydicom.errors import InvalidDicomError

        no_dicomweb = (requests.exceptions.RequestException, InvalidDicomError, struct.error, EOFError)
        try:
            yield
        except InputError:
            raise
        except requests.exceptions.HTTPError as error:
            raise self._refusal(error.response.status_code if error.response is not None else 0) from None
        except requests.exceptions.TooManyRedirects as error:
            raise InputError(self._moved(error)) from None
        except requests.exceptions.SSLError as error:
            raise InputError(self._untrusted(error)) from None
        except requests.exceptions.Timeout:
            raise ServerUnavailable(f"{self.address.host} did not answer in time; try again later.") from None
        except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise ServerUnavailable(self._unreachable(error)) from None
        except (*no_dicomweb, ValueError, TypeError, LookupError, AttributeError):
            raise InputError(
                f"{self.address.service} gave an answer that is not DICOMweb; check the address."
            ) from None

    def _refusal(self, status: int) -> InputError:
        host = self.address.host
        if status in (401, 403):
            if self._login.authorization:
                return InputError(f"{host} refused the login; check user and password, or the token.")
            return InputError(
                f"{host} needs a login: set {USER} and {PASSWORD}, or {TOKEN}, or store the password with "
                f"keyring set {keyring_service(self.address)} USER."
            )
        if status == 404:
            return NotFound(f"{self.address.service} knows no such study, series or image; check the address.")
        if status in _BUSY:
            return ServerUnavailable(f"{host} is busy or being restarted ({status}); try again later.")
        reasons = {
            409: "could not store what was sent",
            413: "takes no files of this size",
            415: "takes no files of this kind",
            507: "has no space left",
        }
        return InputError(f"{host} {reasons.get(status, 'failed with an error of its own')} ({status}).")

    def _moved(self, error: Any) -> str:
        location = urlsplit(error.response.headers.get("Location", "") if error.response is not None else "")
        place = f"{location.netloc}{location.path}" if location.netloc else "another address"
        return f"{self.address.host} sends requests on to {place}; if you trust it, name that address instead."

    def _untrusted(self, error: Exception) -> str:
        text = str(error)
        if "CERTIFICATE_VERIFY_FAILED" not in text and "certificate" not in text.lower():
            return f"{self.address.host} does not answer by TLS; check the port."
        why = "has expired" if "expired" in text else "is not trusted"
        if "Hostname mismatch" in text or "doesn't match" in text or "not valid for" in text:
            return f"The certificate of {self.address.host} is for another host; check the address."
        return (
            f"The certificate of {self.address.host} {why}; if your hospital has its own authority, name its "
            "certificate with --ca-file."
        )

    def _unreachable(self, error: Exception) -> str:
        text = repr(error)
        host = self.address.host
        if "NameResolutionError" in text or "getaddrinfo" in text:
            return f"There is no host {host} on this network; check the address."
        if "NewConnectionError" in text or "refused" in text:
            return f"{host} cannot be reached; is the server running?"
        return f"The connection to {host} was cut."


def _session(login: Login, ca_file: Path | None, *, encrypted: bool) -> Any:
    """A session of `requests` that always verifies TLS, follows no redirect, and notices a cut answer."""
    import requests

    class _Session(requests.Session):
        def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
            # Otherwise REQUESTS_CA_BUNDLE would outweigh --ca-file.
            return super().merge_environment_settings(
                url, proxies, stream, self.verify if verify is None else verify, cert
            )

    session = _Session()
    session.auth = login
    session.max_redirects = 0  # a redirect may lead the login or a patient's images elsewhere
    session.hooks["response"].append(_check_whole)
    # What goes to this machine must not pass a proxy in the clear.
    session.trust_env = encrypted
    if ca_file is not None:
        session.verify = str(_checked_certificates(ca_file))
    return session


def _checked_certificates(ca_file: Path) -> Path:
    import ssl

    path = ca_file.expanduser()
    try:
        ssl.create_default_context(cafile=str(path))
    except OSError as error:  # ssl.SSLError is one, too
        reason = (
            "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else (error.strerror or "").lower()
        )
        raise InputError(f"--ca-file {ca_file} cannot be used: {reason}.") from None
    return path


def _check_whole(response: Any, **_: object) -> None:
    """Raises for a multipart answer without its end, which dicomweb-client takes for a whole one."""
    import requests

    kind = response.headers.get("Content-Type", "").lower()
    if kind.startswith("multipart/") and "boundary=" in kind and not response.content.rstrip().endswith(b"--"):
        raise requests.exceptions.ConnectionError("the answer ended too early")
