"""A contact sheet: axial slices with class activation map, box and mask, to see a whole result at a glance."""

from __future__ import annotations

from sammix_core.evaluation.preview.sheet import choose_slices, render_preview, write_preview

__all__ = ["choose_slices", "render_preview", "write_preview"]
