"""A contact sheet: axial slices with class activation map, box and mask over them, for a look at a whole result."""

from __future__ import annotations

from sammix_core.evaluation.preview.choose import choose_slices
from sammix_core.evaluation.preview.sheet import render_preview, write_preview

__all__ = ["choose_slices", "render_preview", "write_preview"]
