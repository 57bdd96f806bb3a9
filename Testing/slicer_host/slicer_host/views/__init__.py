"""Slice and 3-D views drawn offscreen by Slicer's own displayable managers."""
