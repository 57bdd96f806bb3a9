"""Draws the PNG icons from the SVG: python benchmarks/icons.py.

The Extensions Manager shows a PNG of 128 x 128 pixels; Slicer itself takes the SVG for the module.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

ROOT = Path(__file__).parents[1]
SVG = ROOT / "SAMMixSlicer" / "Resources" / "Icons" / "SAMMixSlicer.svg"
PNGS = (SVG.with_suffix(".png"), ROOT / "Resources" / "SAMMix.png")
SIZE = 128


def draw(size: int = SIZE) -> QImage:
    """The icon on a transparent ground.

    Args:
        size: width and height in pixels.
    """
    image = QImage(size, size, QImage.Format.Format_ARGB32)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    QSvgRenderer(str(SVG)).render(painter)
    painter.end()
    return image


if __name__ == "__main__":
    for path in PNGS:
        draw().save(str(path))
