"""The organs that SAMMix knows: how each is named, coded, coloured, segmented and offered in the panel.

The one place to add an organ; see docs/adding-an-organ.md. Plain data: importing this needs nothing to be installed.
"""

from __future__ import annotations

from dataclasses import dataclass

ColorRgb = tuple[int, int, int]


@dataclass(frozen=True)
class Organ:
    """One organ.

    Attributes:
        name: The target in manifests, reports, on the command line and on the panel's button: "Segment liver".
        snomed_code: SNOMED CT code of its type.
        snomed_meaning: The code's meaning in English.
        color: Red, green, blue from 0 to 255, as in Slicer's General Anatomy list.
        model: The name of the shipped model that segments it, or None where there is none.
    """

    name: str
    snomed_code: str
    snomed_meaning: str
    color: ColorRgb
    model: str | None = None

    @property
    def title(self) -> str:
        """The name that the panel lists: "Liver"."""
        return self.name[:1].upper() + self.name[1:]


_ORGANS = (
    Organ("liver", "10200004", "Liver", (221, 130, 101), model="liver"),
    Organ("spleen", "78961009", "Spleen", (157, 108, 162)),
    Organ("kidney", "64033007", "Kidney", (185, 102, 83)),
    Organ("pancreas", "15776009", "Pancreas", (249, 180, 111)),
    Organ("gallbladder", "28231008", "Gallbladder", (139, 150, 98)),
    Organ("stomach", "69695003", "Stomach", (216, 132, 105)),
    Organ("duodenum", "38848004", "Duodenum", (255, 253, 229)),
    Organ("heart", "80891009", "Heart", (206, 110, 84)),
    Organ("lung", "39607008", "Lung", (197, 165, 145)),
    Organ("aorta", "15825003", "Aorta", (224, 97, 76)),
    Organ("urinary bladder", "89837001", "Urinary bladder", (222, 154, 132)),
    Organ("adrenal gland", "23451007", "Adrenal gland", (249, 186, 150)),
    Organ("prostate", "41216001", "Prostate", (230, 158, 140)),
)

SIDES = ("right", "left")
ORGANS = {organ.name: organ for organ in _ORGANS}

LIVER = ORGANS["liver"]  # the organ whose lesions are searched
DEFAULT_ORGAN = LIVER
DEFAULT_MODEL = DEFAULT_ORGAN.model or DEFAULT_ORGAN.name


def find_organ(target: str) -> Organ | None:
    """The organ of a model's target, or None for a target that is not listed.

    Args:
        target: "liver" or "right kidney"; case, hyphens, underscores and the place of the side do not matter.

    Example:
        >>> find_organ("Kidney_left").name
        'kidney'
        >>> find_organ("hydatid cyst") is None
        True
    """
    return ORGANS.get(" ".join(word for word in target_words(target) if word not in SIDES))


def target_words(target: str) -> list[str]:
    """The words of a target in lower case.

    >>> target_words("Right-Kidney")
    ['right', 'kidney']
    """
    return target.lower().replace("_", " ").replace("-", " ").split()
