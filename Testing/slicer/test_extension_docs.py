"""Tutorial and checklist: everything they refer to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from slicer_host.slicer_facts import facts

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CHECKLIST = (DOCS / "slicer-checklist.md").read_text(encoding="utf-8")
UI = (ROOT / "SAMMixSlicer" / "Resources" / "UI" / "SAMMixSlicer.ui").read_text(encoding="utf-8")
PAGES = [DOCS / "tutorial.md", DOCS / "slicer-checklist.md", ROOT / "Testing" / "slicer_host" / "README.md"]


def _rows() -> list[list[str]]:
    """The numbered rows of the checklist: number, what to do, what is seen, mark, tests, facts."""
    lines = [line for line in CHECKLIST.splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")] for line in lines]


def _facts_of(row: list[str]) -> list[str]:
    return re.findall(r"`([\w.-]+)`", row[5])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_points_are_numbered_and_each_has_one_mark():
    rows = _rows()
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    assert {row[3] for row in rows} == {"host", "stand-in", "person"}


def test_the_tests_that_are_named_exist():
    named = {name for row in _rows() for name in re.findall(r"`(test_\w+\.py)`", row[4])}
    folders = (ROOT / "Testing" / "slicer", ROOT / "Testing" / "host")
    assert {name for name in named if not any((folder / name).exists() for folder in folders)} == set()


def test_every_tested_point_names_its_test():
    assert [row[0] for row in _rows() if row[3] != "person" and not row[4]] == []


def test_every_point_on_a_stand_in_says_which_facts_it_rests_on():
    known = {fact.id for fact in facts()}
    assert [row[0] for row in _rows() if row[3] == "stand-in" and not _facts_of(row)] == []
    assert {name for row in _rows() for name in _facts_of(row)} - known == set()


def test_every_behaviour_of_slicer_is_checked_by_a_person_too():
    behaviours = {fact.id for fact in facts() if fact.test} - {
        "python-versions"
    }  # nothing to see in a Slicer that fits
    assert behaviours - {name for row in _rows() for name in _facts_of(row)} == set()


def test_the_first_ten_minutes_are_at_most_twelve_steps_each_with_what_to_send():
    lines = [line for line in CHECKLIST.splitlines() if re.match(r"\| F\d+ \|", line)]
    rows = [[cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")] for line in lines]
    assert 1 <= len(rows) <= 12
    assert [row[0] for row in rows] == [f"F{number}" for number in range(1, len(rows) + 1)]
    assert all(len(row) == 4 and all(row) for row in rows)
    text = " ".join(cell for row in rows for cell in row)
    for risk in ("OpenVINO", "PyTorch", "PythonSlicer", "Drag", "dark", "150 %"):
        assert risk in text


def test_the_buttons_that_the_tutorial_names_are_in_the_panel():
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    named = {" ".join(name.split()) for name in re.findall(r"\*\*([^*]+)\*\*", text)}
    named -= {"For research. Not a medical device.", "SAMMix", "PyTorch"}
    named -= {"Sample Data"}  # a module of Slicer
    assert {name for name in named if f"<string>{name}</string>" not in UI} == set()
