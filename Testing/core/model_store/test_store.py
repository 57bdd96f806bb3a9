"""Models are found by name or folder, checked, and only the user's own are removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sammix_core.errors import InputError
from sammix_core.files import sha256_of
from sammix_core.model_store import (
    find_faults,
    list_models,
    open_model,
    remove,
    resolve,
    store,
    user_models_folder,
    verify,
)

MakeModel = Callable[..., Path]


def make_model(root: Path, name: str, version: str) -> Path:
    folder = root / name / version
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(f"{name} {version}".encode())
    (folder / "MODEL_CARD.md").write_text("# Card")
    manifest = {
        "schema": "sammix-model/1",
        "name": name,
        "version": version,
        "target": "liver",
        "created": "2025-01-31",
        "base_model": {"name": "lite_medsam", "sha256": "a" * 64},
        "files": {"weights.safetensors": sha256_of(folder / "weights.safetensors")},
        "preprocessing": {},
        "guidance": {},
        "postprocessing": {},
        "metrics": {},
        "training_cases": [],
        "parent": None,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeModel:
    """Makes a model that counts as shipped."""
    root = (tmp_path / "package" / "models").resolve()
    monkeypatch.setattr(store, "shipped_models_folder", lambda: root)
    return lambda name, version: make_model(root, name, version)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: MakeModel) -> MakeModel:
    """Makes a model of the user's own; `shipped` comes along, so that the real ones are out of the way."""
    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path / "home"))
    return lambda name, version: make_model(user_models_folder(), name, version)


def specs() -> list[str]:
    return [model.spec for model in list_models()]


def test_the_newest_version_by_number_is_first(shipped: MakeModel, own: MakeModel) -> None:
    for version in ("1.9.0", "1.10.0", "0.99.99"):
        shipped("liver", version)
    own("my-liver", "1.0.0")
    own("my-liver", "2.0.0")
    assert specs() == ["liver/1.10.0", "liver/1.9.0", "liver/0.99.99", "my-liver/2.0.0", "my-liver/1.0.0"]
    assert [model.shipped for model in list_models()] == [True, True, True, False, False]
    assert resolve("liver").spec == "liver/1.10.0"
    assert resolve("liver/1.9.0").spec == "liver/1.9.0"
    assert resolve("my-liver").spec == "my-liver/2.0.0"
    assert find_faults() == []


def test_a_folder_anywhere_is_a_model_too(own: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_model(tmp_path / "elsewhere", "mine", "1.0.0")
    for name in (folder, str(folder)):
        model = resolve(name)
        assert (model.path, model.spec, model.shipped) == (folder.resolve(), "mine/1.0.0", False)
        assert model.weights.read_bytes() == b"mine 1.0.0"
    monkeypatch.chdir(folder.parent)
    assert resolve("./1.0.0").spec == "mine/1.0.0"
    assert specs() == []


def test_a_name_is_a_name_even_where_a_folder_is_called_so(
    shipped: MakeModel, own: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped("liver", "1.0.0")
    make_model(tmp_path / "x", "other", "1.0.0").rename(tmp_path / "liver")
    monkeypatch.chdir(tmp_path)
    assert resolve("liver").spec == "liver/1.0.0"
    assert resolve("./liver").spec == "other/1.0.0"


def test_an_absent_model_says_what_there_is(shipped: MakeModel, own: MakeModel) -> None:
    with pytest.raises(InputError, match=r"There is no model 'liver'; installed: none\."):
        resolve("liver")
    shipped("liver", "1.0.0")
    own("my-liver", "1.0.0")
    with pytest.raises(InputError, match=r"no model 'liver/1\.0\.1'; installed: liver/1\.0\.0, my-liver/1\.0\.0\."):
        resolve("liver/1.0.1")
    with pytest.raises(InputError, match=r"There is no model in .*nowhere: manifest\.json is missing"):
        resolve("../nowhere")


def test_a_users_model_never_takes_the_place_of_a_shipped_one(shipped: MakeModel, own: MakeModel) -> None:
    place = shipped("liver", "1.0.0")
    own("liver", "1.0.0")
    own("liver", "9.0.0")
    assert specs() == ["liver/1.0.0"]
    assert resolve("liver").path == place
    with pytest.raises(InputError, match=r"no model 'liver/9\.0\.0'.* the name 'liver' belongs to a shipped model"):
        resolve("liver/9.0.0")
    assert len(find_faults()) == 1


def test_tampered_weights_are_found(shipped: MakeModel) -> None:
    folder = shipped("liver", "1.0.0")
    assert verify(open_model(folder)) == []
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"1")
    (folder / "MODEL_CARD.md").unlink()
    wrong, missing = verify(open_model(folder))
    assert wrong == (
        "liver/1.0.0: weights.safetensors is not the file that the manifest names; its SHA-256 is another one."
    )
    assert missing == "liver/1.0.0: MODEL_CARD.md is missing."


def test_a_file_that_vanishes_is_a_fault(shipped: MakeModel) -> None:
    folder = shipped("liver", "1.0.0")
    model = open_model(folder)
    (folder / "weights.safetensors").unlink()
    assert verify(model) == ["liver/1.0.0: weights.safetensors cannot be read: no such file or directory."]


def test_a_missing_file_is_no_model(shipped: MakeModel, own: MakeModel) -> None:
    folder = shipped("liver", "1.0.0")
    (folder / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"is not complete: weights\.safetensors is missing"):
        open_model(folder)
    assert specs() == []
    with pytest.raises(InputError, match=r"There is no model 'liver'; installed: none\. The model in .* not complete"):
        resolve("liver")


def test_an_unknown_schema_is_a_fault_that_is_said(shipped: MakeModel, own: MakeModel) -> None:
    folder = own("mine", "1.0.0")
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace("sammix-model/1", "sammix-model/7"))
    assert specs() == []
    (fault,) = find_faults()
    assert "schema 'sammix-model/7' is unknown" in fault
    assert str(folder) in fault


