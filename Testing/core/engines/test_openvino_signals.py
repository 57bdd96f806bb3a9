"""A signal is survived after compiled networks came and went.

OpenVINO's CPU plugin gives the thread a stack for signals and puts the one before back when it goes. Two plugins that
go in the order in which they came leave the thread a stack that is freed, and the next Ctrl-C ends the process.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import gc, signal, sys
import torch
from sammix_core.engines.cache_folder import CacheFolder
from sammix_core.engines.openvino_compiler import compile_module, default_precision
from pathlib import Path

kept = CacheFolder(Path(sys.argv[1]), 10**9)
example = torch.zeros(1, 3, 8, 8)
for _ in range(2):
    default_precision()
    first, second = [
        compile_module(torch.nn.Conv2d(3, n, 3).eval(), [example], [[1, 3, 8, 8]], cache=kept) for n in (2, 4)
    ]
    del first
    gc.collect()
    del second
    gc.collect()
seen = []
signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
signal.raise_signal(signal.SIGINT)
print(len(seen))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no stacks for signals on Windows")
@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed here")
def test_a_signal_is_survived_after_networks_came_and_went(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(SCRIPT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
