"""The module starts no Python thread in the application's process, where it would make no progress.

Run in an interpreter of its own, since pytest and other tests have threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

SCRIPT = """
    import json, os, sys, threading, time
    import numpy as np
    from SAMMixSlicerLib.worker import Finished, Worker
    from SAMMixSlicerLib.worker.commands import Describe, Run

    counts, finished = set(), []
    worker = Worker(sys.executable)
    worker.on(Finished).connect(finished.append)

    def wait(request):
        while not any(event.request == request for event in finished):
            worker.poll()
            counts.add(threading.active_count())
            time.sleep(0.002)

    wait(worker.submit(Describe()))
    wait(worker.openVolume("v", np.zeros((40, 256, 256), np.int16), np.diag([-2.0, -2.0, 5.0, 1.0])))
    wait(worker.submit(Run("v")))
    worker.openVolume("w", np.zeros((40, 256, 256), np.int16), np.diag([-2.0, -2.0, 5.0, 1.0]))
    worker.cancel(worker.submit(Run("w")))
    worker.setStates("v", [worker.volume("v").state(3).cleared()])
    os.kill(worker.hello.pid, 9)
    wait(worker.submit(Describe()))
    worker.restart()
    wait(worker.submit(Describe()))
    worker.close()
    counts.add(threading.active_count())

    ours = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "SAMMixSlicerLib"}
    thread_makers = {"threading", "_thread", "Thread", "Timer", "ThreadPoolExecutor", "queue", "concurrent", "asyncio"}
    print(json.dumps({
        "counts": sorted(counts),
        "ours": sorted(ours),
        "use_threads": sorted(name for name, module in ours.items() if thread_makers & set(vars(module))),
        "heavy": sorted({"torch", "timm", "openvino", "SimpleITK"} & set(sys.modules)),
        "outcomes": sorted({str(event.outcome) for event in finished}),
    }))
"""


def test_the_module_starts_no_thread_and_imports_nothing_that_could() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "SAMMixSlicer"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["counts"] == [1]
    assert found["use_threads"] == []
    assert found["heavy"] == [], "the application loaded what belongs to the computing process"
    assert "SAMMixSlicerLib.worker.worker" in found["ours"]
    assert not [name for name in found["ours"] if ".child" in name]
    assert {"done", "failed"} <= set(found["outcomes"])
