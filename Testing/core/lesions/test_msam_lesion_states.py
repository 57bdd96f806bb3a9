"""Lesions in work: masks in their boxes, clicks on a candidate, the table as CSV, and what may be imported anywhere."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from liver_with_lesions import MIDDLE, OTHER, SHAPE, a_ct, a_liver, ball, dice, ijk

from sammix_core.errors import Cancelled
from sammix_core.lesions.candidates import candidates_in, lesion_candidates
from sammix_core.lesions.components import lesion_components
from sammix_core.lesions.density import LiverDensity
from sammix_core.lesions.growing import Grower, GrownLesion, deepest_voxel
from sammix_core.lesions.lesion import csv_table, report
from sammix_core.lesions.measure import measure_lesion, measure_lesions
from sammix_core.masks.packed_mask import BoxedMask


def test_a_mask_in_its_box_is_the_mask() -> None:
    lesion, other = ball(MIDDLE, 5), ball((12, 20, 22), 4)
    one, two = BoxedMask.pack(lesion), BoxedMask.pack(other)
    np.testing.assert_array_equal(one.on(SHAPE), lesion)
    assert ijk(MIDDLE) in one
    assert (MIDDLE[2] + 6, MIDDLE[1], MIDDLE[0]) not in one
    assert (0, 0, 0) not in one
    assert one.meets(two) == int((lesion & other).sum()) > 0
    np.testing.assert_array_equal(one.without(two).on(SHAPE), lesion & ~other)
    assert one.meets(BoxedMask.pack(ball(OTHER, 3))) == 0
    assert one.without(BoxedMask.pack(ball(OTHER, 3))) is one
    assert BoxedMask.pack(ball(MIDDLE, 2)).without(one) is None
    part = BoxedMask.pack(lesion[5:, :, 3:], (5, 0, 3))
    assert part == one
    with pytest.raises(ValueError, match="empty"):
        BoxedMask.pack(np.zeros(SHAPE))


def test_clicks_grow_a_candidate_and_take_from_it() -> None:
    both = ball(MIDDLE, 5) | ball(OTHER, 4)
    grower = Grower(LiverDensity(a_ct(both), a_liver()))
    start = BoxedMask.pack(ball(MIDDLE, 5))
    assert deepest_voxel(start) == ijk(MIDDLE)
    assert dice(grower.grow([ijk(OTHER)], start=start), both) > 0.9
    edge = (MIDDLE[2] - 5, MIDDLE[1], MIDDLE[0])
    taken = grower.grow([], [edge], start)
    assert not (taken & ~start.on(SHAPE)).any()
    assert 5 < (start.on(SHAPE) & ~taken).sum() < 0.2 * start.on(SHAPE).sum()


def test_a_click_that_was_made_before_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from sammix_core.lesions import growing

    calls = []
    real = growing._region_at
    monkeypatch.setattr(growing, "_region_at", lambda density, place: calls.append(place) or real(density, place))
    both = ball(MIDDLE, 5) | ball(OTHER, 4)
    lesion = GrownLesion(LiverDensity(a_ct(both), a_liver()))
    lesion.click(ijk(MIDDLE))
    lesion.click(ijk(OTHER))
    lesion.click((8, 8, 8), inside=False)
    assert len(calls) == 2


def test_candidates_tell_how_far_they_are_and_can_be_stopped() -> None:
    volume, liver = a_ct(ball(MIDDLE, 5)), a_liver()
    told = []
    found = candidates_in(LiverDensity(volume, liver), told.append)
    np.testing.assert_array_equal(found, lesion_candidates(volume, liver))
    assert [one.done for one in told] == list(range(5))
    with pytest.raises(Cancelled):
        candidates_in(LiverDensity(volume, liver), cancel=lambda: True)


def test_a_lesion_alone_is_measured_as_among_others_and_written_as_csv() -> None:
    volume = a_ct(ball(MIDDLE, 5) | ball(OTHER, 4), spacing=(0.8, 0.7, 2.0))
    table = measure_lesions(volume, lesion_components(volume, ball(MIDDLE, 5) | ball(OTHER, 4)))
    assert measure_lesion(volume, BoxedMask.pack(ball(OTHER, 4)), 2) == table[1]
    rows = list(csv.DictReader(io.StringIO(csv_table(table))))
    assert [row["name"] for row in rows] == ["Lesion 1", "Lesion 2"]
    assert [int(row["label"]) for row in rows] == [2, 3]
    assert float(rows[1]["volume_ml"]) == pytest.approx(int(ball(OTHER, 4).sum()) * 0.8 * 0.7 * 2 / 1000)
    assert float(rows[0]["longest_axial_mm"]) == table[0].longest_axial_mm


def test_the_page_on_the_format_has_every_field() -> None:
    page = (Path(__file__).parents[3] / "docs" / "formats" / "lesions.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\w*\n(.*?)```", page, re.DOTALL)
    volume = a_ct(ball(MIDDLE, 5), spacing=(0.8, 0.7, 2.0))
    table = measure_lesions(volume, lesion_components(volume, ball(MIDDLE, 5)))
    shown, written = json.loads(blocks[0]), report(table)
    assert shown.keys() == written.keys()
    assert shown["schema"] == written["schema"]
    assert shown["lesions"][0].keys() == written["lesions"][0].keys()
    assert blocks[1].splitlines()[0] == csv_table(table).splitlines()[0]


def test_what_the_panel_knows_of_lesions_needs_nothing_to_be_installed() -> None:
    names = ("masks.packed_mask", "lesions.lesion", "lesions.segments", "lesions.state")
    code = "; ".join(f"import sammix_core.{name}" for name in names)
    code += "; import sys; print([name for name in ('scipy', 'torch', 'SimpleITK') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"
