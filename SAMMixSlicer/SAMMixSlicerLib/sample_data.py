"""Registers sample data in Slicer's Sample Data module."""

from __future__ import annotations

from slicer.i18n import tr as _

_CHECKSUM = "e16eae0ae6fefa858c5c11e58f0f1bb81834d81b7102e021571056324ef6f37e"
_ADDRESS = f"https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/{_CHECKSUM}"


def registerSampleData(thumbnail: str) -> None:
    """Registers the CT of the tutorial, Slicer's CTLiver, in our own category; a click downloads it.

    Args:
        thumbnail: Path of its thumbnail.
    """
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="SAMMix",
        # The title under the picture; a description of its own is nothing that this function takes.
        sampleName=_("CTLiver: portal venous, metastases (Medical Segmentation Decathlon, CC BY-SA 4.0)"),
        thumbnailFileName=thumbnail,
        uris=_ADDRESS,
        fileNames="CTLiver.nrrd",
        nodeNames="CTLiver",
        checksums=f"SHA256:{_CHECKSUM}",
    )
