"""What a label means, in the words that 3D Slicer and DICOM use."""

from __future__ import annotations

from dataclasses import dataclass

from sammix_core.model_store.organs import DEFAULT_ORGAN, SIDES, Organ, find_organ, target_words


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


SLICER_LIST = "Segmentation category and type - 3D Slicer General Anatomy list"


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
        modifier: The coded modifier of the type, such as a side, or None.
        region: The coded region of the body that it lies in, or None.
        context: The list that has category and type; by default the one that Slicer offers.

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
    modifier: Code | None = None
    region: Code | None = None
    context: str = SLICER_LIST

    @property
    def terminology_entry(self) -> str:
        """The entry as Slicer serialises it: context, category, type, modifier, then context, region, modifier."""
        modifier = "^^" if self.modifier is None else str(self.modifier)
        region = "^^" if self.region is None else str(self.region)
        return f"{self.context}~{self.category}~{self.type}~{modifier}~Anatomic codes - DICOM master list~{region}~^^"


_ANATOMY = Code("SCT", "123037004", "Anatomical Structure")
_TISSUE = Code("SCT", "85756007", "Tissue")
_TISSUE_COLOR = (128, 174, 128)
_SIDES = {"right": Code("SCT", "24028007", "Right"), "left": Code("SCT", "7771000", "Left")}


def segment_of(target: str) -> Segment:
    """The segment of a model's target: with its SNOMED codes where they are known, as tissue otherwise.

    Args:
        target: What a model segments, such as "liver" or "right kidney"; case and the place of the side do not matter.

    Example:
        >>> segment_of("right kidney").terminology_entry.split("~")[2:4]
        ['SCT^64033007^Kidney', 'SCT^24028007^Right']
        >>> segment_of("hydatid cyst").type.meaning
        'Tissue'
    """
    organ, words = find_organ(target), target_words(target)
    if organ is None:
        return Segment("Segment_1", target, _shares(_TISSUE_COLOR), _TISSUE, _TISSUE)
    side = next((_SIDES[word] for word in words if word in SIDES), None)
    return _segment(organ, organ.name if words == [DEFAULT_ORGAN.name] else target, side)


def _segment(organ: Organ, name: str, side: Code | None = None) -> Segment:
    code = Code("SCT", organ.snomed_code, organ.snomed_meaning)
    return Segment("Segment_1", name, _shares(organ.color), _ANATOMY, code, modifier=side)


def _shares(color: tuple[int, int, int]) -> tuple[float, float, float]:
    return color[0] / 255, color[1] / 255, color[2] / 255


LIVER = _segment(DEFAULT_ORGAN, DEFAULT_ORGAN.name)
