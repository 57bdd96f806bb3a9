"""Cache folders for results that can be computed again: compiled networks, embeddings.

They are private, checked and limited in size. File names are hashes of everything that the content depends on, so none
holds a patient's name or a path, and results of another version, model or machine are never found.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sammix_core.errors import InputError
from sammix_core.model_store.store import HOME_VARIABLE

_log = logging.getLogger(__name__)

CACHE_VARIABLE = "SAMMIX_CACHE"
_SUFFIX = ".cache"
_DIGEST_BYTES = 32
COMPILED = "compiled"
EMBEDDINGS = "embeddings"
KINDS = (COMPILED, EMBEDDINGS)
LIMITS_BYTES = {COMPILED: 1 * 1024**3, EMBEDDINGS: 20 * 1024**3}


def cache_root() -> Path:
    """The user's cache folder; may be absent.

    The environment variables SAMMIX_CACHE (the folder itself) and SAMMIX_HOME (its parent) override it.
    """
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return Path(folder).expanduser().resolve()
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home).expanduser().resolve() / "cache"
    import platformdirs  # not needed to import this module, as in the model store

    return Path(platformdirs.user_cache_dir("sammix", appauthor=False)).resolve()


def key_of(parts: Iterable[bytes | str]) -> str:
    """A name for content that depends on all of these parts, in this order.

    >>> key_of(["a", "bc"]) == key_of(["ab", "c"])
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


@lru_cache
def _warn_once(folder: Path, reason: str) -> None:
    """Says once for each folder and reason that nothing is cached."""
    _log.warning("The cache %s cannot be written to (%s), so results are computed again next time.", folder, reason)


@dataclass(frozen=True)
class CacheFolder:
    """One folder of cached files; the longest unused ones are removed when there are too many.

    A cache never fails a run: an unreadable entry counts as missing, and one that cannot be written is skipped.

    Attributes:
        path: The folder; created with the first entry, readable by its owner alone.
        limit_bytes: Size limit of all entries together.
    """

    path: Path
    limit_bytes: int

    @classmethod
    def of(cls, kind: str, root: Path | None = None) -> CacheFolder:
        """The folder of a kind, in the user's cache or in another root."""
        return cls((cache_root() if root is None else root) / kind, LIMITS_BYTES[kind])

    def get(self, key: str) -> bytes | None:
        """The content under a key, or None where there is none or it is damaged (it is removed then)."""
        path = self._file(key)
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            _log.warning("A damaged file in the cache %s was removed.", self.path)
            self.drop(key)
            return None
        with suppress(OSError):
            os.utime(path)  # used just now
        return content

    def put(self, key: str, content: bytes) -> bool:
        """Stores content under a key; returns whether it could be stored."""
        if len(content) + _DIGEST_BYTES > self.limit_bytes:
            return False
        temporary = self.path / f".{secrets.token_hex(8)}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            os.chmod(self.path, 0o700)
            # Created with its final permissions, so that nobody else can open it in between.
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(hashlib.sha256(content).digest())
                stream.write(content)
            os.replace(temporary, self._file(key))
        except OSError as error:
            _warn_once(self.path, error.strerror or str(error))
            with suppress(OSError):
                temporary.unlink()
            return False
        self._shrink()
        return True

    def drop(self, key: str) -> None:
        """Removes what is under a key."""
        with suppress(OSError):
            self._file(key).unlink()

    @property
    def entries(self) -> list[tuple[Path, int, float]]:
        """(file, bytes, time of last use) of all entries, the longest unused first."""
        entries = []
        with suppress(OSError):
            for path in self.path.glob(f"*{_SUFFIX}"):
                with suppress(OSError):
                    status = path.stat()
                    entries.append((path, status.st_size, status.st_mtime))
        return sorted(entries, key=lambda entry: (entry[2], entry[0].name))

    @property
    def nbytes(self) -> int:
        """Bytes of all entries."""
        return sum(size for _, size, _ in self.entries)

    def clear(self) -> int:
        """Removes all entries, and the folder.

        Returns:
            The number of bytes freed.

        Raises:
            InputError: The folder cannot be removed.
        """
        freed = self.nbytes
        if self.path.is_dir():
            try:
                shutil.rmtree(self.path)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise InputError(f"The cache {self.path} could not be removed: {reason}.") from error
        return freed

    def _file(self, key: str) -> Path:
        return self.path / f"{key}{_SUFFIX}"

    def _shrink(self) -> None:
        entries = self.entries
        total = sum(size for _, size, _ in entries)
        for path, size, _ in entries:
            if total <= self.limit_bytes:
                return
            with suppress(OSError):
                path.unlink()
                total -= size
