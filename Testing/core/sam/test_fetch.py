"""Fetching published weights from a server on localhost: resumed, refused, asked for, and usable afterwards."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from file_server import FileServer, serving
from safetensors.torch import load_file
from small_sam import checkpoint, publish
from typer.testing import CliRunner

from sammix_core.cli import app as cli
from sammix_core.cli import models
from sammix_core.errors import Cancelled, InputError
from sammix_core.model_store import download, list_models, resolve, verify
from sammix_core.model_store import third_party_weights as published
from sammix_core.model_store.third_party_weights import ThirdPartyWeights
from sammix_core.progress import Progress
from sammix_core.sam import fetch

NAME = "sam_vit_b"


@pytest.fixture(scope="module")
def content() -> bytes:
    return checkpoint()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(download, "_BLOCK_BYTES", 1 << 18)
    return tmp_path / "home"


@pytest.fixture
def server(content: bytes) -> Iterator[FileServer]:
    with serving(content, "sam_small.pth") as running:
        yield running


@pytest.fixture
def weights(server: FileServer, content: bytes, home: Path, monkeypatch: pytest.MonkeyPatch) -> ThirdPartyWeights:
    return publish(monkeypatch, NAME, content, server.address)


def part_of(home: Path) -> Path:
    return home / "downloads" / "sam_small.pth.part"


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, ["models", "fetch", *map(str, words)])
    return result.exit_code, result.stdout, result.stderr


# What is published


def test_the_official_files() -> None:
    known = {name: (one.file, one.size, one.sha256[:8]) for name, one in published.THIRD_PARTY_WEIGHTS.items()}
    assert known == {
        "sam_vit_b": ("sam_vit_b_01ec64.pth", 375_042_383, "ec2df627"),
        "sam_vit_l": ("sam_vit_l_0b3195.pth", 1_249_524_607, "3adcc431"),
        "sam_vit_h": ("sam_vit_h_4b8939.pth", 2_564_550_879, "a7bf3b02"),
        "medsam": ("medsam_vit_b.pth", 375_049_145, "34b34b78"),
    }
    assert all(len(one.sha256) == 64 for one in published.THIRD_PARTY_WEIGHTS.values())
    assert all(one.address.startswith("https://") for one in published.THIRD_PARTY_WEIGHTS.values())


# The whole way


def test_what_is_fetched_is_a_model_like_any_other(
    weights: ThirdPartyWeights, server: FileServer, content: bytes, home: Path
) -> None:
    seen: list[Progress] = []
    model = fetch.fetch(weights, progress=seen.append)
    assert model.path == home / "models" / NAME / "1.0.0"
    assert verify(model) == []
    assert [one.spec for one in list_models() if not one.shipped] == [f"{NAME}/1.0.0"]
    assert model.manifest.base_model == {"name": NAME, "sha256": weights.sha256}
    assert model.manifest.guidance == {"name": "embedding_cam", "of": "liver"}
    published_state = torch.load(io.BytesIO(content), weights_only=True)
    stored = load_file(model.weights)
    assert stored.keys() == published_state.keys()
    assert all(torch.equal(stored[name], published_state[name]) for name in stored), "in full precision"
    assert list((home / "downloads").iterdir()) == []
    assert server.asked == [None]
    assert (seen[-1].done, seen[-1].total) == (len(content) // 1_000_000,) * 2
    assert "has not been measured" in (model.path / "MODEL_CARD.md").read_text()


def test_twice_is_refused_before_anything_is_asked(weights: ThirdPartyWeights, server: FileServer) -> None:
    fetch.fetch(weights)
    code, _, stderr = run(NAME)
    assert code == 2
    assert "SAM ViT-B is there already" in stderr
    assert len(server.asked) == 1


def test_a_cut_connection_is_taken_up_where_it_was(
    weights: ThirdPartyWeights, server: FileServer, content: bytes, home: Path
) -> None:
    server.cut_after = 1_000_000
    with pytest.raises(InputError, match=r"cut after 1 MB of \d+ MB; what arrived stays, and the same command"):
        fetch.fetch(weights)
    assert part_of(home).read_bytes() == content[:1_000_000]
    with pytest.raises(InputError, match="cut after 2 MB"):
        fetch.fetch(weights)
    assert part_of(home).read_bytes() == content[:2_000_000]
    server.cut_after = None
    assert verify(fetch.fetch(weights)) == []
    assert server.asked == [None, "bytes=1000000-", "bytes=2000000-"]
    assert not part_of(home).exists()


def test_a_server_without_resume_sends_it_all_again(
    weights: ThirdPartyWeights, server: FileServer, content: bytes, home: Path
) -> None:
    part_of(home).parent.mkdir(parents=True)
    part_of(home).write_bytes(content[:5000])
    server.ranges = False
    assert verify(fetch.fetch(weights)) == []
    assert server.asked == ["bytes=5000-"]


def test_a_part_that_is_whole_is_not_asked_for(
    weights: ThirdPartyWeights, server: FileServer, content: bytes, home: Path
) -> None:
    part_of(home).parent.mkdir(parents=True)
    part_of(home).write_bytes(content)
    assert verify(fetch.fetch(weights)) == []
    assert server.asked == []


def test_a_part_that_is_too_long_is_thrown_away(
    weights: ThirdPartyWeights, server: FileServer, content: bytes, home: Path
) -> None:
    part_of(home).parent.mkdir(parents=True)
    part_of(home).write_bytes(content + b"more")
    assert verify(fetch.fetch(weights)) == []
    assert server.asked == [None]


@pytest.mark.parametrize("change", ["byte", "longer"])
def test_another_file_is_deleted_and_never_read(
    weights: ThirdPartyWeights,
    server: FileServer,
    content: bytes,
    home: Path,
    change: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("an unknown pickle was read"))
    server.content = content + b"x" if change == "longer" else content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(InputError, match=r"not the file that this version of SAMMix knows.*It was deleted"):
        fetch.fetch(weights)
    assert list((home / "downloads").iterdir()) == []
    assert not (home / "models").exists()


def test_a_server_that_refuses(weights: ThirdPartyWeights, server: FileServer) -> None:
    server.status = 503
    with pytest.raises(InputError, match=r"refused by its server .503"):
        fetch.fetch(weights)


def test_a_shorter_file_than_expected(
    weights: ThirdPartyWeights, server: FileServer, content: bytes, home: Path
) -> None:
    part_of(home).parent.mkdir(parents=True)
    part_of(home).write_bytes(content[:-10])
    server.content = content[:-20]
    with pytest.raises(InputError, match="shorter than expected; run the command again to start over"):
        fetch.fetch(weights)
    assert not part_of(home).exists()


def test_offline(content: bytes, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    offline = publish(monkeypatch, NAME, content, f"http://127.0.0.1:{port}/sam_small.pth")
    with pytest.raises(InputError, match=r"cannot be reached; is this machine offline.*--from-file"):
        fetch.fetch(offline)


def test_stopped_it_keeps_what_arrived(weights: ThirdPartyWeights, home: Path) -> None:
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        fetch.fetch(weights, progress=seen.append, cancel=lambda: len(seen) > 3)
    assert 0 < part_of(home).stat().st_size < weights.size
    assert verify(fetch.fetch(weights)) == []


def test_no_room(weights: ThirdPartyWeights, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": weights.size})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="not enough room"):
        fetch.fetch(weights)
    assert server.asked == []


def test_without_the_package_nothing_is_downloaded(
    weights: ThirdPartyWeights, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package segment-anything.*sammix\[paper\]"):
        fetch.fetch(weights)
    assert server.asked == []


def test_a_download_that_was_whole_survives_a_failure_after_it(
    weights: ThirdPartyWeights, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "write_model", lambda *_, **__: (_ for _ in ()).throw(InputError("the disk is full")))
        with pytest.raises(InputError, match="disk is full"):
            fetch.fetch(weights)
    assert verify(fetch.fetch(weights)) == []
    assert len(server.asked) == 1


# From a file


def test_from_a_file_nothing_is_downloaded(
    weights: ThirdPartyWeights, server: FileServer, content: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "mine.pth"
    file.write_bytes(content)
    code, stdout, stderr = run(NAME, "--from-file", file)
    assert code == 0, stderr
    assert f"use it with --model {NAME}" in stdout
    assert server.asked == []
    assert file.read_bytes() == content


def test_another_file_is_refused(weights: ThirdPartyWeights, content: bytes, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    file.write_bytes(content[:-1])
    code, _, stderr = run(NAME, "--from-file", file)
    assert code == 2
    assert "mine.pth is not the file that this version knows" in stderr
    code, _, stderr = run(NAME, "--from-file", tmp_path / "absent.pth")
    assert code == 2
    assert "could not be copied: no such file" in stderr
    assert list((home / "downloads").iterdir()) == []


def test_weights_of_another_network_are_not_stored(
    server: FileServer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    other = publish(monkeypatch, NAME, (tmp_path / "other.pth").read_bytes(), server.address)
    with pytest.raises(InputError, match="not those of segment-anything's vit_b"):
        fetch.fetch(other, tmp_path / "other.pth")
    assert list_models() == [one for one in list_models() if one.shipped]


# Consent


def test_a_script_has_to_say_yes(weights: ThirdPartyWeights, server: FileServer) -> None:
    code, _, stderr = run(NAME)
    assert code == 2
    assert f"{weights.size / 1e6:.0f} MB, Apache-2.0) from {weights.address}" in stderr
    assert "Agree with --yes." in stderr
    assert server.asked == []
    code, stdout, stderr = run(NAME, "--yes")
    assert code == 0, stderr
    assert "SAM ViT-B is in" in stdout


@pytest.mark.parametrize(("answer", "code"), [("n", 130), ("y", 0)])
def test_a_person_is_asked(
    weights: ThirdPartyWeights, server: FileServer, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(models, "_is_person", lambda: True)
    monkeypatch.setattr(models.typer, "confirm", lambda question: asked.append(question) or answer == "y")
    assert run(NAME)[0] == code
    assert len(asked) == 1
    assert "Nothing is sent but the request" in asked[0]
    assert len(server.asked) == (1 if answer == "y" else 0)


def test_what_was_not_fetched_says_how(home: Path) -> None:
    with pytest.raises(InputError, match=r"MedSAM is not there yet; fetch it first: sammix models fetch medsam\."):
        resolve("medsam")


def test_unknown_weights() -> None:
    code, _, stderr = run("sam_vit_g")
    assert code == 2
    assert "no published weights 'sam_vit_g'; choose one of sam_vit_b, sam_vit_l, sam_vit_h, medsam" in stderr
