"""Masks as arrays: packed, boxed, compared."""
