"""Training of the default model: cases and labels, augmented views, guidance head, mask decoder, calibration."""
