"""Which slice to look at next."""

from __future__ import annotations
