"""Folders of things that can be computed again: compiled networks, embeddings. Private, checked, with a size limit.

Names are hashes of everything that the content depends on, so no patient's name and no path can be in one, and what
was made by another version, model or machine is simply not found.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sammix_core.errors import InputError
from sammix_core.model_store.store import HOME_VARIABLE

CACHE_VARIABLE = "SAMMIX_CACHE"
_SUFFIX = ".cache"
_DIGEST_BYTES = 32
COMPILED = "compiled"
EMBEDDINGS = "embeddings"
KINDS = (COMPILED, EMBEDDINGS)
LIMITS_BYTES = {COMPILED: 1 * 1024**3, EMBEDDINGS: 20 * 1024**3}


def cache_root() -> Path:
    """The folder for what can be computed again; may be absent.

    The environment variables SAMMIX_CACHE (the folder itself) and SAMMIX_HOME (the one that it lies in) move it.
    """
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return Path(own).expanduser().resolve()
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


@dataclass(frozen=True)
class CacheFolder:
    """One folder of entries; what is used least goes first when there is too much.

    A cache is never worth an error: what cannot be read is not there, and what cannot be written is not kept.

    Attributes:
        path: The folder; made when something is first kept, readable by its owner alone.
        limit_bytes: What all entries together may take.
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
            self.drop(key)
            return None
        with suppress(OSError):
            os.utime(path)  # used just now
        return content

    def put(self, key: str, content: bytes) -> bool:
        """Keeps content under a key; whether it could be kept."""
        if len(content) + _DIGEST_BYTES > self.limit_bytes:
            return False
        temporary = self.path / f".{secrets.token_hex(8)}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            os.chmod(self.path, 0o700)
            # Made with its final permissions: nobody else can open it in between.
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(hashlib.sha256(content).digest())
                stream.write(content)
            os.replace(temporary, self._file(key))
        except OSError:
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
        found = []
        with suppress(OSError):
            for path in self.path.glob(f"*{_SUFFIX}"):
                with suppress(OSError):
                    about = path.stat()
                    found.append((path, about.st_size, about.st_mtime))
        return sorted(found, key=lambda entry: (entry[2], entry[0].name))

    @property
    def nbytes(self) -> int:
        """Bytes of all entries."""
        return sum(size for _, size, _ in self.entries)

    def clear(self) -> int:
        """Removes all entries, and the folder.

        Returns:
            How many bytes that gave back.

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
        there = sum(size for _, size, _ in entries)
        for path, size, _ in entries:
            if there <= self.limit_bytes:
                return
            with suppress(OSError):
                path.unlink()
                there -= size
