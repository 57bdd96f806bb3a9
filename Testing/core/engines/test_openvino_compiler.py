"""OpenVINO as it is imported here: nothing leaves the machine, and a signal is survived."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed here"),
    pytest.mark.slow,
]

PRIVACY = """
    import socket, sys, threading
    import torch
    from sammix_core.engines.encoder_engine import OpenVinoEngine

    def refuse(*where):
        raise AssertionError(f"it wanted to talk to {where}")

    socket.socket.connect = socket.getaddrinfo = refuse
    encoder = torch.nn.Conv2d(3, 2, 1).eval()
    image = torch.rand(1, 3, 8, 8)
    found = OpenVinoEngine(encoder, 8)(image)
    torch.testing.assert_close(found, encoder(image).detach(), atol=1e-4, rtol=1e-4)
    print(sys.modules["openvino_telemetry"], sorted(one.name for one in threading.enumerate()))
"""


def test_openvino_reports_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    # In CI it would keep quiet by itself.
    environment = {name: value for name, value in environment.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PRIVACY)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "None ['MainThread']", "its reporter was loaded, or a thread of it runs"
    assert not (tmp_path / "intel").exists(), "it made itself a number to report under"


SIGNALS = """
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
def test_a_signal_is_survived_after_networks_came_and_went(tmp_path: Path) -> None:
    """OpenVINO's CPU plugin gives the thread a stack for signals, and puts the previous one back when it goes.

    Two plugins that go in the order in which they came leave the thread a freed stack, and the next Ctrl-C ends the
    process.
    """
    command = [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(SIGNALS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
