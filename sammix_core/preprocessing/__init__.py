"""From HU to network pixels and back: window, body crop, frame; shared by training, inference and the Slicer module."""
