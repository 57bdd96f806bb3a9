"""Where the real CT for development is, and what to say when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[3] / "shared" / "data"


def real_data(name: str) -> Path:
    """The path of a file or folder in ../shared/data; skips the test where it is absent."""
    path = _FOLDER / name
    if not path.exists():
        pytest.skip(f"needs the real CT {name} in ../shared/data, which is not part of the repository")
    return path
