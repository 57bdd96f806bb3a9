"""From a volume to boxes and masks: `Segmenter` is the entry point."""
