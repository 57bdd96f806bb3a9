"""Reads mutated files for a while: no traceback, no hang, no flood of memory, and masks on the file's own grid.

    python benchmarks/fuzz/run.py --minutes 20 --out benchmarks/fuzz/result.json

Real headers (of drawn volumes, and of the real CT in ../shared/data where it is) are mutated byte by byte, by swapped
blocks, cuts and repeated parts: NIfTI, NRRD, MetaImage, DICOM, boxes, .seg.nrrd and model manifests. Every file is read
in another process, which is started again when it dies; one in twenty volumes that are accepted is segmented.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing" / "makers")]
LONGEST_SECONDS = 60
MOST_BYTES = 3 * 1024**3
SEGMENTED_ONE_IN = 20
# Only the first part of a file is header; voxels are mutated rarely.
HEADER_BYTES = 2048


def seeds(folder: Path) -> dict[str, list[Path]]:
    """Good files to mutate, by kind."""
    import numpy as np
    from image_files import write_nifti, write_with_itk
    from odd_files import CONDITIONS
    from synthetic_ct import synthetic_ct

    from sammix_core.boxes import Box, BoxSource, BoxTrack
    from sammix_core.model_store import resolve
    from sammix_core.volume_io import read_volume, write_labelmap

    hu = np.clip(synthetic_ct((4, 48, 56)), -1024, 3071)
    real = REPOSITORY.parent / "shared" / "data" / "totalseg_dicom_slab20"
    if real.is_dir():
        hu = np.ascontiguousarray(np.clip(read_volume(real).array[8:12, ::4, ::4], -1024, 3071))
    names = {name: folder / name for name in ("nifti", "nrrd", "metaimage", "dicom", "seg", "boxes", "manifest")}
    for place in names.values():
        place.mkdir()
    write_nifti(names["nifti"] / "a.nii", hu)
    write_nifti(names["nifti"] / "b.nii.gz", hu)
    write_with_itk(names["nrrd"] / "a.nrrd", hu)
    write_with_itk(names["metaimage"] / "a.mha", hu)
    for number, name in enumerate(("a DICOM series", "enhanced CT", "RLE")):
        (folder / f"series{number}").mkdir()
        made = CONDITIONS[name].make(folder / f"series{number}", hu)
        first = made if made.is_file() else sorted(made.iterdir())[0]
        shutil.copyfile(first, names["dicom"] / f"{number}.dcm")
    volume = read_volume(names["nifti"] / "a.nii")
    write_labelmap((volume.array > 0).astype(np.uint8), volume, names["seg"] / "a.seg.nrrd")
    track = BoxTrack.for_volume(volume)
    track.set(Box(1, 3, 4, 20, 22, source=BoxSource.EDITED))
    track.write(names["boxes"] / "a.json")
    manifest = Path(resolve("liver").path) / "manifest.json"
    shutil.copyfile(manifest, names["manifest"] / "manifest.json")
    return {name: sorted(place.iterdir()) for name, place in names.items()}


def mutated(content: bytes, dice: random.Random) -> bytes:
    """A few changes of a file's bytes, most of them in its header."""
    data = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 4, 12))):
        if not data:
            break
        end = len(data) if dice.random() < 0.1 else min(len(data), HEADER_BYTES)
        place = dice.randrange(end)
        kind = dice.randrange(7)
        if kind == 0:
            data[place] = dice.randrange(256)
        elif kind == 1:
            data[place] ^= 1 << dice.randrange(8)
        elif kind == 2:
            data[place : place + 4] = dice.choice(
                (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\x7f\x7f\x7f", b"\0\0\xc0\x7f")
            )
        elif kind == 3:
            length = dice.randrange(1, 40)
            data[place:place] = data[place : place + length]
        elif kind == 4:
            del data[place : place + dice.randrange(1, 40)]
        elif kind == 5:
            data = data[: dice.randrange(len(data))] if dice.random() < 0.3 else data
        else:
            digits = [index for index in range(end) if chr(data[index]).isdigit()]
            if digits:
                data[dice.choice(digits)] = ord(dice.choice("0123456789-.e "))
    return bytes(data)


def _child(connection: Connection) -> None:
    """Reads what it is sent: (kind, path, segment); answers (outcome, detail, bytes)."""
    import resource

    from sammix_core.boxes import BoxTrack
    from sammix_core.errors import SammixError
    from sammix_core.model_store.manifest import Manifest
    from sammix_core.segmentation.segmenter import Segmenter
    from sammix_core.volume_io import read_volume
    from sammix_core.volume_io.labelmap_reading import read_labelmap

    segmenter: Any = None

    while True:
        kind, path, segment = connection.recv()
        try:
            if kind == "boxes":
                BoxTrack.read(path)
            elif kind == "seg":
                read_labelmap(path)
            elif kind == "manifest":
                Manifest.read(path)
            else:
                volume = read_volume(path)
                if segment:
                    if segmenter is None:
                        segmenter = Segmenter.load("liver")
                    mask = segmenter.segment_volume(volume).mask
                    if mask.shape != volume.array.shape:
                        raise AssertionError("the mask is on another grid")
            outcome, detail = "segmented" if segment else "read", ""
        except SammixError as error:
            outcome, detail = "refused", str(error)
            if "\n" in detail or not detail.endswith("."):
                outcome = "a refusal that is no sentence"
        except Exception:
            outcome, detail = "traceback", traceback.format_exc()
        connection.send((outcome, detail, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


class Reader:
    """A process that reads, started again when it dies or hangs."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_child, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._is_first = True

    def read(self, kind: str, path: Path, segment: bool) -> tuple[str, str, int]:
        """What came of a file."""
        # Loading libraries and the model is no part of the limit.
        limit = LONGEST_SECONDS * (10 if segment or self._is_first else 1)
        self._is_first = False
        try:
            before, started = self._processor_seconds(), time.monotonic()
            self._connection.send((kind, path, segment))
            # Processor time, since a busy machine is no hang; and the clock, since a deadlock takes none.
            while self._processor_seconds() - before < limit and time.monotonic() - started < 10 * limit:
                if self._connection.poll(1):
                    return self._connection.recv()
            outcome = "hang"
        except (EOFError, OSError):
            outcome = "crash"
        self.stop()
        self._start()
        return outcome, "", 0

    def _processor_seconds(self) -> float:
        import psutil

        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:  # it is gone: the connection says so
            return 0.0
        return float(times.user + times.system)

    def stop(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()


def main() -> None:
    """Mutates and reads for the minutes given, and writes what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-segmenting", action="store_true", help="Only read.")
    parser.add_argument("--keep", type=Path, help="A folder for files that failed.")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    dice, started = random.Random(arguments.seed), time.monotonic()
    outcomes: dict[str, Counter[str]] = {}
    failures: list[dict[str, str]] = []
    accepted, largest = 0, 0
    memory: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        good = seeds(Path(folder))
        reader = Reader()
        try:
            while time.monotonic() - started < 60 * arguments.minutes:
                kind = dice.choice(sorted(good))
                seed = dice.choice(good[kind])
                path = Path(folder, f"mutated-{seed.name}")
                path.write_bytes(mutated(seed.read_bytes(), dice))
                outcome, detail, used = reader.read(kind, path, segment=False)
                if used > largest:
                    largest, memory[kind] = used, round(used / 2**20)
                is_volume = kind in ("nifti", "nrrd", "metaimage", "dicom")
                if outcome == "read" and is_volume:
                    accepted += 1
                    if accepted % SEGMENTED_ONE_IN == 0 and not arguments.no_segmenting:
                        outcome, detail, used = reader.read(kind, path, segment=True)
                if used > MOST_BYTES:
                    outcome = outcome if outcome == "segmented" else "too much memory"
                    reader.stop()  # what a process has taken counts for every file after it
                    reader = Reader()
                outcomes.setdefault(kind, Counter())[outcome] += 1
                if outcome not in ("read", "refused", "segmented"):
                    failures.append({"kind": kind, "outcome": outcome, "detail": detail})
                    if arguments.keep is not None:
                        arguments.keep.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(path, arguments.keep / f"{len(failures)}-{path.name}")
        finally:
            reader.stop()
    result = {
        "minutes": round((time.monotonic() - started) / 60, 1),
        "seed": arguments.seed,
        "files": sum(sum(counts.values()) for counts in outcomes.values()),
        "outcomes": {kind: dict(counts) for kind, counts in sorted(outcomes.items())},
        "largest_process_mib": round(largest / 2**20),
        "grown_to_mib_by": memory,
        "failures": failures,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
