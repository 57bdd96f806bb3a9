"""Which slices are held back from learning, decided when a slice is first seen and never again.

A split that is drawn again in each round lets slices that were learnt from into the next round's check, and the Dice
rises for nothing. So the side of a slice is written down at first sight and outlives even the slice's deletion.

Every fourth case is held back whole. Of the other cases every fourth slice with the structure is held back, and every
fourth without it; the second of all, and the third with the structure of a case of which none is held back yet, so that
there is soon something to check on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sammix_core.documents import check_keys, read_json
from sammix_core.errors import InputError
from sammix_core.files import write_text_atomic

SCHEMA = "sammix-split/1"
_ONE_IN = 4


class Split:
    """Sides of slices, kept in a file.

    Args:
        path: The file; it is made at the first decision.

    Raises:
        InputError: The file is there and is no split.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cases: dict[str, dict[str, Any]] = {}
        if path.is_file():
            self._cases = _read(path)

    def known(self, case: str, slice_index: int) -> bool | None:
        """Whether a slice is held back; None where it was never seen."""
        entry = self._cases.get(case, {}).get("slices", {}).get(str(slice_index))
        return None if entry is None else bool(entry["held_back"])

    def is_whole(self, case: str) -> bool:
        """Whether all of a case is held back."""
        return bool(self._cases.get(case, {}).get("whole", False))

    def side(self, case: str, slice_index: int, positive: bool) -> bool:
        """Whether a slice is held back; decided and written down where it was never seen.

        Args:
            case: The case's key.
            slice_index: Canonical index of the slice.
            positive: Whether it shows the structure.

        Raises:
            InputError: The file cannot be written.
        """
        decided = self.known(case, slice_index)
        if decided is not None:
            return decided
        before = json.dumps(self._cases)
        entry = self._cases.setdefault(case, {"whole": len(self._cases) % _ONE_IN == _ONE_IN - 1, "slices": {}})
        held_back = bool(entry["whole"]) or self._is_due(entry["slices"].values(), positive)
        entry["slices"][str(slice_index)] = {"held_back": held_back, "positive": positive}
        try:
            self._write()
        except InputError:
            self._cases = json.loads(before)  # what is not on disk was not decided
            raise
        return held_back

    def _is_due(self, of_case: Iterable[dict[str, bool]], positive: bool) -> bool:
        """Whether too few would be held back if the next slice of a case were learnt from."""
        shown = [side["held_back"] for side in of_case if side["positive"]]
        if positive and len(shown) >= 2 and not any(shown):
            return True
        alike = [
            side
            for case in self._cases.values()
            if not case["whole"]
            for side in case["slices"].values()
            if side["positive"] == positive
        ]
        count = len(alike) + 1
        wanted = max(1, count // _ONE_IN) if count > 1 else 0
        return sum(side["held_back"] for side in alike) < wanted

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(self._path, json.dumps({"schema": SCHEMA, "cases": self._cases}, indent=1) + "\n")


def _read(path: Path) -> dict[str, dict[str, Any]]:
    document = read_json(path, "split")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"{path} is not a split of the kind {SCHEMA}.")
    check_keys(document, required={"schema", "cases"}, allowed={"schema", "cases"}, what="The split")
    cases = document["cases"]
    fine = isinstance(cases, dict) and all(
        isinstance(case, dict)
        and isinstance(case.get("whole"), bool)
        and isinstance(case.get("slices"), dict)
        and all(_is_side(index, side) for index, side in case["slices"].items())
        for case in cases.values()
    )
    if not fine:
        raise InputError(f"The split {path} is damaged; put back a copy of it, or begin a new correction set.")
    return cases


def _is_side(index: str, side: Any) -> bool:
    return (
        index.isdecimal()
        and isinstance(side, dict)
        and {type(side.get(k)) for k in ("held_back", "positive")} == {bool}
    )