def test_a_folder_must_be_called_as_its_manifest_says(own: MakeModel) -> None:
    own("mine", "1.0.0").rename(user_models_folder() / "mine" / "3.0.0")
    assert specs() == []
    (fault,) = find_faults()
    assert fault.endswith("is not used: its manifest says that it is mine/1.0.0.")


def test_hidden_and_other_folders_are_passed_over(own: MakeModel) -> None:
    own("mine", "1.0.0").rename(user_models_folder() / "mine" / ".unfinished-1")
    (user_models_folder() / "mine" / "notes.txt").write_text("x")
    assert specs() == []
    assert find_faults() == []


def test_the_users_own_model_is_removed(own: MakeModel) -> None:
    old, new = own("mine", "1.0.0"), own("mine", "1.1.0")
    assert remove("mine/1.0.0") == old
    assert not old.exists()
    assert specs() == ["mine/1.1.0"]
    assert remove("mine/1.1.0") == new
    assert list(user_models_folder().iterdir()) == []


def test_a_broken_model_can_be_removed(own: MakeModel) -> None:
    folder = own("mine", "1.0.0")
    (folder / "manifest.json").write_text("{")
    remove("mine/1.0.0")
    assert not folder.exists()


def test_a_shipped_model_is_not_removed(shipped: MakeModel, own: MakeModel) -> None:
    place, twin = shipped("liver", "1.0.0"), own("liver", "1.0.0")
    with pytest.raises(InputError, match=r"liver/1\.0\.0 is shipped with SAMMix and cannot be removed"):
        remove("liver/1.0.0")
    assert place.is_dir()
    assert twin.is_dir()


@pytest.mark.parametrize(
    "spec",
    ["mine", "", "/", "..", "../..", "../../1.0.0", "mine/..", "mine/../mine/1.0.0", "/tmp", "mine/1.0.0/", "*/*"],
)
def test_only_full_names_are_removed(own: MakeModel, spec: str) -> None:
    folder = own("mine", "1.0.0")
    with pytest.raises(InputError, match="is no full name of a model"):
        remove(spec)
    assert folder.is_dir()


def test_what_is_not_there_is_not_removed(own: MakeModel) -> None:
    own("mine", "1.0.0")
    with pytest.raises(InputError, match=r"You have no model mine/2\.0\.0 of your own"):
        remove("mine/2.0.0")


def test_a_link_is_not_followed_when_removing(own: MakeModel, tmp_path: Path) -> None:
    outside = make_model(tmp_path / "outside", "mine", "1.0.0")
    user_models_folder().mkdir(parents=True)
    try:
        (user_models_folder() / "mine").symlink_to(outside.parent, target_is_directory=True)
    except OSError:
        pytest.skip("this account may not make links on this system")
    with pytest.raises(InputError, match="You have no model"):
        remove("mine/1.0.0")
    assert (outside / "weights.safetensors").is_file()


def test_without_sammix_home_it_is_the_users_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMMIX_HOME", raising=False)
    assert user_models_folder().parts[-2:] == ("sammix", "models")
