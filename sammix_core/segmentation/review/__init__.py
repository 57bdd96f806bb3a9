"""Which slices a person should review: how much of each is expected to be wrong, why, and in what order."""

from sammix_core.segmentation.review.reviewer import (
    NEEDS_REVIEW,
    SliceReview,
    VolumeReviewer,
    most_uncertain,
    review_order,
)

__all__ = ["NEEDS_REVIEW", "SliceReview", "VolumeReviewer", "most_uncertain", "review_order"]
