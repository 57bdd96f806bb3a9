"""The scene, the logics and ``slicer.app``: what Slicer makes when it starts, without Qt."""
