"""`sammix-model/1`: what is written comes back, and nothing that is not understood is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sammix_core.errors import InputError
from sammix_core.model_store import Manifest

FORMAT_PAGE = Path(__file__).parents[3] / "docs" / "formats" / "model.md"


def document() -> dict[str, Any]:
    return {
        "schema": "sammix-model/1",
        "name": "liver",
        "version": "1.10.0",
        "target": "liver",
        "created": "2025-01-31T12:00:00+00:00",
        "base_model": {"name": "lite_medsam", "sha256": "a" * 64},
        "files": {"weights.safetensors": "b" * 64},
        "preprocessing": {"window_level": 40.0, "window_width": 400.0},
        "guidance": {"kind": "embedding_cam"},
        "postprocessing": {},
        "metrics": [{"case": "one", "dice": 0.5}],
        "training_cases": ["one", "two"],
        "parent": None,
    }


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    manifest = Manifest.from_json(document())
    assert manifest.to_json() == document()
    manifest.write(tmp_path / "manifest.json")
    assert Manifest.read(tmp_path / "manifest.json") == manifest
    assert manifest.spec == "liver/1.10.0"
    assert manifest.version_key == (1, 10, 0)


def test_the_example_in_the_documentation_is_valid(tmp_path: Path) -> None:
    example = FORMAT_PAGE.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0]
    (tmp_path / "manifest.json").write_text(example, encoding="utf-8")
    Manifest.read(tmp_path / "manifest.json").write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == example


def test_a_manifest_does_not_share_what_it_was_made_from() -> None:
    source = document()
    manifest = Manifest.from_json(source)
    source["preprocessing"]["window_level"] = 0.0
    manifest.to_json()["preprocessing"]["window_level"] = 1.0
    assert manifest.preprocessing["window_level"] == 40.0


@pytest.mark.parametrize("key", [key for key in document() if key != "schema"])
def test_each_key_is_needed(key: str) -> None:
    content = document()
    del content[key]
    with pytest.raises(InputError, match=f"The manifest lacks the key '{key}'"):
        Manifest.from_json(content)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema": "sammix-model/2"}, "schema 'sammix-model/2' is unknown; this version reads 'sammix-model/1' only"),
        ({"licence": "x"}, "unknown key 'licence'"),
        ({"name": "Liver"}, "name must be small letters and digits"),
        ({"name": "../liver"}, "name must be"),
        ({"name": ""}, "name must be"),
        ({"name": 3}, "name must be"),
        ({"version": "1.0"}, "version must be three numbers"),
        ({"version": "1.0.0/.."}, "version must be"),
        ({"version": "01.0.0"}, "version must be"),
        ({"version": "1.0.0\n"}, "version must be"),
        ({"target": ""}, "target must be"),
        ({"created": "yesterday"}, "created must be a date"),
        ({"created": 20250131}, "created must be a date"),
        ({"base_model": {"name": "lite_medsam"}}, "base_model must be a name and a SHA-256"),
        ({"base_model": {"name": "lite_medsam", "sha256": "a" * 63}}, "base_model must be"),
        ({"base_model": "lite_medsam"}, "base_model must be"),
        ({"files": {}}, r"files with weights\.safetensors among them"),
        ({"files": ["weights.safetensors"]}, "files must be an object"),
        ({"files": {"weights.safetensors": "B" * 64}}, r"SHA-256 of weights\.safetensors must be 64 small"),
        ({"files": {"weights.safetensors": "b" * 64, "../../secret": "b" * 64}}, "plain file names"),
        ({"files": {"weights.safetensors": "b" * 64, "/etc/passwd": "b" * 64}}, "plain file names"),
        ({"files": {"weights.safetensors": "b" * 64, "C:\\x": "b" * 64}}, "plain file names"),
        ({"files": {"weights.safetensors": "b" * 64, "..": "b" * 64}}, "plain file names"),
        ({"preprocessing": []}, "preprocessing must be an object"),
        ({"guidance": None}, "guidance must be an object"),
        ({"postprocessing": "none"}, "postprocessing must be an object"),
        ({"metrics": 0.97}, "metrics must be an object or a list"),
        ({"training_cases": "one"}, "training_cases must be a list of names"),
        ({"training_cases": [1]}, "training_cases must be a list of names"),
        ({"parent": "liver"}, "parent must be a model"),
        ({"parent": "liver/1.0.0/x"}, "parent must be a model"),
        ({"parent": 1}, "parent must be a model"),
    ],
)
def test_what_is_no_manifest_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Manifest.from_json({**document(), **changes})


def test_a_parent_is_taken() -> None:
    assert Manifest.from_json({**document(), "parent": "liver/1.9.0"}).parent == "liver/1.9.0"


@pytest.mark.parametrize(("text", "sentence"), [("[]", "must be a JSON object"), ("{", "no valid JSON")])
def test_the_sentence_names_the_file(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=sentence) as refusal:
        Manifest.read(tmp_path / "manifest.json")
    assert str(tmp_path) in str(refusal.value)


def test_figures_that_json_does_not_know_are_not_written(tmp_path: Path) -> None:
    manifest = Manifest.from_json({**document(), "metrics": {"dice": float("nan")}})
    with pytest.raises(ValueError, match="JSON"):
        manifest.write(tmp_path / "manifest.json")
    assert list(tmp_path.iterdir()) == []
