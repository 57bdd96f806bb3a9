"""Folders of cases: which label of a segmentation is learnt from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_files import write_segmentation, write_with_itk
from synthetic_ct import synthetic_ct

from sammix_core.datasets.case_folder import check_case_folder, read_case
from sammix_core.datasets.cases import CaseConfig, load_case
from sammix_core.errors import InputError
from sammix_core.finetuning.settings import FineTuneSettings
from sammix_core.training.config_file import CaseEntry

CT = synthetic_ct()
LIVER = (CT > 80) & (CT < 200)
TUMOUR = LIVER & (np.indices(CT.shape)[2] < 12)


@pytest.fixture
def config(tmp_path: Path) -> CaseConfig:
    """A case with a tumour that lies over the liver in a layer of its own."""
    write_with_itk(tmp_path / "anna_ct.nrrd", CT)
    segments = [("liver", 0, 1), ("tumour", 1, 1), ("vein", 1, 2)]
    write_segmentation(tmp_path / "anna_label.seg.nrrd", [LIVER * 1, TUMOUR * 1 + ~LIVER * 2], segments)
    (config,) = check_case_folder(tmp_path)
    return config


@pytest.mark.parametrize("label", ["liver", "Liver", 1, "1"])
def test_a_segment_is_learnt_from_whole(config: CaseConfig, label: int | str) -> None:
    case = read_case(config, label, sparse=False)
    np.testing.assert_array_equal(case.mask_volume(), case.order.forward(LIVER))
    by_values = load_case(replace(config, values=(1,)))
    np.testing.assert_array_equal(by_values.mask_volume(), case.mask_volume())


def test_several_segments_are_listed_by_name(config: CaseConfig) -> None:
    with pytest.raises(InputError, match=r"1 \(liver\), 2 \(tumour\), 3 \(vein\); say with --label which one"):
        read_case(config, None, sparse=False)
    with pytest.raises(InputError, match=r"no segment named spleen; it has 1 \(liver\), 2 \(tumour\), 3 \(vein\)"):
        read_case(config, "spleen", sparse=False)


@pytest.mark.parametrize("label", ["liver", 6, None])
def test_a_run_keeps_its_label(label: int | str | None) -> None:
    settings = FineTuneSettings("my-liver", (Path("cases"),), label=label)
    assert FineTuneSettings.from_json(settings.to_json()).label == label


def test_values_that_are_doubted_are_taken_on_a_persons_word(tmp_path: Path) -> None:
    write_with_itk(tmp_path / "anna_ct.nrrd", CT + np.int16(512))
    write_with_itk(tmp_path / "anna_label.nrrd", LIVER.astype(np.uint8))
    (config,) = check_case_folder(tmp_path)
    with pytest.raises(InputError, match="with values_are_hu in a training configuration"):
        read_case(config, None, sparse=False)
    case = read_case(config, None, sparse=False, values_are_hu=True)
    np.testing.assert_array_equal(case.volume.array, CT + np.int16(512))
    np.testing.assert_array_equal(load_case(replace(config, values_are_hu=True)).axial, case.axial)


def test_a_training_configuration_passes_that_word_on() -> None:
    entry = CaseEntry(name="anna", ct="anna_ct.nrrd", values_are_hu=True)
    assert entry.resolved(Path("data"), Path("labels")).values_are_hu
    assert not CaseEntry(name="anna", ct="anna_ct.nrrd").resolved(Path("data"), Path("labels")).values_are_hu
