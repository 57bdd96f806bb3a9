"""`sammix batch` as it is typed: what it prints and writes, and that no patient's identifier is among it."""

from __future__ import annotations

import gzip
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_inputs import IDENTIFIERS, UID, PoolHere, write_ct, write_dicom
from dicom_files import write_series
from image_files import truncate
from synthetic_ct import synthetic_ct
from typer.testing import CliRunner

import sammix_core.batch.local_pool
from sammix_core.cli.app import app


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[PoolHere]:
    """The workers of commands, in this process."""
    made: list[PoolHere] = []

    def make(setup: Any, size: int, model_hash: str) -> PoolHere:
        made.append(PoolHere(setup.settings, setup.scratch))
        return made[-1]

    monkeypatch.setattr(sammix_core.batch.local_pool, "LocalPool", make)
    return made


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["batch", *(str(word) for word in words)])
    return result.exit_code, result.stdout, result.stderr


def test_a_folder_is_segmented_and_summed_up(pools: list[PoolHere], tmp_path: Path) -> None:
    write_ct(tmp_path / "in" / "a.nii.gz", 1)
    write_ct(tmp_path / "in" / "b.nii.gz", 2)
    words = (tmp_path / "in", "-o", tmp_path / "out", "--device", "cpu", "--workers", 2, "--threads", 1)
    code, stdout, stderr = run(*words)
    assert (code, "2 workers with 1 thread each, on the CPU; 2 to segment." in stderr) == (0, True)
    assert re.search(r"done +2, 2 of them in this run", stdout)
    assert str(tmp_path / "out" / "table.html") in stdout
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["a.nii.gz", "b.nii.gz"]
    code, stdout, _ = run(*words, "--quiet")
    assert (code, stdout, len(pools)) == (0, "", 1)


def test_a_study_that_fails_is_an_error_at_the_end(pools: list[PoolHere], tmp_path: Path) -> None:
    write_ct(tmp_path / "in" / "a.nii.gz", 1)
    truncate(write_ct(tmp_path / "in" / "b.nii.gz", 2))
    code, _, stderr = run(tmp_path / "in", "-o", tmp_path / "out", "--device", "cpu", "--format", "seg.nrrd")
    assert code == 2
    assert stderr.splitlines()[-1].startswith("1 of 2 studies failed; ")
    assert (tmp_path / "out" / "masks" / "a.seg.nrrd").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["gone", "-o", "out"], "gone does not exist."),
        (["a.nii.gz", "-o", "out", "--format", "png"], "There is no format 'png'; choose one of .nii.gz,"),
        (["a.nii.gz", "-o", "out", "--model", "spleen"], "There is no model 'spleen'; installed: "),
        (["a.nii.gz", "-o", "a.nii.gz"], "The folder a.nii.gz cannot be made: file exists."),
        (["a.nii.gz", "-o", "out", "--device", "cuda"], "There is no CUDA device that torch can use here"),
        (["http://pacs.example.org/rs", "-o", "out"], "would be reached without encryption; http:// is for this"),
        (["a.nii.gz", "-o", "out", "--minutes", "0"], "Invalid value for '--minutes'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_nothing_is_written(
    pools: list[PoolHere], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    write_ct(tmp_path / "a.nii.gz")
    code, _, stderr = run(*words)
    assert code == 2
    assert sentence in stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_a_cluster_needs_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    write_ct(tmp_path / "a.nii.gz")
    code, _, stderr = run(tmp_path / "a.nii.gz", "-o", tmp_path / "out", "--address", "127.0.0.1:6379")
    assert (code, stderr) == (2, "--address needs Ray; install it with: pip install 'sammix[batch]'.\n")
    assert not (tmp_path / "out").exists()


PRIVATE = [
    *("Zzyzx", "Quirin", "55501234", "7770042", "19370104", "20190827", "Quackenbush", "Elsewhere"),
    *(UID.format(number) for number in (1, 2, 3, 99)),
]


def test_no_identifier_is_in_anything_that_a_run_writes(
    pools: list[PoolHere], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "in"
    write_dicom(given, 1)
    files = write_series(given / "Zzyzx", synthetic_ct((5, 36, 44)), uid=UID.format(2), **IDENTIFIERS)
    files[2].rename(truncate(files[2]).with_name("Zzyzx_55501234.dcm"))
    damaged = write_series(given / "Quirin", synthetic_ct((3, 36, 44)), uid=UID.format(3), **IDENTIFIERS)[1]
    damaged.write_bytes(damaged.read_bytes().replace(b"0.8\\0.7", b"x.8\\0.7"))
    # Temporary files stay, to be searched too.
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("sammix_core.batch.worker.tempfile.TemporaryDirectory", kept_folders_in(temporary))
    out = tmp_path / "out"
    words = (given, "-o", out, "--device", "cpu", "--debug")
    code, stdout, stderr = run(*words)
    assert code == 2
    assert "An image of dicom-" in stderr
    assert "In one folder of the input a file has a damaged DICOM header" in stderr
    written = everything_in(out, temporary)
    assert len(written) >= 8
    assert any("mask" in name for name in written if name.startswith("temporary"))
    for identifier in PRIVATE:
        assert identifier not in stdout + stderr
        assert [name for name, content in written.items() if identifier.encode() in name.encode() + content] == []

    # With the option they are in ledger and table, and a run without it removes them again.
    assert run(*words, "--keep-identifiers")[0] == 2
    kept = everything_in(out)
    for name in ("out/ledger.sqlite", "out/table.csv", "out/table.html"):
        assert b"MRN-55501234" in kept[name]
    run(*words)
    assert [name for name, content in everything_in(out).items() if b"55501234" in content] == []


def kept_folders_in(parent: Path) -> type:
    class Kept:
        def __init__(self, **options: Any) -> None:
            self.name = tempfile.mkdtemp(dir=parent)

        def __enter__(self) -> str:
            return self.name

        def __exit__(self, *_: object) -> None:
            pass

    return Kept


def everything_in(*folders: Path) -> dict[str, bytes]:
    """Every file by its path, packed ones with their content too."""
    return {name: content for folder in folders for name, content in _files_of(folder)}


def _files_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            unpacked = gzip.decompress(content) if path.suffix == ".gz" else b""
            yield str(path.relative_to(folder.parent)), content + unpacked
