"""What the Extensions Index asks of an extension: its description, icons and pictures."""

from __future__ import annotations

import importlib.util
import json
import re
import struct
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
DESCRIPTION = ROOT / "Resources" / "ExtensionsIndex" / "SAMMix.json"
ICON = ROOT / "SAMMixSlicer" / "Resources" / "Icons" / "SAMMixSlicer.svg"

# The published schema of catalogue entries, version 1.0.1: the keys that it knows, each with its type
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#"
)
REQUIRED = {"$schema": str, "category": str, "scm_url": str}
OPTIONAL = {
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}


def _cmake_values() -> dict[str, str]:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'set\(EXTENSION_(\w+) "([^"]+)"\)', text))


@pytest.fixture(scope="module")
def description() -> dict:
    return json.loads(DESCRIPTION.read_text(encoding="utf-8"))


def test_the_description_follows_the_schema(description):
    assert description["$schema"] == SCHEMA
    assert set(REQUIRED) <= set(description)
    known = REQUIRED | OPTIONAL
    assert {key: type(value) for key, value in description.items()} == {key: known[key] for key in description}
    assert description["scm_type"] == "git"
    assert description["tier"] in (1, 3, 5)
    assert all(type(name) is str for name in description["build_dependencies"])


def test_the_description_and_the_project_agree(description):
    values = _cmake_values()
    project = re.search(r"project\s*\(\s*([^\s)]+)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert project[1] == DESCRIPTION.stem == "SAMMix"
    assert description["category"] == values["CATEGORY"] == "Segmentation"
    assert description["build_dependencies"] == values["DEPENDS"].split()
    # The index wants the repository to be called Slicer and the extension's name.
    assert description["scm_url"].removesuffix(".git").rsplit("/", 1)[1] == f"Slicer{DESCRIPTION.stem}"
    assert values["HOMEPAGE"].split("#")[0] == description["scm_url"].removesuffix(".git")


def test_the_pictures_that_are_named_are_in_the_repository(description):
    raw = description["scm_url"].removesuffix(".git").replace("github.com", "raw.githubusercontent.com")
    values = _cmake_values()
    urls = [values["ICONURL"], *values["SCREENSHOTURLS"].split()]
    assert all(url.startswith(f"{raw}/{description['scm_revision']}/") for url in urls)
    paths = [url.removeprefix(f"{raw}/{description['scm_revision']}/") for url in urls]
    tracked = subprocess.run(["git", "ls-files", *paths], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(tracked.stdout.split()) == sorted(paths)


def test_the_repository_has_what_the_extensions_index_requires():
    assert "Apache License" in (ROOT / "LICENSE.txt").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"!\[[^\]]+\]\([^)]+\.png\)", readme)
    assert "not a medical device" in readme.lower()


@pytest.mark.parametrize("path", ["Resources/SAMMix.png", "SAMMixSlicer/Resources/Icons/SAMMixSlicer.png"])
def test_the_icon_is_a_png_of_128_pixels_drawn_from_the_svg(path, app):
    data = (ROOT / path).read_bytes()
    assert struct.unpack(">II", data[16:24]) == (128, 128)
    spec = importlib.util.spec_from_file_location("icons", ROOT / "benchmarks" / "icons.py")
    icons = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(icons)
    image = icons.draw()
    drawn = np.frombuffer(image.constBits(), np.uint8).reshape(128, 128, 4)[..., [2, 1, 0, 3]]
    kept = np.asarray(Image.open(ROOT / path).convert("RGBA"))
    # Qt's rasteriser differs in the last bits from one processor to another.
    assert np.abs(kept.astype(int) - drawn.astype(int)).mean() < 0.5
    assert kept[0, 0, 3] == 0


def test_the_svg_is_a_drawing_without_pictures_or_scripts_in_it():
    tags = {element.tag.rsplit("}", 1)[-1] for element in ET.parse(ICON).getroot().iter()}
    assert tags <= {"svg", "title", "defs", "linearGradient", "stop", "g", "path"}
