"""The report that a user sends when something fails: it says what the developers need, and nothing of a patient."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

PATIENT = "Smith^John"
FOLDER = "/data/clinic/Smith_John_19581231"


def copied(panel):
    import slicer

    panel.ui.aboutSection.collapsed = False
    panel.click("copyReportButton")
    return slicer.app.clipboard().text()


def test_the_report_names_versions_folders_and_what_computes(panel):
    import platform

    from slicer_host import mouse

    import sammix_core

    mouse.wait_until(lambda: not panel.logic.worker.busy, 60)
    report = copied(panel)
    assert f"SAMMix {sammix_core.__version__} in " in report
    assert "Slicer 5." in report
    assert platform.python_version() in report
    assert "torch 2" in report
    assert "CPU, " in report
    assert "liver/" in report
    assert report.endswith("last error: none")
    assert "Read it before you send it" in panel.status


def test_the_last_error_is_in_it_with_its_place_in_the_code(panel):
    log = logging.getLogger("SAMMixSlicerLib")
    try:
        raise RuntimeError("CUDA out of memory")
    except RuntimeError:
        log.exception("SAMMix: installation failed")
    report = copied(panel)
    assert "SAMMix: installation failed" in report
    assert "RuntimeError: CUDA out of memory" in report
    assert "slicer/test_module_diagnostics.py" in report.replace("\\", "/")


def test_nothing_of_a_patient_is_in_it(panel):
    import slicer

    ct = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.int16), name=f"CT {PATIENT}")
    panel.choose(ct)
    log = logging.getLogger("SAMMixSlicerLib")
    try:
        Path(f"{FOLDER}/ct.nrrd").read_bytes()
    except OSError:
        log.exception("SAMMix: %s cannot be read, series 20240115093000, patient id %s", ct.GetName(), "00471199")
    report = copied(panel)
    assert "FileNotFoundError" in report
    for secret in ("Smith", "John", "19581231", "20240115093000", "00471199", "/data/clinic"):
        assert secret not in report


def test_the_users_own_folder_is_shortened(panel, monkeypatch):
    from SAMMixSlicerLib.logic import diagnostics

    monkeypatch.setattr(Path, "home", lambda: Path("/home/someone"))
    assert diagnostics._shortened("/home/someone/Slicer/bin/PythonSlicer") == "~/Slicer/bin/PythonSlicer"
    assert diagnostics._shortened("/opt/Slicer") == "/opt/Slicer"


def test_a_panel_that_goes_leaves_no_listener_in_the_log(panel):
    log = logging.getLogger("SAMMixSlicerLib")
    before = len(log.handlers)
    panel.loaded.widget.cleanup()
    assert len(log.handlers) == before - 1
