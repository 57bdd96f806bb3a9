"""Measures effort: how good a volume gets with the actions of a simulated person, see `person.py`.

    python benchmarks/effort/measure.py validation --data ../shared/data [--case lits117 ...]
    python benchmarks/effort/measure.py out_of_fold --refiner 0.3.0 [--case hcc007_plain10mm ...]
    python benchmarks/effort/report.py

The first form takes the volumes of `benchmarks/validate.py` with the shipped model; they are read once a release, after
everything is chosen. The second takes the training volumes, each with head, decoder and refiner that were trained
without the patient (`benchmarks/left_out.py`; --refiner is the version of the folds' refiners). Each case is segmented
once and corrected in every mode. Rows go to effort.jsonl, one a case and mode, as they come; what is there already is
skipped, so that the same command continues a run that was stopped.

Seconds are those that a person waits for a tool, on the wall and of the processor; set OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from person import MODES, SimulatedPerson  # first: it makes benchmarks/ importable

from left_out import LeftOut  # isort: skip
from out_of_fold import CONFIG  # isort: skip
from validate import CASES as VALIDATION, case_of  # isort: skip

from sammix_core.datasets.cases import LabelledCase, load_case
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.session import SegmentationSession
from sammix_core.training.config import TrainingConfig

RESULTS = Path(__file__).with_name("effort.jsonl")
VALIDATED, OUT_OF_FOLD = "validation", "out_of_fold"


def main() -> None:
    """Measures what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", choices=(VALIDATED, OUT_OF_FOLD))
    parser.add_argument("--case", nargs="*", default=[], help="cases; all of the group by default")
    parser.add_argument("--mode", nargs="*", choices=list(MODES), default=list(MODES))
    parser.add_argument("--actions", type=int, default=10, help="the most actions, a case and mode")
    parser.add_argument("--corrections", type=int, default=1, help="the most boxes and clicks that help, a slice")
    parser.add_argument("--data", type=Path, help="folder of the validation cases")
    parser.add_argument("--model", default="liver", help="the model for validation cases")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the configuration that was run out of fold")
    parser.add_argument("--refiner", help="version of the folds' refiners, for out_of_fold")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.group == VALIDATED:
        if arguments.data is None:
            parser.error("name the folder of the validation cases with --data")
        if arguments.refiner is not None:
            parser.error("--refiner is for out_of_fold; validation takes the refiner that is shipped with the model")
        group: _Validation | _OutOfFold = _Validation(arguments.data, arguments.model)
    else:
        if arguments.refiner is None:
            parser.error("name the version of the folds' refiners with --refiner")
        group = _OutOfFold(arguments.config, arguments.refiner)
    if unknown := set(arguments.case) - set(group.names):
        parser.error(f"there is no case {sorted(unknown)[0]!r} in {arguments.group}")
    for name in arguments.case or group.names:
        head = {**group.head(name), "corrections": arguments.corrections}
        modes = [mode for mode in arguments.mode if not _is_done(arguments.results, head, mode, arguments.actions)]
        if modes:
            case, session = group.opened(name)
            for row in rows_of(head, case, session, modes, arguments.actions):
                _append(arguments.results, row)


def rows_of(
    head: dict[str, Any], case: LabelledCase, session: SegmentationSession, modes: Sequence[str], most: int
) -> Iterator[dict[str, Any]]:
    """Corrects a case in each mode, from its automatic masks.

    Args:
        head: What every row begins with, "corrections" a slice among it.
        case: The labels.
        session: With automatic masks, as it is again at the end.
        modes: Names of modes.
        most: Actions at most.
    """
    automatic = [session.slices.state(index) for index in range(session.boxes.slice_count)]
    for name in modes:
        person = SimulatedPerson(session, case, MODES[name], head["corrections"])
        start = {"dice": round(person.dice, 5), "wrong_px": person.wrong_px}
        actions = list(person.work(most))
        looks = {"looked": person.looked, "right": person.right}
        yield {**head, "mode": name, "most": most, "start": start, **looks, "actions": actions}
        for state in automatic:
            session.slices.put(state)


class _Validation:
    """Validation cases with a shipped model."""

    def __init__(self, data: Path, model: str) -> None:
        self.names = list(VALIDATION)
        self._data = data
        self._segmenter = Segmenter.load(model)

    def head(self, name: str) -> dict[str, Any]:
        refiner = self._segmenter.refiner
        head = {"group": VALIDATED, "case": name, "patient": name, "model": self._segmenter.model.spec}
        return {**head, "refiner": None if refiner is None else refiner.spec}

    def opened(self, name: str) -> tuple[LabelledCase, SegmentationSession]:
        case = load_case(case_of(name, self._data))
        session = self._segmenter.open_session(case.volume)
        session.find_boxes()
        session.segment_boxes()
        return case, session


class _OutOfFold:
    """Training cases with models and refiners that have not seen their patients."""

    def __init__(self, config: Path, version: str) -> None:
        self._config = TrainingConfig.read(config)
        self._cases = {case.name: case for case in self._config.cases}
        self._version = version
        self._left_out: LeftOut | None = None
        self.names = list(self._cases)

    def head(self, name: str) -> dict[str, Any]:
        model = f"{self._config.name}/{self._config.version}"
        head = {"group": OUT_OF_FOLD, "case": name, "patient": self._cases[name].patient, "model": model}
        return {**head, "refiner": f"{self._config.target}-refiner/{self._version}, trained without the patient"}

    def opened(self, name: str) -> tuple[LabelledCase, SegmentationSession]:
        self._left_out = self._left_out or LeftOut(self._config, self._version)
        session = self._left_out.session(self._cases[name])
        session.find_boxes()
        session.segment_boxes()
        return load_case(self._cases[name], session.volume), session


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows so far; none where there is no file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def _is_done(file: Path, head: dict[str, Any], mode: str, most: int) -> bool:
    wanted = {**head, "mode": mode}
    return any(wanted.items() <= row.items() and row["most"] >= most for row in read_rows(file))


def _append(file: Path, row: dict[str, Any]) -> None:
    dice = [row["start"]["dice"], *(action["dice"] for action in row["actions"])]
    print(row["case"], row["mode"], dice, f"looked {row['looked']}, right {row['right']}", flush=True)
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
