"""Implementation of the module SAMMixSlicer: scene (MRML), logic (no Qt), widgets (Qt) and worker (the process)."""
