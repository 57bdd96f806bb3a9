"""The checks of DICOM files by dicom3tools, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def entity_errors(*paths: Path) -> list[str]:
    """What `dcentvfy` says about patients and studies that differ between files; skips where it is not installed."""
    tool = shutil.which("dcentvfy")
    if tool is None:
        pytest.skip("needs dcentvfy, of Debian's package dicom3tools")
    words = [tool, *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    # A report repeats the accession number in its references, which the tool takes for one of a series.
    return [line for line in (done.stdout + done.stderr).splitlines() if "AccessionNumber" not in line]


def dicom_errors(*paths: Path) -> list[str]:
    """What `dciodvfy` calls an error in files; skips the test where it is not installed."""
    tool = shutil.which("dciodvfy")
    if tool is None:
        pytest.skip("needs dciodvfy, of Debian's package dicom3tools")
    errors = []
    for path in paths:
        done = subprocess.run([tool, str(path)], capture_output=True, text=True, timeout=60, check=False)
        said = (done.stdout + done.stderr).splitlines()
        assert said, f"dciodvfy said nothing of {path.name}"
        errors += [f"{path.name}: {line}" for line in said if line.startswith(("Error", "Abort"))]
    return errors
