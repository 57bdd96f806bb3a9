"""What a user can send to the developers when something fails: versions, paths and the last error, no patient data."""

from __future__ import annotations

import logging
import platform
import re
import sys
import traceback
from pathlib import Path
from typing import Any

import slicer

from SAMMixSlicerLib.core_location import CoreInfo
from SAMMixSlicerLib.worker import Description, ModelLoaded, Worker

_LOGGER = logging.getLogger("SAMMixSlicerLib")
_MAX_CHARACTERS = 6000
_FRAME = re.compile(r'^\s*File "(?P<path>[^"]+)", line (?P<line>\d+)')
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|“[^”]*”")
_PATH = re.compile(r"\S*[\\/]\S*")
_NUMBER = re.compile(r"\d{5,}")


class Diagnostics(logging.Handler):
    """Collects the report while the panel works.

    Args:
        worker: The computing process.
        core: The core in use.
        interpreter: The interpreter that the worker runs with.
    """

    def __init__(self, worker: Worker, core: CoreInfo, interpreter: str) -> None:
        super().__init__(logging.ERROR)
        self._worker = worker
        self._core = core
        self._interpreter = interpreter
        self._description: Description | None = None
        self._model: ModelLoaded | None = None
        self._lastError = ""
        worker.on(Description).connect(self._onDescribed)
        worker.on(ModelLoaded).connect(self._onModelLoaded)
        _LOGGER.addHandler(self)

    def teardown(self) -> None:
        """Stops collecting."""
        _LOGGER.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps an error; called by `logging`."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info))
        self._lastError = text

    def report(self) -> str:
        """The report as plain text."""
        worker, description, model = self._worker, self._description, self._model
        versions = {} if description is None else description.versions
        lines = [
            f"SAMMix {self._core.version} in {_shortened(self._core.folder)}",
            *([f"bundled: {self._core.bundledVersion}"] if self._core.isShadowed else []),
            f"Slicer {_slicerVersion()} on {platform.platform()}, Python {platform.python_version()}",
            f"interpreter: {_shortened(self._interpreter)}",
            f"search path: {len(sys.path)} folders, {sum(map(len, sys.path))} characters",
            f"worker: {worker.state}; {redacted(worker.sentence)}",
            "packages: " + ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
            "devices: " + ", ".join(device.title for device in (description.devices if description else ())),
            "models: " + ", ".join(model.spec for model in (description.models if description else ())),
            f"in use: {model.spec} on {model.device} ({model.engine})" if model else "no model loaded",
            "faults: " + redacted(" ".join(description.faults if description else ())),
            "last error: " + (redacted(self._lastError) or "none"),
        ]
        return "\n".join(lines)

    def _onDescribed(self, event: Description) -> None:
        self._description = event

    def _onModelLoaded(self, event: ModelLoaded) -> None:
        self._model = event


def redacted(text: str) -> str:
    """Removes what could name a patient: names of nodes, quoted text, paths but those of code, and long numbers.

    Example:
        >>> redacted("ValueError: cannot read /data/Smith/ct.nrrd of 'Smith^John', 19581231")
        'ValueError: cannot read <path> of <…>, <number>'
    """
    for name in _nodeNames():
        text = text.replace(name, "<node>")
    return "\n".join(_redactedLine(line) for line in text[-_MAX_CHARACTERS:].splitlines())


def _redactedLine(line: str) -> str:
    frame = _FRAME.match(line)
    if frame is not None:
        path = Path(frame["path"].replace("\\", "/"))
        return line.replace(frame["path"], "/".join(path.parts[-3:]))
    return _NUMBER.sub("<number>", _PATH.sub("<path>", _QUOTED.sub("<…>", line)))


def _nodeNames() -> list[str]:
    """Names of the data nodes, which often are those of patients, the longest first."""
    nodes = slicer.util.getNodesByClass("vtkMRMLStorableNode")
    names = {str(node.GetName() or "") for node in nodes}
    return sorted((name for name in names if len(name) > 2), key=len, reverse=True)


def _shortened(path: Any) -> str:
    """A path without the user's name."""
    text, home = str(path), str(Path.home())
    return "~" + text[len(home) :] if len(home) > 1 and text.startswith(home) else text


def _slicerVersion() -> str:
    app = slicer.app
    revision = getattr(app, "revision", "")
    return f"{app.majorVersion}.{app.minorVersion}" + (f" (revision {revision})" if revision else "")
