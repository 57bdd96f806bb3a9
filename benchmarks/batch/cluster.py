"""A batch on two Ray nodes of this machine while its workers are killed: are all masks those of single runs?

    python benchmarks/batch/cluster.py --data ../shared/data --output benchmarks/batch/cluster.json

60 studies, 5 of them broken; five times, at random moments, a worker's process is killed. Single runs are made with the
same number of threads: all in one process that has the model loaded, and a few by the command `sammix segment` itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

# Before torch is imported here and in every process of the cluster
os.environ |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])

import nibabel
import numpy as np
import psutil
from slabs import write_slabs

from sammix_core.batch.discovery import FindOptions, StudyFinder
from sammix_core.batch.driver import Rules, Summary, Watch, run_batch
from sammix_core.batch.folder import BatchFolder
from sammix_core.batch.ledger import State
from sammix_core.batch.ray_pool import RayPool, RaySetup
from sammix_core.batch.settings import SegmentationSettings, load_segmenter
from sammix_core.progress import Interrupts, Progress
from sammix_core.segmentation.seed import set_seed
from sammix_core.volume_io import read_volume

STUDIES, BROKEN, KILLS, SLICES = 60, 5, 5, 4
BY_COMMAND = 3
ACTOR = "ray::_Actor"


class Killer:
    """Kills a random worker a random while after each of some random studies."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._at = set(self._random.sample(range(4, STUDIES - 6), KILLS))
        self.killed: list[dict[str, object]] = []

    def after(self, progress: Progress) -> None:
        """Called after each study."""
        if progress.done in self._at:
            self._at.discard(progress.done)
            threading.Thread(target=self._kill, args=(progress.done,), daemon=True).start()

    def _kill(self, done: int) -> None:
        time.sleep(self._random.uniform(0, 3))
        end = time.monotonic() + 120
        while time.monotonic() < end:
            workers = [process for process in psutil.process_iter(["cmdline"]) if _is_worker(process)]
            if workers:
                chosen = self._random.choice(workers)
                name = " ".join(chosen.info["cmdline"])
                chosen.send_signal(signal.SIGKILL)
                self.killed.append({"after_studies": done, "process": name.strip()})
                return
            time.sleep(0.2)


def _is_worker(process: psutil.Process) -> bool:
    return any(ACTOR in word for word in process.info["cmdline"] or ())


@contextmanager
def two_nodes() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "memory": 4 * 1024**3, "object_store_memory": 100 * 1024**2}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    cluster.wait_for_nodes()
    yield cluster.address
    cluster.shutdown()


def batch(inputs: Path, out: Path, address: str, killer: Killer) -> Summary:
    settings = SegmentationSettings(device="cpu").pinned()
    folder = BatchFolder(out)
    finder = StudyFinder(FindOptions(out))
    finder.add(str(inputs))

    def start(studies: int) -> RayPool:
        return RayPool(RaySetup(address, settings, load_segmenter, threads=1), settings.model_hash(), studies)

    def after(progress: Progress) -> None:
        print(f"{progress.done} of {progress.total}", flush=True)
        killer.after(progress)

    return run_batch(folder, finder.studies, settings, Rules(), start, Watch(after, print, Interrupts()))


def differing_voxels(path: Path, masks: Path, expected: np.ndarray) -> int:
    written = np.asarray(nibabel.load(masks / path.name).dataobj).transpose(2, 1, 0)
    return int(np.count_nonzero(written != expected))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=18)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        inputs, masks = work / "in", work / "out" / "masks"
        slabs = write_slabs(options.data, inputs, STUDIES, SLICES)
        broken = random.Random(options.seed).sample(slabs, BROKEN)
        for path in broken:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        whole = [path for path in slabs if path not in broken]
        killer = Killer(options.seed)
        with two_nodes() as address:
            summary = batch(inputs, work / "out", address, killer)

        segmenter = load_segmenter(SegmentationSettings(device="cpu"))
        differing, with_liver = [], 0
        for path in whole:
            set_seed(0)
            expected = segmenter.segment_volume(read_volume(path)).mask
            with_liver += bool(expected.any())
            differing.append(differing_voxels(path, masks, expected))
        by_command = []
        for path in whole[:: len(whole) // BY_COMMAND][:BY_COMMAND]:
            single = work / "single.nii.gz"
            command = [sys.executable, "-m", "sammix_core.cli", "segment", path, "-o", single, "--device", "cpu"]
            subprocess.run([*command, "--quiet"], check=True)
            expected = np.asarray(nibabel.load(single).dataobj).transpose(2, 1, 0)
            by_command.append(differing_voxels(path, masks, expected))

    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "nodes": 2,
        "threads_per_worker": 1,
        "seed": options.seed,
        "studies": STUDIES,
        "broken": BROKEN,
        "slices_per_study": SLICES,
        "workers_killed": killer.killed,
        "done": summary.counts[State.DONE],
        "failed": summary.counts[State.FAILED],
        "masks_equal_to_single_runs": differing.count(0),
        "most_differing_voxels": max(differing),
        "masks_with_liver": with_liver,
        "equal_to_the_command": by_command.count(0),
        "runs_of_the_command": len(by_command),
        "seconds": round(summary.seconds, 1),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
