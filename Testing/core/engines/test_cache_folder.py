"""Folders of what can be computed again: private, whole or absent, within their limit."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from sammix_core.engines.cache_folder import COMPILED, CacheFolder, cache_root, key_of

KEYS = [key_of([name]) for name in "abc"]


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path / "here", 1000)
    assert folder.get(KEYS[0]) is None
    assert folder.put(KEYS[0], b"one")
    assert folder.put(KEYS[1], b"two")
    assert (folder.get(KEYS[0]), folder.get(KEYS[1])) == (b"one", b"two")
    assert folder.put(KEYS[0], b"three")
    assert folder.get(KEYS[0]) == b"three"
    assert folder.nbytes == 32 + 5 + 32 + 3
    assert {path.name for path in folder.path.iterdir()} == {f"{key}.cache" for key in KEYS[:2]}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = CacheFolder(tmp_path / "here", 1000)
        folder.put(KEYS[0], b"one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()] == [0o600]


def test_damaged_content_is_not_there(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, 1000)
    folder.put(KEYS[0], b"content")
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert folder.get(KEYS[0]) is None
    assert not file.exists()
    file.write_bytes(b"short")
    assert folder.get(KEYS[0]) is None


def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, 2 * (32 + 10))
    for age, key in enumerate(KEYS[:2]):
        folder.put(key, bytes(10))
        os.utime(tmp_path / f"{key}.cache", (1000 + age, 1000 + age))
    assert folder.get(KEYS[0]) == bytes(10)  # used just now
    folder.put(KEYS[2], bytes(10))
    assert [folder.get(key) is not None for key in KEYS] == [True, False, True]


def test_what_is_larger_than_the_limit_is_not_kept_and_takes_nothing_else_away(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, 100)
    folder.put(KEYS[0], bytes(10))
    assert not folder.put(KEYS[1], bytes(100))
    assert folder.get(KEYS[0]) == bytes(10)
    assert folder.get(KEYS[1]) is None


def test_a_folder_that_cannot_be_made_keeps_nothing_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = CacheFolder(tmp_path / "file" / "cache", 100)
    assert not folder.put(KEYS[0], b"x")
    assert not folder.put(KEYS[1], b"x")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("sammix_core.engines.cache_folder", "WARNING")
    assert "cannot be written to" in record.getMessage()
    assert folder.get(KEYS[0]) is None
    assert folder.clear() == 0


def test_clearing_gives_the_bytes_back(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path / "here", 1000)
    folder.put(KEYS[0], b"one")
    assert folder.clear() == 35
    assert not folder.path.exists()
    assert folder.clear() == 0


def test_sammix_home_moves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMMIX_CACHE", raising=False)
    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path))
    assert cache_root() == tmp_path.resolve() / "cache"
    assert CacheFolder.of(COMPILED).path == tmp_path.resolve() / "cache" / "compiled"
    monkeypatch.delenv("SAMMIX_HOME")
    assert cache_root().name == "sammix"
    monkeypatch.setenv("SAMMIX_CACHE", str(tmp_path / "elsewhere"))
    assert cache_root() == tmp_path.resolve() / "elsewhere"
