"""Embeddings of slices, in memory and on disk."""
