"""Between MRML nodes and the core's types; needs slicer and vtk, no Qt."""
