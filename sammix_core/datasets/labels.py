"""Labels as run-length encoded JSON (`sammix-labels/2`), so that a repository can carry them without patient images.

A file names the case and its grid, and lists the slices that were labelled with a box and the runs of the mask, and
ranges of slices known to be without the structure, known to show it, and undecidable. A slice in no list is unlabelled:
nothing is learnt from it. `sammix-labels/1`, without the last two lists, is read as well.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sammix_core.boxes import tight_box
from sammix_core.documents import check_keys, read_json
from sammix_core.errors import InputError
from sammix_core.files import write_text_atomic

SCHEMA = "sammix-labels/2"
_SCHEMA_1 = "sammix-labels/1"
_KEYS = {"schema", "case", "target", "made_by", "grid_shape_kji", "slices", "without"}
_KEYS_2 = _KEYS | {"present", "undecided"}


def encode_runs(mask: np.ndarray) -> list[int]:
    """Run lengths of a bool mask read row by row; the first run is of False and may be 0.

    >>> encode_runs(np.array([[False, True], [True, False]]))
    [1, 2, 1]
    """
    flat = np.concatenate([[False], np.asarray(mask, dtype=bool).ravel(), [False]])
    edges = np.flatnonzero(np.diff(flat.astype(np.int8)))
    bounds = np.concatenate([[0], edges, [flat.size - 2]])
    runs = np.diff(bounds)
    return [int(run) for run in (runs[:-1] if runs[-1] == 0 else runs)]


def decode_runs(runs: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """Inverse of `encode_runs`.

    Args:
        runs: Run lengths, the first of False.
        shape: (rows, cols) of the mask.

    Raises:
        InputError: The runs do not fill the shape exactly.
    """
    lengths = list(runs) if isinstance(runs, list | tuple) else [-1]
    whole = all(type(run) is int and run >= 0 for run in lengths)  # True is an int, but no length
    if not whole or sum(lengths) != shape[0] * shape[1]:
        raise InputError("A label's runs do not fill its slice; the label file is damaged.")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(shape)


@dataclass(frozen=True)
class CaseLabels:
    """Labels of one case on its own grid.

    Attributes:
        case: Name of the case.
        target: Name of the structure.
        made_by: How the labels came about, one sentence.
        shape: (n_k, n_j, n_i) of the volume.
        masks: Slice index -> (n_j, n_i) bool.
        without: Slice indices known to be without the structure.
        present: Slice indices known to show it, without a mask.
        undecided: Slice indices that a reader could not decide.
        began_from: Slice index -> Dice of its mask with the one that the reader began from; none for a slice that was
            drawn from nothing.
    """

    case: str
    target: str
    made_by: str
    shape: tuple[int, int, int]
    masks: dict[int, np.ndarray] = field(default_factory=dict)
    without: frozenset[int] = frozenset()
    present: frozenset[int] = frozenset()
    undecided: frozenset[int] = frozenset()
    began_from: dict[int, float] = field(default_factory=dict)

    def write(self, path: str | Path) -> None:
        """Writes the file whole or not at all."""
        slices = []
        for k, mask in sorted(self.masks.items()):
            began = {"began_from": round(self.began_from[k], 4)} if k in self.began_from else {}
            slices.append({"slice": k, "box": tight_box(mask), **began, "runs": encode_runs(mask)})
        head = {
            "schema": SCHEMA,
            "case": self.case,
            "target": self.target,
            "made_by": self.made_by,
            "grid_shape_kji": list(self.shape),
            "without": _ranges(self.without),
            "present": _ranges(self.present),
            "undecided": _ranges(self.undecided),
        }
        # One slice a line keeps the file readable in a diff.
        lines = ",\n  ".join(json.dumps(entry, separators=(",", ":")) for entry in slices)
        write_text_atomic(path, json.dumps(head, indent=1)[:-2] + ',\n "slices": [\n  ' + lines + "\n ]\n}\n")

    @classmethod
    def read(cls, path: str | Path) -> CaseLabels:
        """Reads a label file.

        Raises:
            InputError: The file is absent, no label file, of another version or damaged.
        """
        entry = read_json(path, "label file")
        if not isinstance(entry, dict) or entry.get("schema") not in (SCHEMA, _SCHEMA_1):
            raise InputError(f"{path} is not a label file of the kind {SCHEMA} or {_SCHEMA_1}.")
        keys = _KEYS_2 if entry["schema"] == SCHEMA else _KEYS
        check_keys(entry, required=keys, allowed=keys, what="label file")
        try:
            return cls._from_entry(entry)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} has a value of another kind than label files have; it is damaged.") from error

    @classmethod
    def _from_entry(cls, entry: dict[str, Any]) -> CaseLabels:
        n_k, n_j, n_i = (operator.index(size) for size in entry["grid_shape_kji"])
        masks: dict[int, np.ndarray] = {}
        began_from: dict[int, float] = {}
        without, present, undecided = (_indices(entry.get(key, [])) for key in ("without", "present", "undecided"))
        taken = without | present | undecided
        if len(taken) < len(without) + len(present) + len(undecided):
            raise InputError("A slice is in two lists of slices without a mask.")
        for item in entry["slices"]:
            mask = decode_runs(item["runs"], (n_j, n_i))
            tight = tight_box(mask)
            if tight is None or item["box"] != list(tight):
                raise InputError("A label's box is not the one round its mask; the label file is damaged.")
            if item["slice"] in masks or item["slice"] in taken:
                raise InputError(f"Slice {item['slice']} is labelled twice.")
            masks[operator.index(item["slice"])] = mask
            if "began_from" in item:
                began_from[item["slice"]] = float(item["began_from"])
        if any(not 0 <= k < n_k for k in (*masks, *taken)):
            raise InputError("A slice outside its own grid is labelled; the label file is damaged.")
        case, target, made_by = entry["case"], entry["target"], entry["made_by"]
        return cls(case, target, made_by, (n_k, n_j, n_i), masks, without, present, undecided, began_from)


def _indices(ranges: Sequence[Sequence[int]]) -> frozenset[int]:
    """The indices in closed ranges."""
    return frozenset(k for first, last in ranges for k in range(first, last + 1))


def _ranges(indices: Iterable[int]) -> list[list[int]]:
    """Sorted indices as closed ranges."""
    result: list[list[int]] = []
    for index in sorted(indices):
        if result and index == result[-1][1] + 1:
            result[-1][1] = index
        else:
            result.append([index, index])
    return result
