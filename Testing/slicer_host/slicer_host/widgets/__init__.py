"""Stand-ins of the qMRML and ctk widgets that the module uses, each with the members that it needs of the real one.

A stand-in may leave members of the real class out; it may not have any that the real class lacks, and
``test_host_facts.py`` holds it to that.
"""

from __future__ import annotations

import importlib
import pkgutil


def load_all() -> None:
    """Import every module here, so that every stand-in is registered."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
