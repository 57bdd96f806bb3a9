"""`sammix cache`: says what is kept, and takes it away."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sammix_core.cli import app as cli
from sammix_core.engines.cache_folder import COMPILED, EMBEDDINGS, CacheFolder, key_of


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMMIX_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, ["cache", *words])
    return result.exit_code, result.stdout, result.stderr


def fields(stdout: str) -> dict[str, str]:
    rows = (line.strip().split("  ", 1) for line in stdout.splitlines() if line.strip())
    return {row[0]: row[1].strip() for row in rows}


def test_an_empty_cache_is_shown_and_not_made(root: Path) -> None:
    code, stdout, _ = run("info")
    assert code == 0
    assert fields(stdout) == {
        "folder": str(root),
        "compiled networks": "0 files, 0.0 MB of at most 1,074 MB",
        "embeddings": "0 files, 0.0 MB of at most 21,475 MB",
    }
    assert not root.exists()


def test_what_is_there_is_counted_and_cleared(root: Path) -> None:
    CacheFolder.of(COMPILED).put(key_of(["network"]), bytes(3_000_000))
    for name in ("one", "two"):
        CacheFolder.of(EMBEDDINGS).put(key_of([name]), bytes(1_000_000))
    shown = fields(run("info")[1])
    assert shown["compiled networks"].startswith("1 file, 3.0 MB of")
    assert shown["embeddings"].startswith("2 files, 2.0 MB of")
    assert run("clear") == (0, "Removed 5.0 MB\n", "")
    assert list(root.iterdir()) == []
    assert run("clear") == (0, "Removed 0.0 MB\n", "")


def test_only_the_cache_is_cleared(root: Path) -> None:
    root.mkdir()
    (root / "mine.txt").write_text("keep")
    CacheFolder.of(COMPILED).put(key_of(["network"]), b"x")
    run("clear")
    assert [path.name for path in root.iterdir()] == ["mine.txt"]


def test_a_cache_that_cannot_be_removed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    CacheFolder.of(COMPILED).put(key_of(["network"]), b"x")

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shutil.rmtree", refused)
    code, _, stderr = run("clear")
    assert code == 2
    assert stderr.strip().endswith("could not be removed: permission denied.")
    assert len(stderr.splitlines()) == 1
