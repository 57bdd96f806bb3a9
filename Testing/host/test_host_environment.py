"""Where the host cannot run, it says why in a sentence, and a crash of the driver stays in a process of its own."""

from __future__ import annotations

import os
import sys

import pytest
from slicer_host import environment

why_unavailable = environment.why_unavailable.__wrapped__


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "slicer_core", None)
    assert why_unavailable() == "slicer-core not installed: pip install --editable '.[dev]'"
    monkeypatch.setitem(sys.modules, "PySide6", None)
    assert why_unavailable().startswith("slicer-core and PySide6-Essentials not installed")


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        ("import os; os.abort()", "the process ended with -6"),
        ("raise ImportError('libEGL.so.1: cannot open shared object file')", "libEGL.so.1: cannot open shared object"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows numbers the end of a process in another way")
def test_a_driver_that_crashes_or_is_missing_is_reported(monkeypatch, app, probe, said):
    monkeypatch.setattr(environment, "_PROBE", probe)
    sentence = why_unavailable()
    assert said in sentence
    assert sentence.endswith("apt install libegl1 libgl1-mesa-dri")


def test_variables_that_the_user_has_set_stay(monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    environment.prepare()
    assert os.environ["QT_QPA_PLATFORM"] == "xcb"
