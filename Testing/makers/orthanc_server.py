"""A real Orthanc with its DICOMweb plugin, on a free loopback port, with a folder and a login of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import requests

from sammix_core.pacs.login import PASSWORD, TOKEN, USER

ORTHANC_USER, ORTHANC_PASSWORD = "radiology", "correct-horse"
_ROOT = "/dicom-web"
_PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")
_SECONDS_TO_START = 30


class OrthancServer:
    """Starts at once; `stop` and `start` keep folder and port.

    Args:
        folder: For its database and log; made if absent.

    Attributes:
        address: Of its DICOMweb service, as the command line takes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"http://localhost:{self._port}{_ROOT}"
        self._configuration().write_text(json.dumps(self._settings()), encoding="utf-8")
        self.start()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_executable()), str(self._configuration())], stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + _SECONDS_TO_START
        while True:
            try:
                self.rest("system")
            except requests.ConnectionError:
                assert self._process.poll() is None, (self._folder / "log").read_text(errors="replace")
                assert time.monotonic() < deadline, "Orthanc does not answer"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Kills it, as a power cut would: it takes seconds to end by itself."""
        self._process.kill()
        self._process.wait()

    def rest(self, path: str, **data: Any) -> Any:
        """Asks Orthanc's own interface, to see what it holds without the code under test; posts where there is data."""
        method = "POST" if data else "GET"
        return self._request(method, path, **data).json()

    def delete(self, path: str) -> None:
        self._request("DELETE", path)

    def add(self, *files: Path) -> None:
        """Stores DICOM files past DICOMweb."""
        for file in files:
            self._request("POST", "instances", data=file.read_bytes())

    def instances(self) -> dict[str, str]:
        """Orthanc's own identifiers by SOP Instance UID."""
        entries = self.rest("instances?expand")
        return {entry["MainDicomTags"]["SOPInstanceUID"]: entry["ID"] for entry in entries}

    def _request(self, method: str, path: str, **data: Any) -> requests.Response:
        response = requests.request(
            method,
            f"http://localhost:{self._port}/{path}",
            auth=(ORTHANC_USER, ORTHANC_PASSWORD),
            timeout=10,
            **data,
        )
        response.raise_for_status()
        return response

    def _configuration(self) -> Path:
        return self._folder / "orthanc.json"

    def _settings(self) -> dict[str, Any]:
        database = str(self._folder / "database")
        return {
            "StorageDirectory": database,
            "IndexDirectory": database,
            "Plugins": [str(_plugin())],
            "HttpPort": self._port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {ORTHANC_USER: ORTHANC_PASSWORD},
            "DicomWeb": {"Enable": True, "Root": f"{_ROOT}/"},
        }


@contextmanager
def running_orthanc(folder: Path) -> Iterator[OrthancServer]:
    """Starts Orthanc for a block; skips the test where it is not installed."""
    if _executable() is None or _plugin() is None:
        pytest.skip("Orthanc with its DICOMweb plugin is not installed here; make services installs it")
    server = OrthancServer(folder)
    try:
        yield server
    finally:
        server.stop()


def log_in(monkeypatch: pytest.MonkeyPatch, user: str = ORTHANC_USER, password: str = ORTHANC_PASSWORD) -> None:
    """Sets the login in the environment, and nothing of the person's own."""
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.setenv(USER, user)
    monkeypatch.setenv(PASSWORD, password)


def _executable() -> Path | None:
    found = which("Orthanc") or which("Orthanc", path="/usr/sbin:/usr/local/sbin")
    return None if found is None else Path(found)


def _plugin() -> Path | None:
    for folder in _PLUGINS:
        plugin = Path(folder, "libOrthancDicomWeb.so")
        if plugin.is_file():
            return plugin
    return None
