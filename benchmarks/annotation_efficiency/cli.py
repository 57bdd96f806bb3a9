"""Measures how good each method is with few labelled slices, and adds the rows to results.jsonl.

One patient has all slices; the others are tested on:

    python benchmarks/annotation_efficiency --train CT LABEL --values 1 2 --test DIR [--methods NAME ...]
        [--counts 5 50] [--seeds 0 1] [--cases NAME ...] [--list]

One or three of twelve patients have masks, of all others it is known which slices show the structure:

    python benchmarks/annotation_efficiency --protocol patients [--config CONFIG] [--test DIR] [--methods NAME ...]
        [--counts 5 50] [--seeds 0 1] [--only CELL ...] [--first N] [--list]

Training patients that a cell knows nothing of are tested on, to choose what SAM-Mix does; rows go to out_of_fold.jsonl:

    python benchmarks/annotation_efficiency --protocol patients --out-of-fold [--variant NAME ...] [--counts 5 50]
        [--table]

DIR is a folder with NAME_ct.nii.gz beside NAME_label.nii.gz, or a YAML file such as cases.yaml. A cell is named
METHOD/MASKS/PATIENTS/DRAW, as --list shows it. What is in the result file is not measured again, trainings go on where
they were, and embeddings are kept in work/annotation_efficiency, so that it can be stopped and run in parts.
benchmarks/results_table.py makes the table and the plot of docs/results.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .cells import ONE_PATIENT, PATIENTS, PROTOCOLS, Cell, planned, planned_out_of_fold
from .methods import METHODS, VARIANTS, method_of
from .rows import OUT_OF_FOLD, RESULTS, Row, append, done, read_rows

if TYPE_CHECKING:
    from .bench import Bench
    from .cases import TestCase

HERE = Path(__file__).resolve().parent
WORK = HERE.parents[1] / "work" / "annotation_efficiency"
CONFIG = HERE.parent / "liver_model" / "config.yaml"
TEST_PATIENTS = HERE / "test_patients.yaml"
_WITH_ONE_PATIENT = [name for name, method in METHODS.items() if method.counts]


@dataclass(frozen=True)
class Task:
    """One training and the cases that are still to be tested with it."""

    cell: Cell
    cases: tuple[str, ...]


def one_patient_cells(
    methods: list[str], counts: tuple[int, ...] | None, seeds: tuple[int, ...] | None
) -> Iterator[Cell]:
    """The cells with one patient: first seeds first, then as the methods are named.

    Args:
        methods: Names.
        counts: Labelled slices; None for each method's own.
        seeds: None for each method's own.
    """
    every = sorted({seed for name in methods for seed in (seeds if seeds is not None else METHODS[name].seeds)})
    for seed in every:
        for name in methods:
            method = METHODS[name]
            if seeds is None and seed not in method.seeds:
                continue
            for count in counts if counts is not None else method.counts:
                yield Cell(ONE_PATIENT, name, count, 1, seed)


def left_of(cell: Cell, cases: list[str], rows: list[Row]) -> tuple[str, ...]:
    """The cases that a cell is still to be tested on."""
    from .scoring import boxes_of

    measured, kinds = done(rows), boxes_of(method_of(cell.method).network)
    return tuple(case for case in cases if any((cell, case, kind) not in measured for kind in kinds))


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="annotation_efficiency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocol", choices=PROTOCOLS, default=ONE_PATIENT)
    parser.add_argument("--train", nargs=2, type=Path, metavar=("CT", "LABEL"), help="the one patient")
    parser.add_argument("--values", nargs="*", type=int, default=[], help="of LABEL; all above zero by default")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the patients; liver_model/config.yaml by default")
    parser.add_argument("--out-of-fold", action="store_true", help="test on training patients, to choose a variant")
    parser.add_argument("--variant", nargs="*", default=[], help=f"out of fold: {', '.join(VARIANTS)}, or some with +")
    parser.add_argument("--test", type=Path, help="folder or YAML file of cases")
    parser.add_argument("--label-origin", choices=["person", "model", "ours"], default="person", help="of a folder's")
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), help="all by default")
    parser.add_argument("--counts", nargs="*", type=int, help="labelled slices; each method's own by default")
    parser.add_argument("--seeds", nargs="*", type=int, help="or draws; each method's own by default")
    parser.add_argument("--cases", nargs="*", help="names of test cases; all by default")
    parser.add_argument("--only", nargs="*", metavar="CELL", help="these cells alone, as --list names them")
    parser.add_argument("--first", type=int, metavar="N", help="no more than the first N cells that are left")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for embeddings and checkpoints")
    parser.add_argument("--results", type=Path, help="results.jsonl, or out_of_fold.jsonl, by default")
    parser.add_argument("--list", action="store_true", help="print what is still to be done and leave")
    parser.add_argument("--table", action="store_true", help="out of fold: print the rows as Markdown and leave")
    found = parser.parse_args(arguments)
    if found.protocol == ONE_PATIENT and (found.test is None or (found.train is None and not found.list)):
        parser.error("--train CT LABEL and --test DIR are needed")
    if found.protocol == ONE_PATIENT and (found.out_of_fold or found.variant):
        parser.error("--out-of-fold and --variant need --protocol patients: one patient has no other to be tested on")
    if found.variant and not found.out_of_fold:
        parser.error("--variant needs --out-of-fold: the test cases are for what has been chosen")
    if found.out_of_fold and found.test is not None:
        parser.error("--out-of-fold tests on training patients, so that --test does not go with it")
    unknown = sorted({name for joined in found.variant for name in joined.split("+")} - VARIANTS.keys())
    if unknown:
        parser.error(f"there is no variant {unknown[0]!r}; there are {', '.join(VARIANTS)}")
    if any(count < 2 for count in found.counts or []):
        parser.error("--counts must be 2 or more: one slice is held back")
    found.results = found.results or (OUT_OF_FOLD if found.out_of_fold else RESULTS)
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
    if options.table:
        from .out_of_fold_table import table

        print("\n".join(table(read_rows(options.results))))
    elif options.protocol == PATIENTS:
        _run_patients(options)
    else:
        _run_one_patient(options)


def _run_one_patient(options: argparse.Namespace) -> None:
    cases = _cases(options)
    counts = None if options.counts is None else tuple(options.counts)
    seeds = None if options.seeds is None else tuple(options.seeds)
    names, rows = options.cases or list(cases), read_rows(options.results)
    cells = _chosen(list(one_patient_cells(options.methods or _WITH_ONE_PATIENT, counts, seeds)), options)
    left = [Task(cell, still) for cell in cells if (still := left_of(cell, names, rows))][: options.first]
    for task in left if options.list else ():
        print(f"{task.cell}: {', '.join(task.cases)}")
    if options.list or not left:
        return

    from .bench import OnePatientBench

    bench = OnePatientBench(options.train[0], options.train[1], tuple(options.values), options.work)
    _measure(bench, left, cases.__getitem__, options.results)


def _run_patients(options: argparse.Namespace) -> None:
    from sammix_core.training.config import TrainingConfig

    counts = {"counts": tuple(options.counts)} if options.counts else {}
    cells = planned_out_of_fold(options.variant, **counts) if options.out_of_fold else planned()
    cells = [
        cell
        for cell in cells
        if (options.methods is None or cell.method.split("+")[0] in options.methods)
        and (options.counts is None or cell.labelled_slices in options.counts)
        and (options.seeds is None or cell.draw in options.seeds)
    ]
    cells = _chosen(cells, options)
    rows = read_rows(options.results)
    if options.list and options.out_of_fold:
        for cell in cells:
            print(f"{cell}: {sum(row.cell == cell for row in rows)} rows")
        return
    config = TrainingConfig.read(options.config)
    cases = {} if options.out_of_fold else _cases(options)
    if options.list:
        for cell in cells:
            left = left_of(cell, options.cases or list(cases), rows)
            print(f"{cell}: {'left on ' + ', '.join(left) if left else 'done'}")
        return

    from .bench import PatientsBench

    bench = PatientsBench(config, options.work, options.out_of_fold)
    tasks = []
    for cell in cells:
        if options.out_of_fold:
            tested = {case.name: case for case in bench.tested(cell)}
            cases |= tested
        else:
            tested = cases
        if left := left_of(cell, [name for name in options.cases or tested if name in tested], rows):
            tasks.append(Task(cell, left))
    _measure(bench, tasks[: options.first], cases.__getitem__, options.results)


def _cases(options: argparse.Namespace) -> dict[str, TestCase]:
    """The cases to test on, by name."""
    from sammix_core.errors import InputError

    from .cases import read_cases

    cases = {case.name: case for case in read_cases(options.test or TEST_PATIENTS, options.label_origin)}
    unknown = sorted(set(options.cases or []) - cases.keys())
    if unknown:
        raise InputError(f"There is no test case {unknown[0]!r}; there are {', '.join(cases)}.")
    return cases


def _chosen(cells: list[Cell], options: argparse.Namespace) -> list[Cell]:
    """The cells that --only names; all without it."""
    from sammix_core.errors import InputError

    if options.only is None:
        return cells
    unknown = sorted(set(options.only) - {str(cell) for cell in cells})
    if unknown:
        raise InputError(f"There is no cell {unknown[0]!r} in this run; --list names them.")
    return [cell for cell in cells if str(cell) in options.only]


def _measure(bench: Bench, tasks: list[Task], case_of: Callable[[str], TestCase], results: Path) -> None:
    loaded = {}
    for task in tasks:
        start = time.monotonic()
        for name in task.cases:
            if name not in loaded:
                loaded[name] = bench.load(case_of(name))
            for row in bench.rows(task.cell, loaded[name]):
                if row.key not in done(read_rows(results)):
                    append(row, results)
                print(row, flush=True)
        print(f"{task.cell}: {time.monotonic() - start:.0f} s", flush=True)
