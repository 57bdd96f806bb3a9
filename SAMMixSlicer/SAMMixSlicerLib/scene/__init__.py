"""Converts between MRML nodes and the core's types; needs slicer and vtk, but no Qt."""
