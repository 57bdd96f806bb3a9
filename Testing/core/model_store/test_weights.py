"""Weights come back as they were written, and never from a file that is not the expected one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sammix_core.errors import InputError
from sammix_core.model_store import Manifest, list_models, resolve, store, user_models_folder, verify, weights
from sammix_core.model_store.weights import load_model_weights, load_weights, save_weights, write_model


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shared = torch.randn(3, 4, generator=generator)
    return {
        "head.weight": shared,
        "head.tied": shared,
        "head.turned": shared.T,
        "steps": torch.tensor(7),
        "on": torch.tensor([True, False]),
        "double": torch.tensor([1 / 3], dtype=torch.float64),
    }


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        name="mine",
        version="1.0.0",
        target="liver",
        created="2025-01-31",
        base_model={"name": "lite_medsam", "sha256": "a" * 64},
        files={"weights.safetensors": "0" * 64},
        preprocessing={},
        guidance={},
        postprocessing={},
        metrics={},
        training_cases=["one"],
    )


def test_single_precision_comes_back_exactly(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    digest = save_weights(state, tmp_path / "w.safetensors", float16=False)
    assert digest == hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    loaded = load_weights(tmp_path / "w.safetensors", digest)
    assert loaded.keys() == state.keys()
    for name, tensor in state.items():
        expected = tensor.float() if tensor.is_floating_point() else tensor
        torch.testing.assert_close(loaded[name], expected, rtol=0, atol=0)


def test_half_precision_halves_the_file(tmp_path: Path) -> None:
    state = {"w": torch.linspace(-3, 3, 10_000), "n": torch.tensor(70_000)}
    digest = save_weights(state, tmp_path / "half.safetensors")
    save_weights(state, tmp_path / "full.safetensors", float16=False)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.52 * (tmp_path / "full.safetensors").stat().st_size
    loaded = load_weights(tmp_path / "half.safetensors", digest)
    assert loaded["w"].dtype == torch.float32
    torch.testing.assert_close(loaded["w"], state["w"].half().float(), rtol=0, atol=0)
    assert loaded["n"] == 70_000


def test_the_same_weights_give_the_same_bytes(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    digests = {save_weights(state, tmp_path / f"{run}.safetensors") for run in range(4)}
    assert len(digests) == 1
    assert save_weights(dict(reversed(state.items())), tmp_path / "turned.safetensors") in digests


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_numbers_that_do_not_fit_are_not_stored(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match=r"^bad holds numbers that are not finite"):
        save_weights({"bad": torch.tensor([0.0, value])}, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_another_hash_is_not_read(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "w.safetensors"
    digest = save_weights(state, path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    with pytest.raises(InputError, match="its SHA-256 is another one"):
        load_weights(path, digest)
    with pytest.raises(InputError, match="cannot be read: no such file"):
        load_weights(tmp_path / "absent", digest)


def test_a_pickle_is_refused_even_with_the_right_hash(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, tmp_path / "w.safetensors")
    digest = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    with pytest.raises(InputError, match="is no safetensors file"):
        load_weights(tmp_path / "w.safetensors", digest)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path / "home"))
    empty = (tmp_path / "package" / "models").resolve()
    for module in (store, weights):
        monkeypatch.setattr(module, "shipped_models_folder", lambda: empty)
    return user_models_folder()


def test_a_written_model_is_found_and_verified(home: Path, state: dict[str, torch.Tensor], manifest: Manifest) -> None:
    model = write_model(home, manifest, state, "# My liver\n")
    assert model == resolve("mine")
    assert verify(model) == []
    assert (model.path / "MODEL_CARD.md").read_text() == "# My liver\n"
    assert sorted(file.name for file in model.path.iterdir()) == [
        "MODEL_CARD.md",
        "manifest.json",
        "weights.safetensors",
    ]
    torch.testing.assert_close(load_model_weights(model)["head.turned"], state["head.turned"].half().float())
    with pytest.raises(InputError, match=r"names no file other\.safetensors"):
        load_model_weights(model, "other.safetensors")


def test_a_model_is_not_overwritten(home: Path, state: dict[str, torch.Tensor], manifest: Manifest) -> None:
    model = write_model(home, manifest, state, "first")
    with pytest.raises(InputError, match=r"The model mine/1\.0\.0 is there already"):
        write_model(home, manifest, {}, "second")
    assert (model.path / "MODEL_CARD.md").read_text() == "first"
    write_model(home, replace(manifest, version="1.0.1"), state, "second")
    assert [model.spec for model in list_models()] == ["mine/1.0.1", "mine/1.0.0"]


def test_a_model_that_fails_on_the_way_leaves_nothing(home: Path, manifest: Manifest) -> None:
    with pytest.raises(ValueError, match="not finite"):
        write_model(home, manifest, {"bad": torch.tensor([float("nan")])}, "card")
    assert list(home.iterdir()) == []


def test_a_users_model_cannot_take_a_shipped_name(
    home: Path, state: dict[str, torch.Tensor], manifest: Manifest
) -> None:
    (weights.shipped_models_folder() / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match="name 'mine' belongs to a model shipped with SAMMix"):
        write_model(home, manifest, state, "card")
    assert not home.exists()
