"""A run in a folder: its settings, its events, and how it is paused, cancelled and resumed.

The process that runs and the host that watches it share nothing but this folder, which works the same on every
platform and outlives both. The host writes `control`; the process writes `events.jsonl`, `state` and `result.json`.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from sammix_core.documents import read_json
from sammix_core.errors import InputError
from sammix_core.files import write_text_atomic
from sammix_core.finetuning.process_lock import ProcessLock
from sammix_core.finetuning.result import FineTuneResult
from sammix_core.finetuning.settings import FineTuneSettings
from sammix_core.model_store.store import user_folder

SCHEMA = "sammix-finetuning/1"
GO, PAUSE, CANCEL = "go", "pause", "cancel"
RUN_FILE, EVENTS_FILE, RESULT_FILE = "run.json", "events.jsonl", "result.json"
_CONTROL_FILE, _STATE_FILE, _LOCK_FILE = "control", "state", "lock"
_STATES = ("new", "running", "paused", "cancelled", "failed", "finished")


def runs_folder() -> Path:
    """Where runs lie unless another folder is named; may be absent."""
    return user_folder() / "finetuning"


class FineTuneRun:
    """One run.

    Attributes:
        folder: Its folder.
        settings: Its settings, with parent and version filled in.
    """

    def __init__(self, folder: Path, settings: FineTuneSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.lock = ProcessLock(folder / _LOCK_FILE)
        self._read_to = 0
        self._words = {_CONTROL_FILE: GO, _STATE_FILE: "new"}

    @classmethod
    def create(cls, settings: FineTuneSettings, folder: str | Path | None = None) -> FineTuneRun:
        """Makes a run; nothing is computed yet.

        Args:
            settings: Its settings.
            folder: An empty or absent folder; None for the next one among the user's runs.

        Raises:
            InputError: The settings cannot be followed, or the folder cannot be written.
        """
        settings = settings.checked()
        path = _next_folder() if folder is None else Path(folder).expanduser().resolve()
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise InputError(f"{path} is not empty; name another folder for the run.")
        except OSError as error:
            raise InputError(f"{path} cannot be made: {(error.strerror or str(error)).lower()}.") from error
        document = {"schema": SCHEMA, "settings": settings.to_json()}
        write_text_atomic(path / RUN_FILE, json.dumps(document, indent=1) + "\n")
        return cls(path, settings)

    @classmethod
    def open(cls, folder: str | Path) -> FineTuneRun:
        """Opens a run that is there.

        Raises:
            InputError: There is none, or one of another version.
        """
        path = Path(folder).expanduser().resolve()
        if not (path / RUN_FILE).is_file():
            raise InputError(f"{folder} is no fine-tuning run: {RUN_FILE} is missing.")
        document = read_json(path / RUN_FILE, "fine-tuning run")
        if not isinstance(document, dict) or document.get("schema") != SCHEMA or "settings" not in document:
            raise InputError(f"{folder} is not a fine-tuning run of the kind {SCHEMA}.")
        return cls(path, FineTuneSettings.from_json(document["settings"]))

    @classmethod
    def all(cls) -> list[FineTuneRun]:
        """The user's runs, newest first; those that cannot be read are left out."""
        runs = []
        for path in sorted(runs_folder().glob("run-*"), reverse=True):
            try:
                runs.append(cls.open(path))
            except InputError:
                continue
        return runs

    @property
    def cts_folder(self) -> Path:
        """Where a host puts CTs without masks for the run, see `store_ct`; a finished run deletes them."""
        return self.folder / "cts"

    def command(self, python: str = sys.executable) -> list[str]:
        """The command of the run's process; started again after a cancel or a crash, it resumes."""
        return [python, "-m", "sammix_core.finetuning", str(self.folder)]

    def read_events(self) -> list[dict[str, Any]]:
        """The events since the last call, oldest first."""
        try:
            with (self.folder / EVENTS_FILE).open("rb") as stream:
                stream.seek(self._read_to)
                data = stream.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]  # a line that is being written comes next time
        self._read_to += len(whole)
        events = []
        for line in whole.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a process that was killed may have left half a line in the middle
            if isinstance(event, dict):
                events.append(event)
        return events

    def pause(self) -> None:
        """Makes the process wait at its next step."""
        self.send(PAUSE)

    def resume(self) -> None:
        """Makes a waiting process work again."""
        self.send(GO)

    def cancel(self) -> None:
        """Makes the process save what is done and end."""
        self.send(CANCEL)

    def send(self, request: str) -> None:
        """Writes what the process shall do next: "go", "pause" or "cancel"."""
        self._write_word(_CONTROL_FILE, request)

    @property
    def request(self) -> str:
        """What the process shall do next: "go", "pause" or "cancel"."""
        return self._read_word(_CONTROL_FILE, (GO, PAUSE, CANCEL))

    @property
    def state(self) -> str:
        """The state: new, running, paused, cancelled, failed, finished; "stopped" when its process died."""
        written = self._read_word(_STATE_FILE, _STATES)
        if written in ("running", "paused") and not self.lock.is_taken():
            # It may have ended between the two looks.
            written = self._read_word(_STATE_FILE, _STATES)
            return "stopped" if written in ("running", "paused") else written
        return written

    def set_state(self, state: str) -> None:
        """Writes the state; for the process."""
        self._write_word(_STATE_FILE, state)

    def _write_word(self, file: str, word: str) -> None:
        # Not beside and renamed: Windows does not rename onto a file that the other process is just reading. A word
        # that is read half-written is none of those known, and the reader keeps the one before.
        try:
            (self.folder / file).write_text(word, encoding="ascii")
        except OSError as error:
            raise InputError(f"{self.folder} cannot be written: {(error.strerror or str(error)).lower()}.") from error

    def _read_word(self, file: str, words: tuple[str, ...]) -> str:
        try:
            word = (self.folder / file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return self._words[file]
        if word in words:
            self._words[file] = word
        return self._words[file]

    def result(self) -> FineTuneResult | None:
        """Its result, or None before it is finished.

        Raises:
            InputError: The result's file is damaged.
        """
        path = self.folder / RESULT_FILE
        return FineTuneResult.from_json(read_json(path, "result")) if path.is_file() else None

    def write_result(self, result: FineTuneResult) -> None:
        """Writes its result; for the process."""
        write_text_atomic(self.folder / RESULT_FILE, json.dumps(result.to_json(), indent=1, allow_nan=False) + "\n")

    def remove(self) -> None:
        """Deletes the folder with its checkpoints and embeddings; models that were made stay.

        Raises:
            InputError: It is running.
        """
        if self.lock.is_taken():
            raise InputError("The run is going on; cancel it first.")
        shutil.rmtree(self.folder, ignore_errors=True)


def _next_folder() -> Path:
    numbers = [int(path.name[4:]) for path in runs_folder().glob("run-*") if path.name[4:].isdecimal()]
    return runs_folder() / f"run-{max(numbers, default=0) + 1:04d}"
