"""Where the login comes from, and that it shows nowhere."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from types import SimpleNamespace

import keyring
import keyring.backend
import keyring.errors
import pytest

from sammix_core.errors import InputError
from sammix_core.pacs.address import DicomwebAddress
from sammix_core.pacs.login import PASSWORD, TOKEN, USER, find_login

ADDRESS = DicomwebAddress("https://pacs.example.org:8443/dicom-web")


class KeyringInMemory(keyring.backend.KeyringBackend):
    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.secrets: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise keyring.errors.KeyringLocked
        return self.secrets.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.secrets[service, username] = password

    def get_credential(self, service: str, username: str | None) -> keyring.credentials.Credential | None:
        for (stored_service, stored_user), secret in self.secrets.items():
            if stored_service == service and username in (None, stored_user):
                return keyring.credentials.SimpleCredential(stored_user, secret)
        return None


@pytest.fixture(autouse=True)
def own_keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyringInMemory]:
    for name in (TOKEN, USER, PASSWORD):
        monkeypatch.delenv(name, raising=False)
    before, ours = keyring.get_keyring(), KeyringInMemory()
    keyring.set_keyring(ours)
    yield ours
    keyring.set_keyring(before)


def header() -> str | None:
    """What a request carries."""
    request = SimpleNamespace(headers={"Host": "pacs.example.org"})
    find_login(ADDRESS)(request)
    assert "Host" not in request.headers
    return request.headers.get("Authorization")


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_without_a_login_nothing_is_sent() -> None:
    assert header() is None


def test_password_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER, "ann")
    monkeypatch.setenv(PASSWORD, "hüsh:1")
    assert header() == basic("ann:hüsh:1")


def test_a_token_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER, "ann")
    monkeypatch.setenv(PASSWORD, "hush")
    monkeypatch.setenv(TOKEN, "abc.def\n")
    assert header() == "Bearer abc.def"


def test_password_of_the_keyring(own_keyring: KeyringInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    own_keyring.secrets["sammix:elsewhere", "ann"] = "other"
    assert header() is None
    own_keyring.secrets["sammix:pacs.example.org:8443", "ann"] = "hush"
    assert header() == basic("ann:hush")
    own_keyring.secrets["sammix:pacs.example.org:8443", "bob"] = "mine"
    monkeypatch.setenv(USER, "bob")
    assert header() == basic("bob:mine")


def test_token_of_the_keyring(own_keyring: KeyringInMemory) -> None:
    own_keyring.secrets["sammix:pacs.example.org:8443", "token"] = "abc.def"
    assert header() == "Bearer abc.def"


def test_a_locked_keyring_is_one_sentence(own_keyring: KeyringInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    own_keyring.locked = True
    monkeypatch.setenv(USER, "ann")
    with pytest.raises(InputError, match="The keyring cannot be read; unlock it"):
        find_login(ADDRESS)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({PASSWORD: "hush"}, f"{PASSWORD} is set without {USER}"),
        ({USER: "ann"}, "there is no password: set .* or store it with keyring set sammix:pacs.example.org:8443 ann"),
        ({USER: "a:nn", PASSWORD: "hush"}, 'has a ":"'),
        ({TOKEN: "hush\nhush"}, "signs that cannot be sent"),
        ({TOKEN: "hüsh"}, "signs that cannot be sent"),
    ],
)
def test_a_login_that_cannot_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], sentence: str
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=sentence) as caught:
        find_login(ADDRESS)
    assert "hush" not in str(caught.value)


def test_a_login_hides_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "abcdef")
    assert repr(find_login(ADDRESS)) == "Login()"
