"""Weights that others have published and SAMMix can fetch: their addresses, sizes and SHA-256.

docs/decisions/fetched-weights.md says how each figure was checked.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ThirdPartyWeights:
    """A file of published weights.

    Attributes:
        name: What `sammix models fetch` and manifests call it.
        title: What people call it.
        architecture: Of segment-anything: "vit_b", "vit_l" or "vit_h".
        address: The authors' download address.
        size: Bytes of the file.
        sha256: Its SHA-256.
        licence: The authors' licence.
        single_mask: Whether it was trained with SAM's single-mask token alone.
        standardised: Whether its images were standardised by SAM's mean and deviation; otherwise they lie in [0, 1].
    """

    name: str
    title: str
    architecture: str
    address: str
    size: int
    sha256: str
    licence: str
    single_mask: bool = False
    standardised: bool = True

    @property
    def file(self) -> str:
        """The file's name."""
        return self.address.rsplit("/", 1)[-1]


_SAM = "https://dl.fbaipublicfiles.com/segment_anything"

THIRD_PARTY_WEIGHTS = {
    weights.name: weights
    for weights in (
        ThirdPartyWeights(
            name="sam_vit_b",
            title="SAM ViT-B",
            architecture="vit_b",
            address=f"{_SAM}/sam_vit_b_01ec64.pth",
            size=375_042_383,
            sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            licence="Apache-2.0",
        ),
        ThirdPartyWeights(
            name="sam_vit_l",
            title="SAM ViT-L",
            architecture="vit_l",
            address=f"{_SAM}/sam_vit_l_0b3195.pth",
            size=1_249_524_607,
            sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
            licence="Apache-2.0",
        ),
        ThirdPartyWeights(
            name="sam_vit_h",
            title="SAM ViT-H",
            architecture="vit_h",
            address=f"{_SAM}/sam_vit_h_4b8939.pth",
            size=2_564_550_879,
            sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            licence="Apache-2.0",
        ),
        ThirdPartyWeights(
            name="medsam",
            title="MedSAM",
            architecture="vit_b",
            address="https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
            size=375_049_145,
            sha256="34b34b78c1d18cb8c6bf84cf9c00e135d6d6c965699f3c0e31ef1bc9dcb5be74",
            licence="CC BY 4.0",
            single_mask=True,
            standardised=False,
        ),
    )
}
