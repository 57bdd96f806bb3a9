"""A whole batch with workers in processes: one study broken, one worker killed, and every way to run it again."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from batch_inputs import SETTINGS, Harness, write_ct, write_eight
from batch_models import FOLDER_VARIABLE
from fake_network import a_fake_model

from sammix_core.batch.driver import Rules, Summary
from sammix_core.batch.folder import BatchFolder
from sammix_core.batch.ledger import State
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume_io import read_volume

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def marks(tmp_path_factory: pytest.TempPathFactory):
    """Where workers leave marks; the runs of this file share it."""
    folder = tmp_path_factory.mktemp("marks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_eight(folder)
    return folder


@pytest.fixture(scope="module")
def first(inputs: Path, marks: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Harness, Summary]:
    harness = Harness(BatchFolder(tmp_path_factory.mktemp("batch") / "out"), workers=2)
    return harness, harness.run([inputs])


def test_seven_of_eight_are_done_and_the_broken_one_says_why(first) -> None:
    harness, summary = first
    assert (summary.studies, summary.segmented) == (8, 7)
    assert summary.counts == {State.DONE: 7, State.FAILED: 1}
    broken = harness.entries()["broken"]
    assert broken.state is State.FAILED
    assert broken.sentence == "broken.nii.gz is cut short or damaged; copy or download it again."
    assert [sentence.endswith(f"broken.nii.gz: {broken.sentence}") for sentence in harness.said] == [True]
    assert harness.steps[0] == (0, 8)
    assert harness.steps[-1] == (8, 8)


def test_the_model_is_loaded_once_a_worker_and_once_for_the_one_that_died(first, marks: Path) -> None:
    assert (marks / "died").exists()
    assert 2 <= len(list(marks.glob("loaded-*"))) <= 3


def test_masks_are_those_of_single_runs(first, inputs: Path) -> None:
    harness, _ = first
    alone = Segmenter(a_fake_model())
    for name, path in (("alpha", "alpha.nii.gz"), ("gamma", "gamma.mha"), ("kills", "kills.nii.gz")):
        expected = alone.segment_volume(read_volume(inputs / path)).mask
        assert expected.any()
        written = sitk.ReadImage(str(harness.folder.path / harness.entries()[name].mask))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(written), expected)
        assert written.GetSpacing() == sitk.ReadImage(str(inputs / path)).GetSpacing()


def test_two_files_of_one_name_and_dicom_get_names_of_their_own(first) -> None:
    harness, _ = first
    names = set(harness.entries())
    assert {"alpha", "deep-alpha", "beta", "gamma", "kills", "broken"} < names
    assert sum(name.startswith("dicom-") for name in names) == 2
    masks = {path.name for path in (harness.folder.path / "masks").iterdir()}
    assert masks == {f"{name}.nii.gz" for name in names - {"broken"}}


def test_nothing_is_left_but_the_outputs(first) -> None:
    harness, _ = first
    found = {path.name for path in harness.folder.path.iterdir()}
    assert found - {".lock"} == {"ledger.sqlite", "masks", "previews", "reports", "table.csv", "table.html"}
    assert not any(pid_is_alive(pid) for pid in harness.pools[0].pids)


def test_the_table_begins_with_what_failed(first) -> None:
    harness, _ = first
    with harness.folder.csv.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8
    assert (rows[0]["name"], rows[0]["state"], rows[0]["mask"]) == ("broken", "failed", "")
    alpha = next(row for row in rows if row["name"] == "alpha")
    assert (harness.folder.path / alpha["mask"]).is_file()
    assert (harness.folder.path / alpha["report"]).is_file()
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(harness.folder.path / alpha["mask"])))
    assert float(alpha["volume_ml"]) == pytest.approx(mask.sum() * 3 * 3 * 6 / 1000, abs=0.1)
    assert int(alpha["slices_with_mask"]) == mask.any(axis=(1, 2)).sum()


class TestAgain:
    """Runs that follow, one after the other, in the folder of the first; in this process."""

    @pytest.fixture
    def again(self, first) -> Harness:
        return Harness(first[0].folder)

    def test_a_second_run_has_nothing_to_do_and_starts_no_worker(self, again: Harness, inputs: Path) -> None:
        before = again.entries()
        summary = again.run([inputs])
        assert (summary.segmented, summary.counts[State.DONE], summary.counts[State.FAILED]) == (0, 7, 1)
        assert again.pools == []
        assert again.entries() == before

    def test_what_changed_what_failed_and_what_is_missing_is_segmented_again(
        self, again: Harness, inputs: Path
    ) -> None:
        before = again.entries()
        write_ct(inputs / "gamma.mha", 44)
        write_ct(inputs / "broken.nii.gz", 6)
        os.utime(inputs / "beta.nrrd", ns=(1, 1))
        (again.folder.path / before["alpha"].mask).unlink()
        summary = again.run([inputs])
        after = again.entries()
        assert (summary.segmented, summary.counts) == (3, {State.DONE: 8})
        changed = {name for name in after if after[name].finished != before[name].finished}
        assert changed == {"gamma", "broken", "alpha"}
        assert after["gamma"].input_hash != before["gamma"].input_hash
        assert after["beta"].stamp != before["beta"].stamp
        assert after["beta"].input_hash == before["beta"].input_hash

    def test_force_and_another_model_segment_again(self, again: Harness, inputs: Path) -> None:
        one = [inputs / "alpha.nii.gz"]
        assert again.run(one).segmented == 0
        assert again.run(one, rules=Rules(force=True)).segmented == 1
        hash_before = again.entries()["alpha"].model_hash
        assert again.run(one, replace(SETTINGS, seed=5)).segmented == 1
        assert again.entries()["alpha"].model_hash != hash_before


def pid_is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
