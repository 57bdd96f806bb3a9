"""Saves a case in the scene: one scripted-module node for each volume, with references and JSON."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from sammix_core.boxes import Box, Click
from sammix_core.errors import InputError
from sammix_core.masks.packed_mask import PackedMask
from sammix_core.segmentation.slice_state import SliceScores, SliceState
from SAMMixSlicerLib.array_slices import sliceOf
from SAMMixSlicerLib.scene.packed_bits import bitsFromText, bitsToText

SCHEMA = "sammix-case/1"
_BOXES = ("boxes", "automatic_boxes", "deleted_boxes")
_MARK = "SAMMix.Case"
_STATES, _SEGMENT, _GUIDANCE = "SAMMix.States", "SAMMix.Segment", "SAMMix.Guidance"
VOLUME, SEGMENTATION, OVERLAY = "SAMMix.Volume", "SAMMix.Segmentation", "SAMMix.Overlay"
TABLE, CHART, STATISTICS = "SAMMix.Table", "SAMMix.Chart", "SAMMix.Statistics"


def caseNodes() -> list[Any]:
    """All case nodes of the scene."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
    return [node for node in nodes if node.GetAttribute(_MARK) == SCHEMA]


def newCaseNode(volumeNode: Any) -> Any:
    """Creates a case node for a volume."""
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
    node.UnRegister(None)
    node.SetName(f"SAMMix {volumeNode.GetName()}")
    node.SetHideFromEditors(True)
    node.SetAttribute("ModuleName", "SAMMixSlicer")
    node.SetAttribute(_MARK, SCHEMA)
    node = slicer.mrmlScene.AddNode(node)
    node.SetNodeReferenceID(VOLUME, volumeNode.GetID())
    return node


def segmentIdOf(node: Any) -> str:
    """ID of the case's segment, or ""."""
    return node.GetAttribute(_SEGMENT) or ""


def setSegmentId(node: Any, segmentId: str) -> None:
    """Sets the ID of the case's segment."""
    node.SetAttribute(_SEGMENT, segmentId)


def writeStates(node: Any, states: dict[int, SliceState], probabilities: dict[int, float], model: str) -> None:
    """Writes boxes with their sources, clicks, scores and corrected slices; the segment itself holds the masks."""
    entries = [_toJson(state) for _index, state in sorted(states.items())]
    document = {
        "schema": SCHEMA,
        "model": model,
        "probabilities": {str(index): value for index, value in sorted(probabilities.items())},
        "slices": entries,
    }
    text = json.dumps(document, allow_nan=False)
    if node.GetAttribute(_STATES) != text:
        node.SetAttribute(_STATES, text)


def readStates(node: Any) -> tuple[dict[int, SliceState], dict[int, float], str]:
    """Reads what `writeStates` wrote: states without masks, probabilities, and the model's name.

    Raises:
        InputError: The attribute is not in the format of this version.
    """
    text = node.GetAttribute(_STATES)
    if not text:
        return {}, {}, ""
    try:
        document = json.loads(text)
        if document["schema"] != SCHEMA:
            raise ValueError(document["schema"])
        states = [_fromJson(entry) for entry in document["slices"]]
        probabilities = {int(index): float(value) for index, value in document["probabilities"].items()}
        return {state.slice_index: state for state in states}, probabilities, str(document["model"])
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            _("The boxes saved for {name} cannot be read by this version ({error}). The mask is kept.").format(
                name=node.GetName(), error=error
            )
        ) from error


def writeGuidance(node: Any, guidance: bytes | None) -> None:
    """Saves the guidance in the case's node, so that later computations give the same masks as before saving.

    As an attribute, like the boxes: Slicer's Save dialog skips hidden nodes that have a file of their own, and a
    megabyte in the scene's XML takes only some 15 ms to load.

    Args:
        node: The case's node.
        guidance: The output of `SavedGuidance.to_bytes`; None changes nothing.
    """
    if guidance is None:
        return
    text = base64.b64encode(guidance).decode("ascii")
    if node.GetAttribute(_GUIDANCE) != text:
        node.SetAttribute(_GUIDANCE, text)


def readGuidance(node: Any) -> bytes | None:
    """Reads what `writeGuidance` wrote; None if it is missing or damaged."""
    try:
        return base64.b64decode(node.GetAttribute(_GUIDANCE) or "", validate=True) or None
    except ValueError:
        return None  # the next run computes it again


def withMasks(states: dict[int, SliceState], mask: np.ndarray, sliceAxis: str) -> dict[int, SliceState]:
    """Adds the slices of a mask to states.

    Args:
        states: From `readStates`, by slice index.
        mask: (k, j, i) uint8.
        sliceAxis: "i", "j" or "k".
    """
    merged = dict(states)
    for index in range(mask.shape["kji".index(sliceAxis)]):
        plane = sliceOf(mask, sliceAxis, index)
        if plane.any():
            merged[index] = replace(merged.get(index, SliceState(index)), mask=PackedMask.pack(plane))
    return merged


def _toJson(state: SliceState) -> dict[str, Any]:
    return {
        "slice_index": state.slice_index,
        **{name: [_boxToJson(box) for box in getattr(state, name)] for name in _BOXES},
        "deleted": state.deleted,
        **asdict(state.scores),
        "corrected": state.corrected,
        **_clicksToJson(state),
    }


def _fromJson(entry: dict[str, Any]) -> SliceState:
    entry = dict(entry)
    for name in _BOXES:
        entry[name] = tuple(Box(**box) for box in entry[name])
    scores = {field.name: entry.pop(field.name) for field in fields(SliceScores)}
    scores["mask_scores"] = tuple(scores["mask_scores"])
    unclicked = entry.pop("unclicked", None)
    entry["clicks"] = tuple(Click(**click) for click in entry.get("clicks", []))
    return SliceState(
        mask=None, scores=SliceScores(**scores), unclicked=None if unclicked is None else _unpacked(unclicked), **entry
    )


def _clicksToJson(state: SliceState) -> dict[str, Any]:
    """The clicks and the mask without them; nothing for a slice without clicks, which older versions can read, too."""
    if not state.clicks:
        return {}
    mask = state.unclicked
    packed = None if mask is None else {"shape": list(mask.shape), "bits": bitsToText(mask.bits)}
    return {"clicks": [asdict(click) for click in state.clicks], "unclicked": packed}


def _unpacked(entry: dict[str, Any]) -> PackedMask:
    rows, cols = (int(size) for size in entry["shape"])
    return PackedMask((rows, cols), bitsFromText(entry["bits"], (rows, cols)))


def _boxToJson(box: Box) -> dict[str, Any]:
    return {**asdict(box), "source": box.source.value}
