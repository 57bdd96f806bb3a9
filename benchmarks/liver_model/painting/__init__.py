"""Paints labels of the liver slice by slice, without a screen; see `__main__.py`."""
