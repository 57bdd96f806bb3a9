"""The ledger of a batch: what is known of each study, in an SQLite file that the driver alone writes."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from sammix_core.batch.figures import Figures
from sammix_core.batch.study import Study
from sammix_core.documents import settings_from_dict, settings_to_dict
from sammix_core.errors import InputError

SCHEMA = 1

_TABLE = """
CREATE TABLE IF NOT EXISTS studies (
    key TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    source TEXT NOT NULL,
    is_dicom INTEGER NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    sentence TEXT NOT NULL DEFAULT '',
    stamp TEXT NOT NULL DEFAULT '',
    input_hash TEXT NOT NULL DEFAULT '',
    model_hash TEXT NOT NULL DEFAULT '',
    mask TEXT NOT NULL DEFAULT '',
    finished REAL,
    figures TEXT,
    identifiers TEXT NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX IF NOT EXISTS names ON studies (lower(name));
"""


class State(StrEnum):
    """How far a study is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Entry:
    """What the ledger says of a study.

    Attributes:
        key: See `Study`.
        name: What its outputs are called; no two studies share one.
        label: What people read.
        source: See `Study`.
        is_dicom: Whether it is DICOM.
        state: How far it is.
        sentence: Why it failed, or "".
        stamp: That of the input when it was last read.
        input_hash: That of the input's content when it was last read; "" before.
        model_hash: What it was segmented with, see `SegmentationSettings.model_hash`.
        mask: The mask's path in the batch's folder, or "".
        finished: When, in seconds since 1970, or None.
        figures: Those of the result, or None.
        identifiers: See `Study`.
    """

    key: str
    name: str
    label: str
    source: str
    is_dicom: bool
    state: State
    sentence: str = ""
    stamp: str = ""
    input_hash: str = ""
    model_hash: str = ""
    mask: str = ""
    finished: float | None = None
    figures: Figures | None = None
    identifiers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """What was made of a study; see `Entry`."""

    stamp: str
    input_hash: str
    model_hash: str
    mask: str
    figures: Figures


_FIELDS = tuple(Entry.__dataclass_fields__)


class Ledger:
    """The ledger; every change is on the disk when its method returns.

    Only one process may have it open, which the batch's lock ensures; the folder must be on a local disk.

    Args:
        path: The file; made where it is absent.

    Raises:
        InputError: It is no ledger, of another version, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._in_words():
            self._database = sqlite3.connect(path, isolation_level=None)
            # What is removed, such as identifiers that are no longer kept, is overwritten too.
            self._database.execute("PRAGMA secure_delete = ON")
            self._database.execute("PRAGMA synchronous = FULL")
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA):
                raise InputError(f"{path} is of a later version of SAMMix; update SAMMix, or choose another folder.")
            self._database.executescript(f"BEGIN; {_TABLE} PRAGMA user_version = {SCHEMA}; COMMIT;")

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def add(self, studies: Iterable[Study]) -> None:
        """Adds studies; those that are known keep what is known of them. Nothing runs any more.

        Args:
            studies: In the order in which they are to be segmented.

        Raises:
            InputError: The ledger cannot be written.
        """
        with self._changes() as database:
            rows = database.execute("SELECT key, name FROM studies").fetchall()
            known, taken = {key for key, _ in rows}, {name.lower() for _, name in rows}
            # What a killed driver left
            database.execute("UPDATE studies SET state = 'waiting' WHERE state = 'running'")
            for position, study in enumerate(studies):
                identifiers = json.dumps(study.identifiers, ensure_ascii=False)
                if study.key in known:
                    database.execute(
                        "UPDATE studies SET position = ?, source = ?, label = ?, identifiers = ? WHERE key = ?",
                        (position, study.source, study.label, identifiers, study.key),
                    )
                    continue
                name = _free_name(study, taken)
                taken.add(name.lower())
                database.execute(
                    "INSERT INTO studies (key, name, label, source, is_dicom, position, state, identifiers)"
                    " VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?)",
                    (study.key, name, study.label, study.source, study.is_dicom, position, identifiers),
                )

    def forget_identifiers(self) -> None:
        """Removes the identifiers of all studies.

        Raises:
            InputError: The ledger cannot be written.
        """
        with self._changes() as database:
            database.execute("UPDATE studies SET identifiers = '{}' WHERE identifiers <> '{}'")

    def wait(self, keys: Iterable[str]) -> None:
        """Says that studies are to be segmented, again or for the first time.

        Raises:
            InputError: The ledger cannot be written.
        """
        with self._changes() as database:
            database.executemany(
                "UPDATE studies SET state = 'waiting', sentence = '' WHERE key = ?", [(key,) for key in keys]
            )

    def start(self, key: str) -> None:
        """Says that a worker has begun a study.

        Raises:
            InputError: The ledger cannot be written.
        """
        self._set(key, state=State.RUNNING)

    def put_back_running(self) -> None:
        """Says that no study is running.

        Raises:
            InputError: The ledger cannot be written.
        """
        with self._changes() as database:
            database.execute("UPDATE studies SET state = 'waiting' WHERE state = 'running'")

    def finish(self, key: str, done: Done) -> None:
        """Says that a study is done.

        Args:
            key: The study's.
            done: What was made of it.

        Raises:
            InputError: The ledger cannot be written.
        """
        self._set(
            key,
            state=State.DONE,
            sentence="",
            stamp=done.stamp,
            input_hash=done.input_hash,
            model_hash=done.model_hash,
            mask=done.mask,
            finished=time.time(),
            figures=json.dumps(settings_to_dict(done.figures), ensure_ascii=False),
        )

    def still_done(self, key: str, stamp: str) -> None:
        """Says that a study whose files were touched has the content that it had.

        Raises:
            InputError: The ledger cannot be written.
        """
        self._set(key, state=State.DONE, sentence="", stamp=stamp)

    def fail(self, key: str, sentence: str, stamp: str = "", input_hash: str = "", model_hash: str = "") -> None:
        """Says that a study cannot be segmented.

        Args:
            key: The study's.
            sentence: Why.
            stamp: That of its input.
            input_hash: That of its input's content, where it could be read.
            model_hash: The model that was tried.

        Raises:
            InputError: The ledger cannot be written.
        """
        self._set(
            key,
            state=State.FAILED,
            sentence=sentence,
            stamp=stamp,
            input_hash=input_hash,
            model_hash=model_hash,
            mask="",
            figures=None,
            finished=time.time(),
        )

    def entries(self) -> list[Entry]:
        """All studies, in their order.

        Raises:
            InputError: The ledger cannot be read.
        """
        with self._in_words():
            rows = self._database.execute(f"SELECT {', '.join(_FIELDS)} FROM studies ORDER BY position, key").fetchall()
        return [_entry(dict(zip(_FIELDS, row, strict=True))) for row in rows]

    def counts(self) -> Counter[State]:
        """How many studies are in each state.

        Raises:
            InputError: The ledger cannot be read.
        """
        with self._in_words():
            rows = self._database.execute("SELECT state, count(*) FROM studies GROUP BY state").fetchall()
        return Counter({State(state): count for state, count in rows})

    def _set(self, key: str, **values: object) -> None:
        columns = ", ".join(f"{column} = ?" for column in values)
        with self._changes() as database:
            database.execute(f"UPDATE studies SET {columns} WHERE key = ?", (*values.values(), key))

    @contextmanager
    def _changes(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is on the disk, or nothing."""
        with self._in_words():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise InputError(f"The ledger {self._path} cannot be used: {error}.") from error


def _free_name(study: Study, taken: set[str]) -> str:
    """The first of a study's names that no other study has; file systems may ignore case."""
    for name in (study.name, study.other_name):
        if name.lower() not in taken:
            return name
    number = 2
    while f"{study.other_name}-{number}".lower() in taken:
        number += 1
    return f"{study.other_name}-{number}"


def _entry(row: dict[str, object]) -> Entry:
    figures = row["figures"]
    return Entry(
        **{
            **row,
            "is_dicom": bool(row["is_dicom"]),
            "state": State(str(row["state"])),
            "figures": None
            if figures is None
            else settings_from_dict(Figures, json.loads(str(figures)), "A result in the ledger"),
            "identifiers": json.loads(str(row["identifiers"])),
        }
    )
