"""The Slicer-facing code of SAMMix: from the MRML scene to `sammix_core` and back."""
