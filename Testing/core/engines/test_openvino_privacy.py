"""Nothing leaves the machine: OpenVINO's report of its use is turned off before it is imported."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
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


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed here")
def test_openvino_reports_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    # In CI it would keep quiet by itself.
    environment = {name: value for name, value in environment.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "None ['MainThread']", "its reporter was loaded, or a thread of it runs"
    assert not (tmp_path / "intel").exists(), "it made itself a number to report under"
