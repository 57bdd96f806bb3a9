"""Every condition of docs/formats/input.md: the mask is the plain file's, or a sentence says what is wrong.

The masks are compared in one order of axes. Volumes that hold the same numbers in the same grid share one run of the
network, which is deterministic, and slices that look the same to the bit share one run of its encoder.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest
from odd_files import CONDITIONS, FACE_DOWN, MIRRORED, READ, REFUSED, Condition, nifti
from real_data import real_data
from remembering_engine import remembering
from synthetic_ct import synthetic_ct
from typer.testing import CliRunner

from sammix_core.cli import app as cli
from sammix_core.errors import InputError
from sammix_core.segmentation.result import SegmentationResult
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import read_labelmap

pytestmark = pytest.mark.slow  # segments with the shipped model

TABLE = Path(__file__).parents[3] / "docs" / "formats" / "input.md"
_LEAST_DICE = 0.97


@pytest.fixture(scope="module")
def slab() -> np.ndarray:
    """(4, 256, 256) int16 HU: real where there is real CT, else drawn."""
    try:
        volume = read_volume(real_data("totalseg_dicom_slab20"))
    except pytest.skip.Exception:
        return np.clip(synthetic_ct((4, 256, 256)), -1024, 3071)
    return np.ascontiguousarray(np.clip(volume.array[8:12, ::2, ::2], -1024, 3071))


class Masks:
    """One model, and one run for each different volume."""

    def __init__(self) -> None:
        self.segmenter = remembering(Segmenter.load("liver"))
        self._results: dict[str, SegmentationResult] = {}

    def of(self, volume: Volume) -> SegmentationResult:
        """The result, on the volume's own grid."""
        known = (volume.spacing_known, volume.orientation_known, volume.spacing, volume.axial_order, volume.shape_kji)
        key = hashlib.sha256(repr(known).encode() + np.ascontiguousarray(volume.array).tobytes()).hexdigest()
        if key not in self._results:
            self._results[key] = self.segmenter.segment_volume(volume)
        return self._results[key]


@pytest.fixture(scope="module")
def masks() -> Masks:
    return Masks()


@pytest.fixture(scope="module")
def plain_mask(masks: Masks, slab: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return masks.of(read_volume(nifti(tmp_path_factory.mktemp("plain") / "ct.nii.gz", slab))).mask > 0


def _dice(mask: np.ndarray, other: np.ndarray) -> float:
    total = int(mask.sum() + other.sum())
    return 1.0 if total == 0 else 2 * int((mask & other).sum()) / total


def _flipped(array: np.ndarray, condition: Condition) -> np.ndarray:
    return np.flip(array, [axis for axis, flip in enumerate(condition.flips) if flip])


def _in_slab_order(array: np.ndarray, volume: Volume, condition: Condition) -> np.ndarray:
    """(k, j, i) of the slab: by what the condition did where the header does not say it, else by the header."""
    if not volume.orientation_known or not volume.spacing_known:
        return _flipped(array, condition) if volume.found_order is None else volume.found_order.forward(array)
    return volume.axial_order.forward(array)


@pytest.mark.parametrize("name", [name for name, condition in CONDITIONS.items() if condition.outcome != REFUSED])
def test_read(name: str, slab: np.ndarray, masks: Masks, plain_mask: np.ndarray, tmp_path: Path) -> None:
    condition = CONDITIONS[name]
    volume = read_volume(condition.make(tmp_path, slab), **condition.options)
    if condition.outcome == READ:
        assert volume.notes == ()
    else:
        assert re.search(condition.says, " ".join(volume.notes)), volume.notes
    if condition.precise:
        np.testing.assert_array_equal(_in_slab_order(volume.array, volume, condition), slab)
    mask = _in_slab_order(masks.of(volume).mask, volume, condition) > 0
    assert _dice(mask, plain_mask) >= _LEAST_DICE


@pytest.mark.parametrize("name", [name for name, condition in CONDITIONS.items() if condition.outcome == REFUSED])
def test_refused(name: str, slab: np.ndarray, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    condition = CONDITIONS[name]
    path = condition.make(tmp_path, slab)
    capfd.readouterr()
    with pytest.raises(InputError, match=condition.says) as caught:
        read_volume(path, **condition.options)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.real_data
@pytest.mark.parametrize("condition", [MIRRORED, FACE_DOWN])
def test_a_header_that_mirrors_the_patient_is_said_and_not_changed(
    condition: Condition, slab: np.ndarray, masks: Masks, tmp_path: Path
) -> None:
    real_data("totalseg_dicom_slab20")
    volume = read_volume(condition.make(tmp_path, slab))
    result = masks.of(volume)
    assert condition.says in " ".join(result.notes)
    assert result.axial_order == volume.axial_order


@pytest.fixture
def load_once(masks: Masks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the command take the model that the other tests have."""
    monkeypatch.setattr(Segmenter, "load", lambda *_, **__: masks.segmenter)


def _run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["segment", *(str(word) for word in words)])
    return result.exit_code, result.output


def test_the_command_line_shifts_and_says_so(
    slab: np.ndarray, plain_mask: np.ndarray, load_once: None, tmp_path: Path
) -> None:
    path = CONDITIONS["HU + 1024 with fill -1000"].make(tmp_path, slab)
    code, output = _run(path, "-o", tmp_path / "mask.nii.gz")
    assert code == 0, output
    assert "1024 was subtracted" in output
    assert _dice(read_labelmap(tmp_path / "mask.nii.gz").array > 0, plain_mask) >= _LEAST_DICE


def test_the_command_line_refuses_a_map(slab: np.ndarray, tmp_path: Path) -> None:
    path = CONDITIONS["a material map"].make(tmp_path / "map", slab)
    code, output = _run(path, "-o", tmp_path / "mask.nii.gz")
    assert code == 2
    assert "a material density map" in output
    assert not (tmp_path / "mask.nii.gz").exists()


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 on Windows")
def test_the_command_line_takes_any_file_name(
    slab: np.ndarray, plain_mask: np.ndarray, load_once: None, tmp_path: Path
) -> None:
    path = CONDITIONS["a file name that is no UTF-8"].make(tmp_path, slab)
    mask = tmp_path / os.fsdecode(b"m\xe4sk.mha")
    code, output = _run(path, "-o", mask, "--report", tmp_path / "report.json")
    assert code == 0, output
    assert _dice(read_labelmap(mask).array > 0, plain_mask) >= _LEAST_DICE
    assert (tmp_path / "report.json").exists()


def table() -> str:
    """The rows of docs/formats/input.md, from the conditions themselves."""
    rows = []
    for name, condition in CONDITIONS.items():
        options = ", ".join(f"{key}={value!r}" for key, value in condition.options.items())
        says = f': "{condition.says}"' if condition.says else ""
        test = "test_refused" if condition.outcome == REFUSED else "test_read"
        rows.append(f"| {name} | {condition.outcome}{says}{f' ({options})' if options else ''} | `{test}[{name}]` |")
    return "\n".join(rows)


def test_the_table_in_the_docs_is_that_of_the_conditions() -> None:
    assert len(CONDITIONS) >= 60
    assert table() in TABLE.read_text(encoding="utf-8")
