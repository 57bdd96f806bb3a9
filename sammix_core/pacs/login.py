"""The login to a DICOMweb service: from the environment or the keyring, never from the command line."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from typing import Any

from sammix_core.errors import InputError
from sammix_core.pacs.address import DicomwebAddress

TOKEN, USER, PASSWORD = "SAMMIX_PACS_TOKEN", "SAMMIX_PACS_USER", "SAMMIX_PACS_PASSWORD"
# Under this user of the keyring lies a bearer token instead of a password.
TOKEN_USER = "token"


@dataclass(frozen=True)
class Login:
    """Puts the login into each request; an authentication of `requests`.

    Attributes:
        authorization: The value of the header Authorization, hidden from `repr`; "" for no login.
    """

    authorization: str = field(default="", repr=False)

    def __call__(self, request: Any) -> Any:
        """Called by `requests` for each `PreparedRequest`."""
        # dicomweb-client sets the host without its port; without this header http.client sets both.
        request.headers.pop("Host", None)
        if self.authorization:
            request.headers["Authorization"] = self.authorization
        return request


def find_login(address: DicomwebAddress) -> Login:
    """Finds the login to a service: SAMMIX_PACS_TOKEN, SAMMIX_PACS_USER and SAMMIX_PACS_PASSWORD, or the keyring.

    The keyring's entry has the service `sammix:host[:port]`. Its user is that of SAMMIX_PACS_USER, or whichever the
    keyring names; of the user "token", the secret is a bearer token.

    Args:
        address: The service.

    Returns:
        The login, an empty one where none is stored.

    Raises:
        InputError: A token or password cannot be sent, or the keyring is locked.
    """
    token, user, password = (os.environ.get(name, "").strip() for name in (TOKEN, USER, PASSWORD))
    if token:
        return _bearer(token, TOKEN)
    if password and not user:
        raise InputError(f"{PASSWORD} is set without {USER}; set both.")
    if password:
        return _basic(user, password)
    stored = _in_keyring(keyring_service(address), user)
    if stored is None:
        if user:
            raise InputError(
                f"{USER} is set, but there is no password: set {PASSWORD}, or store it with "
                f"keyring set {keyring_service(address)} {user}."
            )
        return Login()
    user, secret = stored
    return _bearer(secret, "the keyring's token") if user == TOKEN_USER else _basic(user, secret)


def keyring_service(address: DicomwebAddress) -> str:
    """The name of a service in the keyring: "sammix:pacs.example.org"."""
    return f"sammix:{address.host}"


def _bearer(token: str, where: str) -> Login:
    # requests would repeat a token that it cannot send in its error.
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"{where[:1].upper()}{where[1:]} is no bearer token: it has signs that cannot be sent.")
    return Login(f"Bearer {token}")


def _basic(user: str, password: str) -> Login:
    if ":" in user:
        raise InputError(f'{USER} has a ":", which a login by password does not allow.')
    return Login("Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii"))


def _in_keyring(service: str, user: str) -> tuple[str, str] | None:
    """User and secret of a service; None where there is no keyring or no such entry."""
    try:
        import keyring
        import keyring.errors
    except ImportError:
        return None
    try:
        if user:
            secret = keyring.get_password(service, user)
            return (user, secret) if secret else None
        found = keyring.get_credential(service, None)
        if found is not None and found.password:
            return found.username, found.password
        # Some keyrings find nothing without a user.
        secret = keyring.get_password(service, TOKEN_USER)
        return (TOKEN_USER, secret) if secret else None
    except (keyring.errors.NoKeyringError, keyring.errors.InitError):
        return None
    except keyring.errors.KeyringError:
        raise InputError(f"The keyring cannot be read; unlock it, or set {USER} and {PASSWORD}.") from None
