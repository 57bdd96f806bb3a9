"""What a label means, in the words that 3D Slicer and DICOM use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A coded concept of a terminology.

    Attributes:
        scheme: The coding scheme's designator: "SCT" is SNOMED CT.
        value: The code.
        meaning: The code's meaning in English.
    """

    scheme: str
    value: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.scheme}^{self.value}^{self.meaning}"


@dataclass(frozen=True)
class Segment:
    """One segment of a segmentation.

    Attributes:
        identifier: Unique within the segmentation.
        name: What users see.
        color: Red, green, blue in [0, 1].
        category: The coded category.
        type: The coded type.
        label_value: The value of its voxels.

    Example:
        >>> LIVER.terminology_entry.split("~")[1:3]
        ['SCT^123037004^Anatomical Structure', 'SCT^10200004^Liver']
    """

    identifier: str
    name: str
    color: tuple[float, float, float]
    category: Code
    type: Code
    label_value: int = 1

    @property
    def terminology_entry(self) -> str:
        """The entry as Slicer serialises it: context, category, type, modifier, then context, region, modifier."""
        context = "Segmentation category and type - 3D Slicer General Anatomy list"
        return f"{context}~{self.category}~{self.type}~^^~Anatomic codes - DICOM master list~^^~^^"


# The colour that Slicer's General Anatomy list gives the liver: 221, 130, 101.
LIVER = Segment(
    identifier="Segment_1",
    name="liver",
    color=(221 / 255, 130 / 255, 101 / 255),
    category=Code("SCT", "123037004", "Anatomical Structure"),
    type=Code("SCT", "10200004", "Liver"),
)
