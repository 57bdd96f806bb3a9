"""What a batch adds to single runs, and how studies an hour grow with workers.

    python benchmarks/batch/throughput.py --data ../shared/data --output benchmarks/batch/throughput.json

Overhead: in one process with the model loaded, each study is segmented as `sammix segment --report` does and then as a
batch does (hash of the input, preview, pickling, ledger), in turns. Processor time is measured beside wall time: a busy
machine stretches the latter alone.

Workers: the same studies by processes; time counts from the first study that is done, so that loading is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import torch
from slabs import write_slabs

from sammix_core.batch.discovery import FindOptions, StudyFinder
from sammix_core.batch.driver import Rules, Watch, run_batch
from sammix_core.batch.folder import BatchFolder
from sammix_core.batch.job import Job
from sammix_core.batch.ledger import Done, Ledger
from sammix_core.batch.local_pool import LocalPool, WorkerSetup
from sammix_core.batch.settings import SegmentationSettings, load_segmenter
from sammix_core.batch.study import Study
from sammix_core.batch.worker import StudyWorker
from sammix_core.evaluation import report
from sammix_core.progress import Interrupts, Progress
from sammix_core.segmentation.seed import set_seed
from sammix_core.volume_io import read_volume, segment_of, write_labelmap

SLICES, STUDIES = 12, 7
CONFIGURATIONS = ((1, 1), (1, 2), (2, 1))  # workers, threads of each
SETTINGS = SegmentationSettings(device="cpu")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Processor and wall seconds."""
    cpu, wall = time.process_time(), time.monotonic()
    work()
    return time.process_time() - cpu, time.monotonic() - wall


def find(inputs: Path, out: Path) -> list[Study]:
    finder = StudyFinder(FindOptions(out))
    finder.add(str(inputs))
    return finder.studies


def overhead(inputs: Path, work: Path) -> dict[str, object]:
    torch.set_num_threads(1)
    studies = find(inputs, work)
    folder = BatchFolder(work)
    worker = StudyWorker(SETTINGS, load_segmenter, threads=1)
    assert not worker.prepare().sentence
    segmenter = load_segmenter(SETTINGS)
    with folder.locked():
        ledger = Ledger(folder.ledger)
        ledger.add(studies)

        def single(study: Study) -> None:
            set_seed(0)
            volume = read_volume(study.files[0])
            result = segmenter.segment_volume(volume)
            write_labelmap(result.mask, volume, work / "single.nii.gz", segment_of(result.target))
            report.write_report(report.build_report(result, volume, study.label, 0), work / "single.json")

        def in_batch(study: Study) -> None:
            job = pickle.loads(pickle.dumps(Job(study, study.name)))
            ledger.start(study.key)
            outcome = pickle.loads(pickle.dumps(worker.work(job)))
            folder.write(outcome.files, study.name, SETTINGS.mask_suffix)
            ledger.finish(study.key, Done(study.stamp, outcome.input_hash, "", "", outcome.figures))

        single(studies[0])
        in_batch(studies[0])
        rows = []
        for number, study in enumerate(studies[1:]):
            turns = [single, in_batch] if number % 2 else [in_batch, single]
            rows.append({turn.__name__: timed(lambda turn=turn, study=study: turn(study)) for turn in turns})
        ledger.close()
    sums = {name: [sum(row[name][part] for row in rows) for part in (0, 1)] for name in ("single", "in_batch")}
    return {
        "studies": len(rows),
        "single_cpu_seconds": round(sums["single"][0], 2),
        "batch_cpu_seconds": round(sums["in_batch"][0], 2),
        "overhead_cpu_percent": round(100 * (sums["in_batch"][0] / sums["single"][0] - 1), 2),
        "overhead_wall_percent": round(100 * (sums["in_batch"][1] / sums["single"][1] - 1), 2),
    }


def throughput(inputs: Path, out: Path, workers: int, threads: int) -> dict[str, object]:
    settings = SETTINGS.pinned()
    folder = BatchFolder(out)
    done_at: list[float] = []

    def start(studies: int) -> LocalPool:
        setup = WorkerSetup(settings, load_segmenter, threads, folder.scratch.absolute())
        return LocalPool(setup, workers, settings.model_hash())

    def after(progress: Progress) -> None:
        if progress.done:
            done_at.append(time.monotonic())

    run_batch(folder, find(inputs, out), settings, Rules(), start, Watch(after, print, Interrupts()))
    seconds = done_at[-1] - done_at[workers - 1]
    rate = 3600 * (len(done_at) - workers) / seconds
    return {
        "workers": workers,
        "threads": threads,
        "studies_an_hour": round(rate),
        "load": round(os.getloadavg()[0], 1),
    }


def write(result: dict[str, object], path: Path) -> None:
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        write_slabs(options.data, work / "in", STUDIES, SLICES)
        (work / "overhead").mkdir()
        result = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "slices_per_study": SLICES,
            "load_at_start": round(os.getloadavg()[0], 1),
            "overhead": overhead(work / "in", work / "overhead"),
        }
        rows: list[dict[str, object]] = []
        for workers, threads in CONFIGURATIONS:
            write(result | {"workers": rows}, options.output)
            rows.append(throughput(work / "in", work / f"out{workers}x{threads}", workers, threads))
        write(result | {"workers": rows}, options.output)


if __name__ == "__main__":
    main()
