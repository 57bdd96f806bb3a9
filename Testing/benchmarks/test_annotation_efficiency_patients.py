"""The protocol with several patients: who is labelled, what the others give away, and what the page says of it."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from image_files import write_with_itk
from synthetic_ct import LIVER, synthetic_ct
from training_cases import QuickLiteMedSam

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.annotation_efficiency import bench as bench_module
from benchmarks.annotation_efficiency import cli, methods, patients, table_patients
from benchmarks.annotation_efficiency.cells import CEILING, PATIENTS, WHOLE, WITHOUT, Cell, planned
from benchmarks.annotation_efficiency.rows import RESULTS, Row, read_rows
from sammix_core.datasets.cases import LabelledCase
from sammix_core.errors import InputError
from sammix_core.volume.volume import Volume

CPU = torch.device("cpu")
NAMES = ("anna", "bert", "carl", "dora", "emil", "fritz", "gerd")


def a_case(name: str, patient: str = "", masks: int = 24, without: int = 6) -> LabelledCase:
    """A case whose first slices show the structure."""
    count = masks + without
    volume = Volume(np.zeros((count, 4, 4), np.int16), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0), np.eye(3))
    liver = np.zeros((count, 4, 4), bool)
    liver[:masks, 1:3, 1:3] = True
    case = LabelledCase.from_mask(name, volume, liver)
    return LabelledCase(name, volume, case.masks, case.absent, patient=patient)


def the_cases() -> list[LabelledCase]:
    """Seven patients, one with a second volume, and one who has too few masks to be labelled."""
    return [a_case(name) for name in NAMES] + [a_case("anna_late", "anna"), a_case("small", masks=5)]


def test_three_and_one_patient_of_a_draw_are_the_same_and_nobody_is_tested_who_is_known() -> None:
    cases = the_cases()
    for draw in range(6):
        three, one = (patients.roles_of(cases, draw, count, out_of_fold=True) for count in (3, 1))
        assert one.labelled == three.labelled[:1]
        assert one.tested == three.tested == patients.roles_of(cases, draw, 0, out_of_fold=True).tested
        labelled = {case.patient for case in cases if case.name in three.labelled}
        assert len(labelled) == len(three.tested) == 3
        assert not labelled & three.tested
        assert "small" not in labelled
        assert not patients.roles_of(cases, draw, 3, out_of_fold=False).tested
    one, other = (set(patients.roles_of(cases, draw, 3, out_of_fold=False).labelled) for draw in (0, 1))
    assert not one & other, "nobody is labelled twice while there are others"
    with pytest.raises(InputError, match=r"6 patients are needed with 20 masks .* there are 5"):
        patients.roles_of(cases[:5], 0, 3, out_of_fold=True)


def test_the_others_give_away_image_level_labels_alone() -> None:
    cases = the_cases()
    cell = Cell(PATIENTS, WHOLE, 10, 3, 1)
    roles = patients.roles_of(cases, 1, 3, out_of_fold=True)
    material = patients.material_of(cases, cell, roles, with_others=True)
    assert {case.name: len(case.masks) for case in material.cases if case.masks} == dict(
        zip(roles.labelled, (4, 3, 3), strict=True)
    )
    assert not {case.patient for case in material.cases} & roles.tested
    for case in material.cases:
        assert len(case.masks) + len(case.present) + len(case.absent) == len(case.axial), "something is known of each"
        places = sorted(case.masks)
        assert all(5 <= above - below <= 9 for below, above in pairwise(places)), "spread evenly"
    held = material.split.held_back
    masks = {(case.name, index) for case in material.cases for index in case.masks}
    assert sum((name, index) in masks for name, slices in held.items() for index in slices) == 2, "a fifth of ten"
    assert held.keys() == set(roles.labelled)
    alone = patients.material_of(cases, cell, roles, with_others=False)
    labelled = {case.patient for case in cases if case.name in roles.labelled}
    assert {case.patient for case in alone.cases} == labelled
    assert alone.split == material.split, "what is compared with is held back alike"


def test_the_ceiling_has_all_masks_of_all_but_those_tested() -> None:
    cases = the_cases()
    roles = patients.roles_of(cases, 0, 0, out_of_fold=True)
    material = patients.material_of(cases, Cell(PATIENTS, CEILING, None, 12, 0), roles, with_others=True)
    assert sum(len(case.masks) for case in material.cases) == sum(
        len(case.masks) for case in cases if case.patient not in roles.tested
    )


def test_the_cells_are_those_that_were_asked_for() -> None:
    cells = planned()
    assert len(set(cells)) == len(cells) == 36 + 3 + 36 + 2
    assert [cell.method for cell in cells[:2]] == [WHOLE, WITHOUT]
    assert all(cell.method in methods.METHODS for cell in cells)
    for variant in methods.VARIANTS:
        methods.method_of(f"{WHOLE}+{variant}").settings(PATIENTS).check()
    both = methods.method_of(f"{WHOLE}+mean_teacher+views").settings(PATIENTS)
    assert (both.mean_teacher, both.views) == (True, 4)


def rows_of(method: str, count: int, dices: list[float], **more: object) -> list[Row]:
    return [
        Row(method, count, draw, case, "person", boxes, dice, None, None, 1.0, PATIENTS, 3, draw)
        for draw, dice in enumerate(dices)
        for case in more.get("cases", table_patients.CASES)  # type: ignore[attr-defined]
        for boxes in ("auto", "oracle")
    ]


def test_the_page_answers_how_many_slices_or_says_that_it_is_not_measured() -> None:
    assert "*not measured*" in table_patients.for_a_radiologist([])
    assert all("*not measured*" in line for line in table_patients.aims([])[2:])
    rows = rows_of(WHOLE, 5, [0.9, 0.92]) + rows_of(WHOLE, 50, [0.94]) + rows_of(WITHOUT, 5, [0.88, 0.89])
    rows += rows_of(WHOLE, 10, [0.99], cases=("ircadb17",))
    top = [Row(**{**vars(row), "method": CEILING, "patients_labelled": 12}) for row in rows_of(WHOLE, 650, [0.945])]
    text = table_patients.for_a_radiologist(rows + top)
    assert "was then 0.910 with 5, 0.940 with 50 outlined slices" in text
    assert "So 50 outlined slices are within 0.01 of that" in text
    assert "What outlining everything would give is *not measured*." in table_patients.for_a_radiologist(rows)
    lines = table_patients.table(rows + top, "auto")
    first = next(line for line in lines if line.startswith("| SAM-Mix, embedding CAM"))
    assert "| 0.910 (0.900 to 0.920, 2 of 3 draws) | *not measured* |" in first, "a draw on one case is none"
    assert "| - with all masks of all patients | 0.945 (1 of 3 draws) |" in "\n".join(lines)
    aims = "\n".join(table_patients.aims(rows + top))
    assert "| Unlabelled patients, 5 masks | +0.025 | +0.010 or more | yes |" in aims
    assert "| 5 masks against the ceiling | -0.035 | -0.010 or more | no |" in aims
    assert "| SAM-Mix, embedding CAM | 5 | *not measured* | 0.910 | .919 | .807 |" in table_patients.beside_the_paper(
        rows
    )


# From files to rows


def write_config(folder: Path) -> Path:
    """A configuration of `sammix train` with five patients of few thick slices, and a case to test on."""
    cases = []
    for number, name in enumerate(NAMES[:5]):
        ct = synthetic_ct((6, 40, 48), seed=number)
        label = (abs(ct - LIVER) < 40).astype(np.uint8)
        label[[0, 1, -1]] = 0
        for kind, array in (("ct", ct), ("label", label)):
            write_with_itk(folder / f"{name}_{kind}.nii.gz", array, (6.0,) * 3)
        cases.append({"name": name, "ct": f"{name}_ct.nii.gz", "mask": f"{name}_label.nii.gz", "values": [1]})
    entry = {"name": "small", "version": "0.1.0", "target": "liver", "seed": 5, "data_root": ".", "views": 3}
    path = folder / "config.yaml"
    entry["preprocessing"] = {"least_extent_mm": 0.0}  # these bodies are small
    path.write_text(yaml.safe_dump({**entry, "work": "work", "output": "out", "cases": cases}))
    (folder / "test").mkdir()
    hans = synthetic_ct((6, 40, 48), seed=9)
    write_with_itk(folder / "test" / "hans_ct.nii.gz", hans, (6.0,) * 3)
    write_with_itk(folder / "test" / "hans_label.nii.gz", (abs(hans - LIVER) < 40).astype(np.uint8), (6.0,) * 3)
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[QuickLiteMedSam]:
    """Everything small; gives the backends that are made."""
    made: list[QuickLiteMedSam] = []

    def make(device: torch.device, engine: str = "auto") -> QuickLiteMedSam:
        made.append(QuickLiteMedSam(device))
        return made[-1]

    monkeypatch.setattr(bench_module, "LiteMedSam", make)
    quicker = {"steps": 3, "warm_up": 1, "check_every": 1, "patience": 1, "batch": 2, "unlabelled_batch": 1, "views": 1}
    monkeypatch.setattr(methods, "QUICKER", {**quicker, "decoded": 1, "width": 0.0625})
    monkeypatch.setattr(bench_module, "QUICKER", quicker)
    monkeypatch.setattr(patients, "LEAST_MASKS", 3)
    monkeypatch.setattr(patients, "TESTED_OUT_OF_FOLD", 1)
    return made


@pytest.mark.slow
def test_rows_out_of_fold_and_on_test_cases(
    tmp_path: Path, quick: list[QuickLiteMedSam], capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--protocol", "patients", "--config", str(write_config(tmp_path)), "--work", str(tmp_path / "own")]
    results, cell = tmp_path / "rows.jsonl", f"{WHOLE}/5/3/0"
    test = ["--test", str(tmp_path / "test"), "--results", str(results), "--only", cell]
    cli.main([*common, *test])
    rows = read_rows(results)
    assert [(row.case, row.boxes) for row in rows] == [("hans", "auto"), ("hans", "oracle")]
    assert {row.cell for row in rows} == {Cell(PATIENTS, WHOLE, 5, 3, 0)}
    plain = sorted((tmp_path / "work" / "views").glob("*/*.embeddings.npy"))
    assert [file.name for file in plain] == ["clean.embeddings.npy"] * 5, "as the configuration's own training encodes"
    own = {file.name for file in (tmp_path / "own" / "views").glob("*/*.embeddings.npy")}
    assert own == {"strong-00.embeddings.npy"}, "the plain views are not encoded again"
    capsys.readouterr()
    cli.main([*common, *test])
    assert capsys.readouterr().out == "", "nothing was left to be done"
    cli.main([*common, *test, "--list"])
    assert capsys.readouterr().out == f"{cell}: done\n"

    folds, variant = tmp_path / "folds.jsonl", f"{WHOLE}+mean_teacher"
    chosen = ["--out-of-fold", "--variant", "mean_teacher", "--results", str(folds)]
    quick.clear()
    cli.main([*common, *chosen, "--only", f"{variant}/5/3/0"])
    assert sum(backend.encoded for backend in quick) == 0, "training patients are encoded already"
    assert {(row.method, row.label_origin) for row in read_rows(folds)} == {(variant, "model")}
    assert read_rows(folds)[0].case in NAMES
    capsys.readouterr()
    cli.main([*common, *chosen, "--table"])
    assert f"| {variant} | 5 | 1 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["--variant", "views"], "--variant needs --out-of-fold"),
        (["--out-of-fold", "--variant", "more"], "no variant 'more'"),
        (["--out-of-fold", "--test", "folder"], "--test does not go with it"),
        (["--only", "unet/7/3/0"], "no cell 'unet/7/3/0' in this run"),
    ],
)
def test_wrong_arguments_end_with_a_sentence(
    more: list[str], match: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--protocol", "patients", "--results", str(tmp_path / "r.jsonl"), *more])
    assert caught.value.code == 2
    assert match in capsys.readouterr().err


def test_the_five_volumes_are_of_no_training_patient() -> None:
    text = (RESULTS.parent / "test_patients.yaml").read_text()
    tested = [case["name"] for case in yaml.safe_load(text)["cases"]]
    assert tuple(tested) == table_patients.CASES
    config = yaml.safe_load((RESULTS.parents[1] / "liver_model" / "config.yaml").read_text())
    assert not set(tested) & {case["name"] for case in config["cases"]}
