"""Items of the subject hierarchy, made and removed with their nodes.

In Slicer this is the work of qSlicerSubjectHierarchyPluginLogic, which needs Qt; the hierarchy itself is MRML's own.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

# class: the plugin that owns its items. Nodes of other classes get no item here.
_OWNERS = {
    "vtkMRMLLabelMapVolumeNode": "LabelMaps",
    "vtkMRMLScalarVolumeNode": "Volumes",
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLMarkupsNode": "Markups",
    "vtkMRMLModelNode": "Models",
    "vtkMRMLTransformNode": "Transforms",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLPlotChartNode": "Charts",
    "vtkMRMLPlotSeriesNode": "PlotSeries",
}


def _owner(node: Any) -> str | None:
    if node.GetHideFromEditors():
        return None
    return next((owner for class_name, owner in _OWNERS.items() if node.IsA(class_name)), None)


class SubjectHierarchyItems:
    """Keeps one item for each node that a user sees in the Data module.

    Args:
        scene: the scene to observe.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        scene.AddObserver(scene.NodeAddedEvent, self._added)
        scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._removed)
        scene.AddObserver(scene.EndImportEvent, self._imported)

    def _hierarchy(self) -> Any:
        return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)

    def _create(self, hierarchy: Any, node: Any) -> None:
        owner = _owner(node)
        if owner is None or hierarchy.GetItemByDataNode(node) != hierarchy.GetInvalidItemID():
            return
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
        hierarchy.SetItemOwnerPluginName(item, owner)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _added(self, caller: Any, event: str, node: Any) -> None:
        if not self._scene.IsImporting():
            self._create(self._hierarchy(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _removed(self, caller: Any, event: str, node: Any) -> None:
        if self._scene.IsClosing():
            return
        hierarchy = self._hierarchy()
        item = hierarchy.GetItemByDataNode(node)
        if item != hierarchy.GetInvalidItemID():
            hierarchy.RemoveItem(item, False, False)

    def _imported(self, *_: Any) -> None:
        """A scene from a file brings its hierarchy along; nodes that it lacks get their items now."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self._scene)
        if hierarchy is None:
            hierarchy = self._hierarchy()
        for index in range(self._scene.GetNumberOfNodes()):
            self._create(hierarchy, self._scene.GetNthNode(index))
