"""What the panel fine-tunes with imports nothing that the panel does not install."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
# Packages of the command line, of other ways to train and of optional parts.
NOT_IN_THE_PANEL = {"lightning", "monai", "pydantic", "peft", "pytorch_grad_cam", "segment_anything", "typer", "rich"}
_IMPORT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"{{name}} is not installed in the panel")

sys.meta_path.insert(0, Refuse())
import sammix_core.finetuning.engine, sammix_core.finetuning.from_session, sammix_core.finetuning.process
print("imported")
"""


def test_the_engine_imports_nothing_that_the_panel_lacks() -> None:
    script = _IMPORT.format(names=NOT_IN_THE_PANEL)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "imported\n", done.stderr[-2000:]


def test_the_lock_of_a_run_is_among_what_the_panel_installs() -> None:
    lines = (ROOT / "SAMMixSlicer" / "Resources" / "requirements.txt").read_text().splitlines()
    names = {re.split(r"[>=;\s]", line)[0] for line in lines if line and not line.startswith("#")}
    assert "filelock" in names
