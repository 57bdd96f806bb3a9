"""Stand-in of qSlicerCoreIOManager: the loading and saving behind slicer.util, done by the real storage nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import vtk

from slicer_host.scene.scene_files import load_scene, save_scene

_TYPES = {
    "VolumeFile": (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".dcm"),
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr"),
    "ModelFile": (".vtk", ".stl", ".ply", ".obj"),
    "MarkupsFile": (".mrk.json", ".fcsv"),
    "SceneFile": (".mrml", ".mrb"),
    "TableFile": (".tsv", ".csv"),
    "TextFile": (".txt",),
    "TransformFile": (".h5", ".tfm"),
}
_NODE_OF = {"TableFile": "vtkMRMLTableNode", "TextFile": "vtkMRMLTextNode", "TransformFile": "vtkMRMLTransformNode"}


def _volume(path: str, name: str, properties: dict[str, Any], messages: Any) -> Any:
    # The bits of vtkSlicerVolumesLogic::LoadingOptions
    chosen = {1: "labelmap", 2: "center", 4: "singleFile", 16: "discardOrientation"}
    options = sum(bit for bit, option in chosen.items() if properties.get(option))
    if properties.get("autoWindowLevel", True):
        options |= 8
    files = vtk.vtkStringArray()
    for file in properties.get("fileNames", []):
        files.InsertNextValue(str(file))
    return slicer.modules.volumes.logic().AddArchetypeVolume(path, name, options, files)


def _segmentation(path: str, name: str, properties: dict[str, Any], messages: Any) -> Any:
    return slicer.modules.segmentations.logic().LoadSegmentationFromFile(path, False, name)


def _markups(path: str, name: str, properties: dict[str, Any], messages: Any) -> Any:
    ids = slicer.modules.markups.logic().LoadMarkups(path, name, messages)
    return slicer.mrmlScene.GetNodeByID(ids.split(",")[0]) if ids else None


def _model(path: str, name: str, properties: dict[str, Any], messages: Any) -> Any:
    return slicer.modules.models.logic().AddModel(path, slicer.vtkMRMLStorageNode.CoordinateSystemLPS)


_READERS: dict[str, Callable[[str, str, dict[str, Any], Any], Any]] = {
    "VolumeFile": _volume,
    "SegmentationFile": _segmentation,
    "MarkupsFile": _markups,
    "ModelFile": _model,
}


def _read_with_storage_node(file_type: str, path: str, name: str) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass(_NODE_OF[file_type], name)
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(path)
    if node.GetStorageNode().ReadData(node):
        return node
    slicer.mrmlScene.RemoveNode(node)
    return None


class IOManager:
    """Answers slicer.util.loadVolume, saveNode, saveScene and their like."""

    def fileType(self, path: str) -> str:
        """The kind of file, by the longest suffix that fits; "" for none."""
        fits = [
            (len(suffix), kind)
            for kind, suffixes in _TYPES.items()
            for suffix in suffixes
            if str(path).lower().endswith(suffix)
        ]
        return max(fits)[1] if fits else ""

    def fileWriterFileType(self, node: Any) -> str:
        """The kind of file that a node is written as; any word but "SceneFile" does here."""
        return "SceneFile" if node is None else node.GetClassName()

    def loadNodes(self, fileType: str, properties: dict[str, Any], nodes: Any = None, messages: Any = None) -> bool:
        """Read ``properties["fileName"]``, put the node into the collection ``nodes``, say whether it worked."""
        path = str(properties["fileName"])
        if fileType == "SceneFile":
            return load_scene(path, properties.get("clear", True))
        name = properties.get("name") or Path(path).name.split(".")[0]
        if fileType in _NODE_OF:
            node = _read_with_storage_node(fileType, path, name)
        else:
            node = _READERS[fileType](path, name, properties, messages)
        if node and nodes is not None:
            nodes.AddItem(node)
        return node is not None

    def saveNodes(self, fileType: str, properties: dict[str, Any], messages: Any = None) -> bool:
        """Write the node ``properties["nodeID"]``, or the scene, to ``properties["fileName"]``."""
        path = str(properties["fileName"])
        if fileType == "SceneFile":
            return save_scene(path)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if not node.GetStorageNode():
            node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        storage.SetUseCompression(bool(properties.get("useCompression", True)))
        return bool(storage.WriteData(node))
