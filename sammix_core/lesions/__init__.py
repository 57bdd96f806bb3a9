"""Lesions in the liver: 3-D components of a mask, each with volume, longest axial diameter and mean HU."""
