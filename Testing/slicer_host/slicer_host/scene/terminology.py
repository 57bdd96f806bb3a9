"""The terminologies that Slicer loads when it starts, as far as segments of the liver use them.

slicer-core carries none. These are written afresh in the published format, with the codes of SNOMED CT and the colours
that Slicer recommends for them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def _code(value: str, meaning: str, **more: Any) -> dict[str, Any]:
    return {"CodingSchemeDesignator": "SCT", "CodeValue": value, "CodeMeaning": meaning, **more}


_CATEGORIES = [
    _code(
        "85756007",
        "Tissue",
        showAnatomy=True,
        Type=[_code("85756007", "Tissue", recommendedDisplayRGBValue=[128, 174, 128])],
    ),
    _code(
        "123037004",
        "Anatomical Structure",
        showAnatomy=False,
        Type=[
            _code("10200004", "Liver", recommendedDisplayRGBValue=[221, 130, 101], **{"3dSlicerLabel": "liver"}),
        ],
    ),
    _code(
        "49755003",
        "Morphologically Altered Structure",
        showAnatomy=True,
        Type=[_code("4147007", "Mass", recommendedDisplayRGBValue=[144, 238, 144], **{"3dSlicerLabel": "mass"})],
    ),
]

_SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/{}-context-schema.json#"


def _segments(name: str) -> dict[str, Any]:
    return {
        "SegmentationCategoryTypeContextName": name,
        "@schema": _SCHEMA.format("segment"),
        "SegmentationCodes": {"Category": _CATEGORIES},
    }


# By the file names that vtkSlicerTerminologiesModuleLogic asks for
_FILES = {
    "SegmentationCategoryTypeModifier-SlicerGeneralAnatomy": _segments(
        "Segmentation category and type - 3D Slicer General Anatomy list"
    ),
    "SegmentationCategoryTypeModifier-DICOM-Master": _segments("Segmentation category and type - DICOM master list"),
    "AnatomicRegionAndModifier-DICOM-Master": {
        "AnatomicContextName": "Anatomic codes - DICOM master list",
        "@schema": _SCHEMA.format("anatomic"),
        "AnatomicCodes": {"AnatomicRegion": [_code("10200004", "Liver")]},
    },
}


def write_terminologies(folder: Path) -> None:
    """Write the files into a folder, for ``SetModuleShareDirectory``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _FILES.items():
        (folder / f"{name}.term.json").write_text(json.dumps(content), encoding="utf-8")
