"""What the module SAMMixSlicer is made of: scene (MRML), logic (no Qt), widgets (Qt) and the worker process."""
