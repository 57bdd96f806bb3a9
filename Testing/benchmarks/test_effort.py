"""The simulated person: what it does with a tool that helps and one that does not, and what it never does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from fake_network import a_fake_model, turned_volume
from synthetic_ct import synthetic_ct

from sammix_core.datasets.cases import LabelledCase
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.volume.axial_order import AxialOrder

pytestmark = pytest.mark.slow

EFFORT = Path(__file__).parents[2] / "benchmarks" / "effort"
ORDER = AxialOrder((0, 2, 1), (True, False, True))


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, ModuleType]]:
    """`person` and `report`, imported as the scripts import them."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(EFFORT), *sys.path])
    import person
    import report

    yield person, report
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(EFFORT.parent)):
            del sys.modules[name]


@pytest.fixture
def opened() -> tuple[SegmentationSession, LabelledCase]:
    """A session whose automatic masks lack a strip of the liver on two slices; the last slice has no label."""
    session = SegmentationSession(a_fake_model(), turned_volume(synthetic_ct((6, 64, 80)), ORDER))
    session.find_boxes()
    label = session.segment_boxes().mask > 0
    assert label.any()
    case = LabelledCase.from_mask("anna", session.volume, label, labelled=set(range(5)))
    for index in session.review()[:2]:
        state, plane = session.slices.state(index), session.slices.plane(index)
        cols = np.flatnonzero(plane.any(0))
        plane[:, cols[len(cols) // 2] :] = 0
        session.slices.put(state.corrected_to(plane))
        session.slices.corrected.discard(index)  # as if the model had made it
    return session, case


def test_a_painting_person_makes_all_slices_of_the_list_right(scripts: Any, opened: Any) -> None:
    person, _ = scripts
    session, case = opened
    painter = person.SimulatedPerson(session, case, person.MODES["painted"])
    assert painter.dice < 1
    actions = list(painter.work(10))
    wrong = {action["slice"] for action in actions}
    assert len(actions) == len(wrong) > 0
    assert wrong <= set(case.planes()), "nobody looks at a slice whose truth is not known"
    assert all(action["kind"] == "paint" and action["judged_wrong_px"][1] == 0 for action in actions)
    assert painter.wrong_px == sum(
        np.count_nonzero((session.slices.plane(index) > 0) ^ label) for index, label in case.planes().items()
    )
    assert painter.looked == len(actions) + painter.right


def test_what_does_not_help_is_undone_and_counted(scripts: Any, opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    person, _ = scripts
    session, case = opened
    before = session.slices.mask()

    def spoil(index: int, boxes: Any) -> None:
        session.slices.put(session.slices.state(index).corrected_to(np.ones(before[0].shape)))

    def click(index: int, i: int, j: int, positive: bool) -> None:
        assert bool(case.planes()[index][j, i]) is positive

    monkeypatch.setattr(session, "segment_slice", spoil)
    monkeypatch.setattr(session, "add_click", click)
    worker = person.SimulatedPerson(session, case, person.MODES["all tools"])
    start = worker.dice
    actions = list(worker.work(3))
    assert actions
    assert all(action["undone"] and action["dice"] == round(start, 5) for action in actions)
    assert worker.actions == actions
    assert np.array_equal(session.slices.mask(), before)


def test_the_report_counts_steps_below_the_start(scripts: Any) -> None:
    _, report = scripts
    head = {"group": "validation", "case": "anna", "model": "liver/9.0.0", "refiner": None, "corrections": 1}

    def action(dice: float, wrong_px: int) -> dict[str, Any]:
        same = {"kind": "click", "undone": False, "seconds": 1.0, "cpu_seconds": 0.5}
        return {**same, "dice": dice, "wrong_px": wrong_px}

    row = {**head, "mode": "all tools", "most": 10, "start": {"dice": 0.9, "wrong_px": 100}, "looked": 4, "right": 1}
    old = {**row, "model": "liver/8.0.0", "actions": [action(0.99, 1)]}
    rows = report.last_rows([old, {**row, "actions": [action(0.89, 120), action(0.98, 20)]}])
    assert [one["model"] for one in rows] == ["liver/9.0.0"]
    assert report.steps(rows[0], "dice", 4) == [0.9, 0.89, 0.98, 0.98, 0.98]
    text = report.table(rows, 10)
    assert "least share of wrong voxels gone 80%, goal 40% (reached)" in text
    assert "below the start on the way: anna (not reached)" in text
