"""Labelled cases for every trainer: cases with masks, folders, corrections, augmentation and splits."""
