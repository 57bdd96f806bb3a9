"""Thresholds and padding are calibrated on what heads without the patient find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from training_views import Sees, a_view

from sammix_core.guidance.boxes_from_cam import BoxSettings
from sammix_core.training.calibrate import calibrate_boxes, label_box


def test_padding_is_the_median_miss_of_each_edge() -> None:
    """The map's square ends at (40, 80) to (120, 160); the label's is (100, 60) to (188, 148) on all slices."""
    view = a_view("a", "clean", [88, 88, 88])
    view.embeddings[:] = 0
    found = calibrate_boxes([view], {"a": Sees()}, BoxSettings(smooth_mm=3.0))  # type: ignore[dict-item]
    assert found.padding == pytest.approx((-60, 20, 68, -12), abs=1.01)
    assert found.smooth_mm == 3.0
    assert found.threshold in (-1.0, -0.5, 0.0, 0.5, 1.0)


def test_where_nothing_is_found_the_settings_stay() -> None:
    start = BoxSettings(padding=(1.0, 2.0, 3.0, 4.0))
    found = calibrate_boxes([a_view("a", "clean", [40])], {"a": Sees(False)}, start)  # type: ignore[dict-item]
    assert found.padding == start.padding


def test_augmented_views_do_not_calibrate() -> None:
    views = [a_view("a", "clean", [88]), a_view("a", "view-00", [10] * 20)]
    both = calibrate_boxes(views, {"a": Sees()}, BoxSettings())  # type: ignore[dict-item]
    assert both == calibrate_boxes(views[:1], {"a": Sees()}, BoxSettings())  # type: ignore[dict-item]


def test_the_box_of_a_label() -> None:
    share = np.zeros((256, 256), np.uint8)
    assert label_box(share) is None
    share[10:20, 30:50] = 255
    share[9, 30:50] = 120  # less than half of these pixels
    assert label_box(share) == (30, 10, 50, 20)


def test_settings_are_only_changed_where_calibrated() -> None:
    view = a_view("a", "clean", [88])
    start = BoxSettings(probability_low=0.2, component_share=0.1, smooth_box_mm=4.0)
    found = calibrate_boxes([view], {"a": Sees()}, start)  # type: ignore[dict-item]
    assert replace(found, threshold=start.threshold, padding=start.padding) == start
