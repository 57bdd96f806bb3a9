"""Addresses of DICOMweb services and of the studies in them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from sammix_core.errors import InputError

_SCHEMES = {"dicomweb": "https", "https": "https", "http": "http"}
_STUDY = re.compile(r"^(?P<root>.*?)(/studies(/(?P<study>[^/]+)(/series(/(?P<series>[^/]+))?)?)?)?/*$")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_CHARACTERS = 64
_FORM = "dicomweb://host[:port]/path/studies/UID[/series/UID]"


@dataclass(frozen=True)
class DicomwebAddress:
    """A DICOMweb service, or a study or a series in it.

    Attributes:
        service: Where the service answers: "https://pacs.example.org/dicom-web", without a slash at the end.
        study: Study Instance UID, or None for the whole service.
        series: Series Instance UID, or None for the whole study.
    """

    service: str
    study: str | None = None
    series: str | None = None

    @classmethod
    def parse(cls, text: str) -> DicomwebAddress:
        """Reads an address as a person types it.

        `dicomweb://` and `https://` mean the same: HTTP over TLS. `http://` is accepted for this machine alone, since
        logins and images would cross a network in the clear.

        Args:
            text: Such as "dicomweb://pacs.example.org/dicom-web/studies/1.2.3".

        Returns:
            The address.

        Raises:
            InputError: It is no such address, carries a login, or would not be encrypted.

        Example:
            >>> DicomwebAddress.parse("dicomweb://pacs.example.org:8443/dicom-web/studies/1.2.3/series/1.2.3.4")
            DicomwebAddress(service='https://pacs.example.org:8443/dicom-web', study='1.2.3', series='1.2.3.4')
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise InputError(f"This is no address of a DICOMweb service; write it as {_FORM}.") from None
        # Checked first, and never repeated: no password may reach a terminal or a log.
        if "@" in parts.netloc:
            raise InputError(
                "An address must not carry a user or a password; set SAMMIX_PACS_USER and SAMMIX_PACS_PASSWORD, or "
                "store the password in the keyring."
            )
        if parts.query or parts.fragment:
            raise InputError(f'A DICOMweb address has no "?" or "#"; write it as {_FORM}.')
        if parts.scheme not in _SCHEMES or not host:
            raise InputError(f"{text} is no address of a DICOMweb service; write it as {_FORM}.")
        scheme = _SCHEMES[parts.scheme]
        if scheme == "http" and not _is_loopback(host):
            raise InputError(
                f"{host} would be reached without encryption; http:// is for this machine alone, use dicomweb://."
            )
        found = _STUDY.match(parts.path)
        if found is None:
            raise InputError(f"{text} is no address of a DICOMweb service; write it as {_FORM}.")
        for uid in (found["study"], found["series"]):
            if uid is not None and not is_uid(uid):
                raise InputError(f'"{uid}" in the address is no UID; write it as {_FORM}.')
        if "/instances" in parts.path or "/studies/" in found["root"] or "/series" in found["root"]:
            raise InputError(f"Name a study or a series, not a single image: {_FORM}.")
        name = f"[{host}]" if ":" in host else host
        netloc = name if port is None else f"{name}:{port}"
        return cls(f"{scheme}://{netloc}{found['root'].rstrip('/')}", found["study"], found["series"])

    @property
    def host(self) -> str:
        """Host and port, for sentences and for the keyring: "pacs.example.org:8443"."""
        return urlsplit(self.service).netloc

    @property
    def encrypted(self) -> bool:
        """Whether the service is reached by TLS."""
        return self.service.startswith("https://")

    def of_series(self, study: str, series: str) -> DicomwebAddress:
        """The address of a series in the same service."""
        return replace(self, study=study, series=series)

    def __str__(self) -> str:
        text = self.service.replace("https://", "dicomweb://", 1)
        for level, uid in (("studies", self.study), ("series", self.series)):
            if uid is not None:
                text += f"/{level}/{uid}"
        return text


def is_uid(text: str) -> bool:
    """Whether a text is a DICOM UID: numbers with dots between them, 64 characters at most."""
    return len(text) <= _UID_CHARACTERS and _UID.fullmatch(text) is not None


def address_of(path: Path | str) -> DicomwebAddress | None:
    """The address that was typed where a path could stand.

    Args:
        path: What was typed; a `Path` may have lost one of the two slashes of "dicomweb://".

    Returns:
        The address; None where it is a path.

    Raises:
        InputError: It is meant as an address and is none that can be used.

    Example:
        >>> print(address_of(Path("dicomweb://pacs.example.org/dicom-web/studies/1.2.3")))
        dicomweb://pacs.example.org/dicom-web/studies/1.2.3
        >>> address_of(Path("ct.nii.gz")) is None
        True
    """
    text = path if isinstance(path, str) else path.as_posix()
    scheme, colon, rest = text.partition(":/")
    if not colon or scheme.lower() not in _SCHEMES:
        return None
    return DicomwebAddress.parse(f"{scheme}://{rest.lstrip('/')}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
