"""Makes the pictures of the README and the docs from our own runs.

    make pictures        (or: python benchmarks/pictures.py --demo work/demo_ct.nii.gz [--data ../shared/data])

The demo case is LiTS 117 out of the wheel liver-ct-segmentation-package; crlm1004 is from TCIA's
Colorectal-Liver-Metastases (doi 10.7937/QXK2-QG03, CC BY 4.0) and is drawn only where the data folder is given.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from sammix_core.evaluation.preview import render_preview
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume_io import read_volume

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
_COLOURS = 256
_WIDTH = 1400


def main() -> None:
    """Segments the cases and writes their contact sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    cases = {"demo.png": arguments.demo}
    if arguments.data is not None:
        cases["crlm1004.png"] = arguments.data / "crlm1004_ct.nii.gz"
    segmenter = Segmenter.load("liver")
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, file in cases.items():
        volume = read_volume(file)
        picture = render_preview(volume, segmenter.segment_volume(volume))
        height = round(picture.height * _WIDTH / picture.width)
        small = picture.resize((_WIDTH, height), Image.Resampling.LANCZOS)
        small.quantize(_COLOURS, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)
        print(f"{IMAGES.name}/{name}: {(IMAGES / name).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
