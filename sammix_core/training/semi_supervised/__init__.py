"""SAM-Mix's own training: few slices with masks, more with image-level labels, the rest unlabelled."""
