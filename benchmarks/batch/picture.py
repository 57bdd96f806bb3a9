"""Photographs the page of a batch with a headless Chromium, for docs/batch.md.

cd FOLDER && sammix batch cts -o livers     # hcc007_plain10mm, hcc009_plain10mm, and half of hcc005_portal
python benchmarks/batch/picture.py FOLDER/livers/table.html docs/images/batch.png
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

WIDTH, HEIGHT, MARGIN = 1300, 2000, 24
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise SystemExit("No Chromium is installed here.")
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "page.png")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={whole}", options.page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        picture = Image.open(whole).convert("RGB")
    background = Image.new("RGB", picture.size, picture.getpixel((0, 0)))
    bottom = ImageChops.difference(picture, background).getbbox()[3]
    picture.crop((0, 0, WIDTH, min(bottom + MARGIN, HEIGHT))).save(options.output, optimize=True)


if __name__ == "__main__":
    main()
