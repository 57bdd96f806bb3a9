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


def load_scene(path: str, clear: bool = True) -> bool:
    """Read a ``.mrml`` or ``.mrb``, in place of what is in the scene or beside it."""
    path = os.path.abspath(path)
    scene = slicer.mrmlScene
    if path.endswith(".mrb"):
        return bool(scene.ReadFromMRB(path, clear, None))
    scene.SetURL(path)
    scene.SetRootDirectory(os.path.dirname(path))
    return bool(scene.Connect(None) if clear else scene.Import(None))
