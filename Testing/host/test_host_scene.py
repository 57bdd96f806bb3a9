"""The scene of the host: files, terminology, subject hierarchy, as Slicer's own libraries do them."""

from __future__ import annotations

import numpy as np
import pytest

GENERAL_ANATOMY = "Segmentation category and type - 3D Slicer General Anatomy list"
DICOM_MASTER = "Segmentation category and type - DICOM master list"


@pytest.fixture
def ct(scene):
    import slicer

    oblique = np.array([[-0.8, 0.0, 0.3, 10.0], [0.0, -0.9, 0.0, 20.0], [0.1, 0.0, 2.4, -30.0], [0, 0, 0, 1]])
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    return slicer.util.addVolumeFromArray(array, ijkToRAS=oblique, name="ct")


@pytest.fixture
def segmentation(ct, scene):
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "result")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    node.GetSegmentation().AddEmptySegment("liver", "Liver")
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1:3, 2:4, 1:5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, "liver", ct)
    return node


def test_a_scene_is_restored_from_its_bundle(ct, segmentation, scene, tmp_path):
    import slicer

    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "liver", ct)
    assert mask.sum() == 2 * 2 * 4
    assert slicer.util.saveScene(str(tmp_path / "case.mrb"))
    scene.Clear(False)
    assert slicer.util.getNodes("ct") == {}
    slicer.util.loadScene(str(tmp_path / "case.mrb"))
    volume, result = slicer.util.getNode("ct"), slicer.util.getNode("result")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume).ravel(), np.arange(120))
    np.testing.assert_array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(result, "liver", volume), mask)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_volume_is_restored_from_a_file_with_its_geometry(ct, suffix, tmp_path):
    import slicer
    import vtk

    path = str(tmp_path / f"ct{suffix}")
    assert slicer.util.saveNode(ct, path)
    again = slicer.util.loadVolume(path)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(again), slicer.util.arrayFromVolume(ct))
    matrices = []
    for node in (ct, again):
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        matrices.append(slicer.util.arrayFromVTKMatrix(matrix))
    # The columns of the matrix above are not at right angles, which NIfTI's and ITK's readers straighten a little.
    np.testing.assert_allclose(matrices[1], matrices[0], atol=0.25)


def test_a_missing_file_is_an_error(app):
    import slicer

    with pytest.raises(RuntimeError, match=r"no_such\.seg\.nrrd"):
        slicer.util.loadSegmentation("no_such.seg.nrrd")


def test_liver_is_in_the_terminologies(app):
    import slicer

    entry = slicer.vtkSlicerTerminologyEntry()
    logic = slicer.modules.terminologies.logic()
    assert logic.FindTypeInTerminologyBy3dSlicerLabel(GENERAL_ANATOMY, "liver", entry)
    assert entry.GetTypeObject().GetCodeValue() == "10200004"
    assert list(entry.GetTypeObject().GetRecommendedDisplayRGBValue()) == [221, 130, 101]


def test_lesion_is_in_no_list_of_slicer_and_keeps_its_codes(app):
    import slicer

    from sammix_core.lesions.segments import lesion_segment

    logic, entry = slicer.modules.terminologies.logic(), slicer.vtkSlicerTerminologyEntry()
    assert logic.FindTypeInTerminologyBy3dSlicerLabel(GENERAL_ANATOMY, "mass", entry)
    assert entry.GetTypeObject().GetCodeValue() == "4147007"
    for name in (GENERAL_ANATOMY, DICOM_MASTER):
        assert not logic.FindTypeInTerminologyBy3dSlicerLabel(name, "lesion", slicer.vtkSlicerTerminologyEntry())

    assert logic.DeserializeTerminologyEntry(lesion_segment(2).terminology_entry, entry)
    assert entry.GetTerminologyContextName() not in (GENERAL_ANATOMY, DICOM_MASTER)
    assert entry.GetTypeObject().GetCodeValue() == "52988006"
    assert entry.GetRegionObject().GetCodeValue() == "10200004"


def test_nodes_have_items_in_the_subject_hierarchy_as_long_as_they_live(ct, segmentation, scene, tmp_path):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    items = [hierarchy.GetItemByDataNode(node) for node in (ct, segmentation)]
    assert hierarchy.GetInvalidItemID() not in items
    assert [hierarchy.GetItemOwnerPluginName(item) for item in items] == ["Volumes", "Segmentations"]
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    for item in items:
        hierarchy.SetItemParent(item, study)
    scene.RemoveNode(segmentation)
    assert hierarchy.GetItemDataNode(items[1]) is None
    assert hierarchy.GetNumberOfItemChildren(study) == 1
    slicer.util.saveScene(str(tmp_path / "case.mrb"))
    slicer.util.loadScene(str(tmp_path / "case.mrb"))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(slicer.util.getNode("ct"))
    assert hierarchy.GetItemName(hierarchy.GetItemParent(item)) == "study"


def test_the_version_is_that_of_slicer_core(app):
    from importlib.metadata import version

    assert version("slicer-core").startswith(f"{app.majorVersion}.{app.minorVersion}.")
