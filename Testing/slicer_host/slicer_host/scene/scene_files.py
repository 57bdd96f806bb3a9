"""Scenes as files, written and read by MRML itself."""

from __future__ import annotations

import os

import slicer


def save_scene(path: str) -> bool:
    """Write the scene: ``.mrml`` for the scene alone, ``.mrb`` with the data, else a folder with both."""
    path = os.path.abspath(path)
    scene = slicer.mrmlScene
    if path.endswith(".mrml"):
        scene.SetURL(path)
        scene.SetRootDirectory(os.path.dirname(path))
        return bool(scene.Commit(path))
    if path.endswith(".mrb"):
        return bool(scene.WriteToMRB(path, None))
    return bool(scene.SaveSceneToSlicerDataBundleDirectory(path, None))


def save_in_dialog(path: str) -> list[str]:
    """Write a scene as a user does in the Save dialog: the data in files of their own, then the ``.mrml`` beside them.

    The dialog is Qt's; what it writes, and what it leaves out, is done here with the nodes themselves.

    Returns:
        The names of the nodes that were written.
    """
    scene, folder = slicer.mrmlScene, os.path.dirname(os.path.abspath(path))
    scene.SetRootDirectory(folder)
    written = []
    for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
        if node.GetHideFromEditors() or not node.GetSaveWithScene():
            continue
        if node.GetStorageNode() is None and not node.AddDefaultStorageNode():
            continue
        storage = node.GetStorageNode()
        if storage is None:
            continue
        extension = storage.GetDefaultWriteFileExtension() or "txt"
        storage.SetFileName(os.path.join(folder, f"{node.GetName()}.{extension}".replace(" ", "_")))
        if storage.WriteData(node):
            written.append(node.GetName())
    save_scene(path)
    return written


def load_scene(path: str, clear: bool = True) -> bool:
    """Read a ``.mrml`` or ``.mrb``, in place of what is in the scene or beside it."""
    path = os.path.abspath(path)
    scene = slicer.mrmlScene
    if path.endswith(".mrb"):
        return bool(scene.ReadFromMRB(path, clear, None))
    scene.SetURL(path)
    scene.SetRootDirectory(os.path.dirname(path))
    return bool(scene.Connect(None) if clear else scene.Import(None))
