"""From a volume to boxes and masks: `Segmenter` is the door."""
