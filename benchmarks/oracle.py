"""Oracle boxes, as the package has them; the name that the scripts here import."""

from sammix_core.evaluation.oracle import oracle_boxes

__all__ = ["oracle_boxes"]
