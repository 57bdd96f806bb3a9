"""*File…* as DICOM SEG: offered for a CT that Slicer loaded from DICOM, written on its images, refused with a reason.

The DICOM database is a stand-in; the files, the worker and the written SEG are real.
"""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_checks import dicom_errors
from dicom_files import SPACING_COLS, SPACING_ROWS, write_series
from synthetic_ct import synthetic_ct

CT = np.clip(synthetic_ct((6, 60, 70)), -1024, 3071)


@pytest.fixture
def database(app, monkeypatch):
    """The files of Slicer's DICOM database by their UID."""
    import slicer

    monkeypatch.setattr(slicer.app.dicomDatabase(), "files", {})
    return slicer.app.dicomDatabase().files


def a_ct(folder, database=None, crop=0):
    """A CT node as Slicer's DICOM module makes it of a series; of a cropped one it keeps the attribute."""
    import slicer

    paths = write_series(folder, CT)
    uids = [str(pydicom.dcmread(path).SOPInstanceUID) for path in paths]
    grid = np.diag([-SPACING_COLS, -SPACING_ROWS, 2.5, 1.0])
    grid[:3, 3] = 100.0, 120.0, 2.5 * crop
    node = slicer.util.addVolumeFromArray(np.ascontiguousarray(CT[crop:]), ijkToRAS=grid, name="ct")
    if database is not None:
        database.update(zip(uids, map(str, paths), strict=True))
        node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    return node


def save(panel, path):
    """Presses *File…* and names a file; returns the formats that the dialog offered."""
    offered = []
    panel.loaded.widget.dialogs.fileToSave = lambda _title, _name, formats: offered.append(formats) or str(path)
    panel.click("fileButton")
    panel.wait(120)
    return offered[0]


def test_a_mask_is_saved_in_the_study_of_its_ct(panel, database, tmp_path):
    node = a_ct(tmp_path / "ct", database)
    panel.draw(node, 2)
    assert "(*.dcm)" in save(panel, tmp_path / "liver.dcm")
    assert panel.status == "Wrote liver.dcm."
    seg = pydicom.dcmread(tmp_path / "liver.dcm")
    (frame,) = [seg.pixel_array] if seg.pixel_array.ndim == 2 else list(seg.pixel_array)
    np.testing.assert_array_equal(frame, panel.mask()[2])
    (group,) = seg.PerFrameFunctionalGroupsSequence
    assert group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.4001.3"
    assert (seg.PatientID, seg.StudyInstanceUID) == ("4711", "1.2.3")
    assert seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    assert dicom_errors(tmp_path / "liver.dcm") == []


def test_edited_boxes_make_it_semiautomatic(panel, database, tmp_path):
    from dataclasses import replace

    from sammix_core.boxes import BoxSource

    node = a_ct(tmp_path / "ct", database)
    box = panel.draw(node, 2)
    state = panel.case.state(2)
    panel.case.setStates([replace(state, boxes=(replace(box, source=BoxSource.EDITED),))])
    save(panel, tmp_path / "liver.dcm")
    seg = pydicom.dcmread(tmp_path / "liver.dcm")
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"


def test_another_ct_has_no_dicom_and_the_panel_says_why(panel, tmp_path):
    panel.draw(a_ct(tmp_path / "ct"), 2)
    assert "dcm" not in save(panel, tmp_path / "liver.dcm")
    assert panel.status.startswith("ct was not loaded from Slicer's DICOM database")
    assert "was not loaded from Slicer's DICOM database" in panel.ui.fileButton.toolTip
    assert not (tmp_path / "liver.dcm").exists()


def test_images_that_left_the_database_are_said(panel, database, tmp_path):
    panel.draw(a_ct(tmp_path / "ct", database), 2)
    del database["1.2.3.4001.4"], database["1.2.3.4001.5"]
    save(panel, tmp_path / "liver.dcm")
    assert panel.status.startswith("2 of the 6 images of ct are no longer in Slicer's DICOM database")
    assert not (tmp_path / "liver.dcm").exists()


def test_a_cropped_ct_is_refused(panel, database, tmp_path):
    panel.draw(a_ct(tmp_path / "ct", database, crop=1), 2)
    save(panel, tmp_path / "liver.dcm")
    assert "no longer has the slices of its DICOM series" in panel.status
    assert not (tmp_path / "liver.dcm").exists()


def test_without_highdicom_the_user_is_asked(panel, database, tmp_path, monkeypatch):
    panel.draw(a_ct(tmp_path / "ct", database), 2)
    install, asked = panel.logic.install, []
    monkeypatch.setattr(install, "dicomQuestion", lambda: "Install it?")
    monkeypatch.setattr(install, "installDicom", lambda: asked.append("installed") or "highdicom is installed.")
    panel.loaded.widget.dialogs.confirm = lambda question: asked.append(question) or len(asked) > 1
    save(panel, tmp_path / "liver.dcm")
    assert asked == ["Install it?"]
    save(panel, tmp_path / "liver.dcm")
    assert asked == ["Install it?", "Install it?", "installed"]
    assert panel.status == "highdicom is installed."
    assert not (tmp_path / "liver.dcm").exists()
