"""Measures how good each method is with few labelled slices of one patient, and adds the rows to results.jsonl.

    python benchmarks/annotation_efficiency --train CT LABEL --values 1 2 --test DIR [--methods NAME ...]
        [--counts 5 50] [--seeds 0 1] [--cases NAME ...] [--list]

DIR is a folder with NAME_ct.nii.gz beside NAME_label.nii.gz, or a YAML file such as cases.yaml. What is in the result
file is not measured again, trainings go on where they were, and embeddings are kept in work/annotation_efficiency, so
that it can be stopped and run in parts. benchmarks/results_table.py makes the table and the plot of docs/results.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .methods import METHODS, Method
from .rows import RESULTS, Row, append, done, read_rows

WORK = Path(__file__).resolve().parents[2] / "work" / "annotation_efficiency"


@dataclass(frozen=True)
class Task:
    """One training and the cases that are still to be tested with it."""

    method: Method
    count: int
    seed: int
    cases: tuple[str, ...]


def tasks(
    methods: list[str], counts: tuple[int, ...] | None, seeds: tuple[int, ...] | None, cases: list[str], rows: list[Row]
) -> Iterator[Task]:
    """What is still to be done: first seeds first, then as the methods are named.

    Args:
        methods: Names.
        counts: Labelled slices; None for each method's own.
        seeds: None for each method's own.
        cases: Names.
        rows: What is measured already.
    """
    from .scoring import boxes_of

    measured = done(rows)
    every = sorted({seed for name in methods for seed in (seeds if seeds is not None else METHODS[name].seeds)})
    for seed in every:
        for name in methods:
            method = METHODS[name]
            if seeds is None and seed not in method.seeds:
                continue
            for count in counts if counts is not None else method.counts:
                kinds = boxes_of(method.network)
                left = [c for c in cases if any((name, count, seed, c, one) not in measured for one in kinds)]
                if left:
                    yield Task(method, count, seed, tuple(left))


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="annotation_efficiency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", nargs=2, type=Path, metavar=("CT", "LABEL"), help="the one patient")
    parser.add_argument("--values", nargs="*", type=int, default=[], help="of LABEL; all above zero by default")
    parser.add_argument("--test", type=Path, help="folder or YAML file of cases")
    parser.add_argument("--label-origin", choices=["person", "model", "ours"], default="person", help="of a folder's")
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--counts", nargs="*", type=int, help="labelled slices; each method's own by default")
    parser.add_argument("--seeds", nargs="*", type=int, help="each method's own by default")
    parser.add_argument("--cases", nargs="*", help="names of test cases; all by default")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for embeddings and checkpoints")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--list", action="store_true", help="print what is still to be done and leave")
    found = parser.parse_args(arguments)
    if found.test is None or (found.train is None and not found.list):
        parser.error("--train CT LABEL and --test DIR are needed")
    if any(count < 2 for count in found.counts or []):
        parser.error("--counts must be 2 or more: one slice is held back")
    return found


def main(arguments: list[str] | None = None) -> None:
    """Runs what is left to be done."""
    from sammix_core.errors import InputError

    try:
        run(parsed(arguments))
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def run(options: argparse.Namespace) -> None:
    """Trains and tests, row by row."""
    from sammix_core.errors import InputError

    from .cases import read_cases

    cases = {case.name: case for case in read_cases(options.test, options.label_origin)}
    unknown = sorted(set(options.cases or []) - cases.keys())
    if unknown:
        raise InputError(f"There is no test case {unknown[0]!r}; there are {', '.join(cases)}.")
    counts = None if options.counts is None else tuple(options.counts)
    seeds = None if options.seeds is None else tuple(options.seeds)
    left = list(tasks(options.methods, counts, seeds, options.cases or list(cases), read_rows(options.results)))
    for task in left if options.list else ():
        print(f"{task.method.name}, {task.count} slices, seed {task.seed}: {', '.join(task.cases)}")
    if options.list or not left:
        return

    from .bench import Bench

    bench = Bench(options.train[0], options.train[1], tuple(options.values), options.work)
    loaded = {}
    for task in left:
        start = time.monotonic()
        for name in task.cases:
            if name not in loaded:
                loaded[name] = bench.load(cases[name])
            for row in bench.rows(task.method, task.count, task.seed, loaded[name]):
                if row.key not in done(read_rows(options.results)):
                    append(row, options.results)
                print(row, flush=True)
        print(f"{task.method.name}, {task.count} slices: {time.monotonic() - start:.0f} s", flush=True)
