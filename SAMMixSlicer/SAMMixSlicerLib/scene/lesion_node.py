"""Saves a case's lesions and their masks in the scene: JSON in the case node."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from slicer.i18n import tr as _

from sammix_core.errors import InputError
from sammix_core.lesions.lesion import Lesion
from sammix_core.lesions.state import LesionClick, LesionState, LesionStatus
from sammix_core.masks.packed_mask import BoxedMask
from SAMMixSlicerLib.scene.packed_bits import bitsFromText, bitsToText

SCHEMA = "sammix-case-lesions/1"
_LESIONS = "SAMMix.Lesions"


def writeLesions(node: Any, states: Mapping[int, LesionState], segmentIds: Mapping[int, str]) -> None:
    """Writes lesions and the IDs of their segments.

    Args:
        node: The case node.
        states: By number.
        segmentIds: By number; rejected lesions have none.
    """
    entries = [{**_toJson(state), "segment": segmentIds.get(number, "")} for number, state in sorted(states.items())]
    text = json.dumps({"schema": SCHEMA, "lesions": entries}, allow_nan=False) if entries else None
    if node.GetAttribute(_LESIONS) != text:
        node.SetAttribute(_LESIONS, text)


def readLesions(node: Any) -> tuple[dict[int, LesionState], dict[int, str]]:
    """Reads what `writeLesions` wrote.

    Raises:
        InputError: The attribute is not in the format of this version.
    """
    text = node.GetAttribute(_LESIONS)
    if not text:
        return {}, {}
    try:
        document = json.loads(text)
        if document["schema"] != SCHEMA:
            raise ValueError(document["schema"])
        states = [_fromJson(entry) for entry in document["lesions"]]
        ids = {int(entry["number"]): str(entry["segment"]) for entry in document["lesions"] if entry["segment"]}
        return {state.number: state for state in states}, ids
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            _("The lesions saved for {name} cannot be read by this version ({error}). Their segments are kept.").format(
                name=node.GetName(), error=error
            )
        ) from error


def _toJson(state: LesionState) -> dict[str, Any]:
    return {
        "number": state.number,
        "status": state.status.value,
        "mask": _packed(state.mask),
        "start": None if state.start is None else _packed(state.start),
        "clicks": [{"ijk": list(click.ijk), "inside": click.inside} for click in state.clicks],
        "figures": None if state.figures is None else asdict(state.figures),
    }


def _fromJson(entry: dict[str, Any]) -> LesionState:
    figures = entry["figures"]
    if figures is not None:
        ends = figures["diameter_ends_ijk"]
        figures = Lesion(
            **{
                **figures,
                "diameter_ends_ijk": None if ends is None else tuple(tuple(end) for end in ends),
                "centre_ijk": tuple(figures["centre_ijk"]),
            }
        )
    return LesionState(
        number=int(entry["number"]),
        status=LesionStatus(entry["status"]),
        mask=_unpacked(entry["mask"]),
        start=None if entry["start"] is None else _unpacked(entry["start"]),
        clicks=tuple(LesionClick(_triple(click["ijk"]), bool(click["inside"])) for click in entry["clicks"]),
        figures=figures,
    )


def _packed(mask: BoxedMask) -> dict[str, Any]:
    return {"start": list(mask.start), "shape": list(mask.shape), "bits": bitsToText(mask.bits)}


def _unpacked(entry: dict[str, Any]) -> BoxedMask:
    start, shape = _triple(entry["start"]), _triple(entry["shape"])
    if min(start) < 0:
        raise ValueError("a mask lies outside the volume")
    return BoxedMask(start, shape, bitsFromText(entry["bits"], shape))


def _triple(values: list[Any]) -> tuple[int, int, int]:
    first, second, third = (int(value) for value in values)
    return first, second, third
