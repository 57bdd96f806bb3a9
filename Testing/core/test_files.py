"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from sammix_core import files
from sammix_core.errors import Cancelled, InputError
from sammix_core.files import atomic_path, check_writable, sha256_of, write_text_atomic


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("name", ["a.nii.gz", "liver.seg.nrrd", "boxes.json", "ct 1.5 mm.mha", "ü" * 100 + ".nii.gz"])
def test_the_temporary_name_lies_beside_and_keeps_the_suffixes(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path.resolve()
        assert temporary.name != name
        assert temporary.name.endswith("." + name.split(".", 1)[1])
        assert not temporary.exists(), "the writer makes the file, with the user's own permissions"
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names_in(tmp_path) == [name]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:  # noqa: PT012
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["report.json"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    sentence = r"report\.json could not be written: no space left on device\."
    with pytest.raises(InputError, match=sentence), atomic_path(tmp_path / "report.json") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "free", "refused"),
    [
        (RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 768 vs 662"), 0, True),  # torch's
        (OSError("1000000 requested and 131056 written"), 0, True),  # numpy's
        (Exception("I/O error: No space left on device (os error 28)"), 1 << 30, True),  # safetensors'
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), 1 << 30, False),
        (Cancelled("Stopped."), 0, False),
    ],
)
def test_libraries_have_words_of_their_own_for_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, free: int, refused: bool
) -> None:
    def writes() -> None:
        with atomic_path(tmp_path / "checkpoint.pt") as temporary:
            temporary.write_bytes(b"half")
            raise error

    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    if refused:
        with pytest.raises(InputError, match=r"checkpoint\.pt could not be written: no space left on device\."):
            writes()
    else:
        with pytest.raises(type(error)) as caught:
            writes()
        assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_another_file_is_not_blamed_on_this_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic_path(tmp_path / "out.json"):
        (tmp_path / "elsewhere").read_text()


def test_a_link_is_written_through(tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    real.write_text("old")
    link = tmp_path / "link.json"
    try:
        link.symlink_to(real)
    except OSError:
        pytest.skip("this account may not make links on this system")
    write_text_atomic(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_text_keeps_its_line_ends(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "text.md", "a\nü\n")
    assert (tmp_path / "text.md").read_bytes() == b"a\n\xc3\xbc\n"


def test_new_files_get_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text_atomic(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The folder .*nowhere does not exist, so liver\.nii\.gz cannot"):
        check_writable(tmp_path / "nowhere" / "liver.nii.gz")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="does not exist"):
        check_writable(tmp_path / "file" / "liver.nii.gz")


def test_folders_and_devices_are_never_replaced(tmp_path: Path) -> None:
    for path in (tmp_path, Path(os.devnull)):
        with pytest.raises(InputError, match="is not a file that can be overwritten"):
            check_writable(path)


def test_an_unwritable_folder_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Permission bits do not stop root, so the file system's answer is made here.
    def refuse(self: Path, *_args: object, **_kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(InputError, match=r"cannot be written to: permission denied\."):
        check_writable(tmp_path / "liver.nii.gz")


def test_check_writable_leaves_nothing_behind(tmp_path: Path) -> None:
    assert check_writable(tmp_path / "liver.nii.gz") == (tmp_path / "liver.nii.gz").resolve()
    assert names_in(tmp_path) == []


def test_sha256_is_that_of_hashlib_beyond_one_block(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "data").write_bytes(data)
    assert sha256_of(tmp_path / "data") == hashlib.sha256(data).hexdigest()
