"""Which version a name means: the user's choice, kept apart from the models, and something that works in any case."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from made_models import an_untrained_model
from typer.testing import CliRunner

from sammix_core import model_store
from sammix_core.cli.app import app
from sammix_core.errors import InputError
from sammix_core.model_store import Manifest
from sammix_core.model_store.activation import outdated_note


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models: untrained/1.0.0 and untrained/1.1.0, both of the liver."""
    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path))
    first = an_untrained_model(tmp_path / "models")
    second = first.with_name("1.1.0")
    shutil.copytree(first, second)
    replace(Manifest.read(first / "manifest.json"), version="1.1.0").write(second / "manifest.json")
    return tmp_path / "models"


def test_a_version_that_is_offered_changes_nothing(models: Path) -> None:
    shipped = model_store.resolve("liver")
    assert shipped.shipped
    assert model_store.is_active(shipped)
    assert not model_store.is_active(model_store.resolve("untrained/1.1.0"))
    assert model_store.active_models() == {}


def test_activating_says_what_target_and_name_mean_and_goes_back(models: Path) -> None:
    shipped = model_store.resolve("liver").spec
    model = model_store.activate("untrained/1.0.0")
    assert model_store.active_models() == {"liver": "untrained/1.0.0", "untrained": "untrained/1.0.0"}
    assert model_store.resolve("liver").path == model_store.resolve("untrained").path == model.path
    assert model_store.resolve("untrained/1.1.0").spec == "untrained/1.1.0"
    assert model_store.is_active(model)
    model_store.activate("untrained/1.1.0")
    assert model_store.resolve("liver").spec == "untrained/1.1.0"
    model_store.activate(shipped)
    assert model_store.resolve("liver").spec == shipped
    assert model_store.resolve("untrained").spec == "untrained/1.1.0"


@pytest.mark.parametrize(
    ("parent", "outdated"), [(None, False), ("shipped", False), ("untrained/1.0.0", True), ("liver/0.0.9", True)]
)
def test_a_child_of_a_version_that_is_no_longer_shipped_says_what_to_do(
    models: Path, parent: str | None, outdated: bool
) -> None:
    shipped = model_store.resolve("liver").spec
    own = Manifest.read(models / "untrained" / "1.0.0" / "manifest.json")
    replace(own, parent="liver/0.0.9").write(models / "untrained" / "1.0.0" / "manifest.json")
    of = shipped if parent == "shipped" else parent
    replace(own, version="1.1.0", parent=of).write(models / "untrained" / "1.1.0" / "manifest.json")
    note = outdated_note(model_store.resolve("untrained/1.1.0"))
    assert bool(note) == outdated
    if outdated:
        assert note.startswith(f"untrained/1.1.0 was fine-tuned from liver/0.0.9, which {shipped} has replaced.")
        assert note.endswith(f"sammix models activate {shipped}.")


def test_what_is_active_and_gone_leaves_the_newest_one(models: Path) -> None:
    shipped = model_store.resolve("liver").spec
    model_store.activate("untrained/1.0.0")
    model_store.remove("untrained/1.0.0")
    assert model_store.resolve("liver").spec == shipped
    assert model_store.resolve("untrained").spec == "untrained/1.1.0"


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "sammix-active/9", "active": {"liver": "untrained/1.0.0"}}'])
def test_a_choice_that_cannot_be_read_is_none(models: Path, text: str) -> None:
    (models / "active.json").write_text(text)
    assert model_store.resolve("liver").shipped
    assert model_store.activate("untrained/1.0.0").spec == "untrained/1.0.0"
    assert model_store.resolve("liver").spec == "untrained/1.0.0"


def test_entries_that_could_lead_elsewhere_are_passed_over(models: Path) -> None:
    active = {"liver": "../../elsewhere", "untrained": "untrained/1.0.0", "spleen": 3}
    (models / "active.json").write_text(json.dumps({"schema": "sammix-active/1", "active": active}))
    assert model_store.active_models() == {"untrained": "untrained/1.0.0"}


def test_a_changed_file_or_another_base_is_not_activated_and_the_last_good_one_stays(models: Path) -> None:
    model_store.activate("untrained/1.0.0")
    weights = models / "untrained" / "1.1.0" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="not the file that the manifest names"):
        model_store.activate("untrained/1.1.0")
    path = models / "untrained" / "1.1.0" / "manifest.json"
    manifest = Manifest.read(path)
    replace(manifest, base_model={**manifest.base_model, "sha256": "0" * 64}).write(path)
    with pytest.raises(InputError, match="made on another base model"):
        model_store.activate("untrained/1.1.0")
    assert model_store.resolve("liver").spec == "untrained/1.0.0"


@pytest.mark.parametrize("name", ["untrained", "untrained/9.0.0", "../untrained/1.0.0", "liver/9.9.9"])
def test_names_that_cannot_be_activated(models: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"is no full name|There is no model"):
        model_store.activate(name)


def test_the_list_marks_what_is_used(models: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["models", "activate", "untrained/1.0.0"])
    assert (done.exit_code, done.stdout) == (0, "untrained/1.0.0 is used for liver from now on\n")
    lines = runner.invoke(app, ["models", "list"]).stdout.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("active")] == ["untrained/1.0.0"]
