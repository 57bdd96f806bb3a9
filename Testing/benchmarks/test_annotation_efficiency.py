"""The annotation-efficiency benchmark: same slices for all, no row measured twice, and what its table says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_files import write_with_itk
from synthetic_ct import LIVER, synthetic_ct
from training_cases import QuickLiteMedSam

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.annotation_efficiency import bench as bench_module
from benchmarks.annotation_efficiency import cli, methods, patient, plot, scoring, table
from benchmarks.annotation_efficiency.baselines import make_network
from benchmarks.annotation_efficiency.cases import read_cases
from benchmarks.annotation_efficiency.cells import ONE_PATIENT, Cell, planned
from benchmarks.annotation_efficiency.embeddings import KeptEncoder
from benchmarks.annotation_efficiency.methods import COUNTS, METHODS
from benchmarks.annotation_efficiency.rows import RESULTS, Row, append, done, read_rows
from sammix_core.errors import InputError

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
KEYS = ["method", "labelled_slices", "seed", "case", "label_origin", "boxes", "dice", "hd95_mm"]
KEYS += ["surface_dice_2mm", "seconds", "protocol", "patients_labelled", "draw"]


def write_case(folder: Path, name: str, seed: int, spacing: float = 6.0) -> None:
    ct = synthetic_ct((14, 40, 48), seed=seed)
    label = (abs(ct - LIVER) < 40).astype(np.uint8)
    label[[0, 1, -1]] = 0
    write_with_itk(folder / f"{name}_ct.nii.gz", ct, (spacing,) * 3)
    write_with_itk(folder / f"{name}_label.nii.gz", label, (spacing,) * 3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_case(folder, "anna", 0)
    (folder / "test").mkdir()
    write_case(folder / "test", "bert", 1)
    return folder


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "LiteMedSam", lambda device, engine="auto": QuickLiteMedSam(device))
    quicker = {"steps": 3, "warm_up": 1, "check_every": 1, "patience": 1, "batch": 2, "unlabelled_batch": 1, "views": 1}
    monkeypatch.setattr(methods, "QUICKER", {**quicker, "decoded": 1, "width": 0.0625})
    monkeypatch.setattr(bench_module, "QUICKER", quicker)
    for name, value in {"STEPS": 2, "BATCH": 2, "CHECK_EVERY": 1}.items():
        monkeypatch.setattr(f"benchmarks.annotation_efficiency.baselines.{name}", value)
    monkeypatch.setattr(patient, "IMAGE_VIEWS", 1)


def call(data: Path, folder: Path, *more: str) -> list[Row]:
    label = str(data / "anna_label.nii.gz")
    results = folder / "rows.jsonl"
    names = ["--train", str(data / "anna_ct.nii.gz"), label, "--test", str(data / "test"), "--work", str(folder)]
    cli.main([*names, "--results", str(results), *more])
    return read_rows(results)


def test_rows_come_once_with_exactly_these_keys(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--methods", "unet", "sammix_embedding", "--counts", "5", "--seeds", "0")
    rows = call(data, tmp_path, *asked)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [list(json.loads(line)) for line in lines] == [KEYS] * 3
    assert [(row.method, row.boxes) for row in rows] == [
        ("unet", "auto"),
        ("sammix_embedding", "auto"),
        ("sammix_embedding", "oracle"),
    ]
    assert {(row.case, row.label_origin, row.labelled_slices, row.seed) for row in rows} == {("bert", "person", 5, 0)}
    # The label's own boxes and an untrained mask decoder on mixed pixels: something is found, and measured in mm.
    assert rows[2].dice is not None
    assert 0 < rows[2].dice <= 1
    assert rows[2].hd95_mm is not None
    capsys.readouterr()
    assert call(data, tmp_path, *asked) == rows
    assert capsys.readouterr().out == "", "nothing was left to be done"


def test_what_a_kill_left_out_is_measured_and_nothing_else(data: Path, tmp_path: Path) -> None:
    asked = ("--methods", "sammix_embedding_decoder_untrained", "--counts", "5", "--seeds", "0")
    rows = call(data, tmp_path, *asked)
    file = tmp_path / "rows.jsonl"
    file.write_text(file.read_text().splitlines(keepends=True)[0])
    again = call(data, tmp_path, *asked)
    assert [row.boxes for row in again] == ["auto", "oracle"]
    assert again[0] == rows[0]
    assert again[1].dice == rows[1].dice, "from the finished training's checkpoint"


def test_the_papers_guidance_without_segmentation_training(data: Path, tmp_path: Path) -> None:
    rows = call(data, tmp_path, "--methods", "sam_pp", "--counts", "5", "--seeds", "0")
    assert [row.boxes for row in rows] == ["auto", "oracle"]


def test_every_method_is_what_it_says() -> None:
    settings = {name: one.settings(ONE_PATIENT) for name, one in METHODS.items() if one.network == "sammix"}
    assert (settings["sam_pp"].guidance, settings["sam_pp"].train_decoder) == ("resnet38", False)
    assert settings["sam_pp"].mask_prompt is False
    assert settings["sammix_resnet38"].guidance == "resnet38"
    embedding = settings["sammix_embedding"]
    assert (embedding.guidance, embedding.train_decoder, embedding.lora_rank) == ("embedding_cam", True, 0)
    assert settings["sammix_embedding_no_unlabelled"].unlabelled_batch == 0
    assert settings["sammix_embedding_no_mask_prompt"].mask_prompt is False
    assert settings["sammix_embedding_decoder_untrained"].train_decoder is False
    assert settings["sammix_embedding_lora"].lora_rank == 8
    for one in settings.values():
        one.check()
    for name in ("unet", "segresnet"):
        with torch.inference_mode():
            assert make_network(name)(torch.rand(1, 1, 64, 64)).shape == (1, 1, 64, 64)


def test_all_methods_get_the_same_slices_and_the_rest_as_image_level_labels(data: Path, tmp_path: Path) -> None:
    files = (data / "anna_ct.nii.gz", data / "anna_label.nii.gz")
    encoder = KeptEncoder(QuickLiteMedSam(CPU), tmp_path / "e")
    one = patient.Patient.prepare(*files, (), tmp_path, 1, encoder)
    with_embeddings, split = one.with_masks(5, 1)
    with_images, same = one.with_masks(5, 1, images=True)
    pool = with_embeddings.case
    assert split == same
    assert sorted(pool.masks) == sorted(with_images.case.masks)
    assert len(pool.masks) == 5
    assert not set(pool.present) & pool.masks.keys()
    assert len(pool.present) + len(pool.masks) + len(pool.absent) == len(pool.axial), (
        "of every slice something is known"
    )
    held = set(split.held_back[pool.name])
    assert (len(held & pool.masks.keys()), len(held & set(pool.absent))) == (1, 1)
    assert not held & set(split.trained_on[pool.name])
    assert sorted(one.with_masks(5, 2)[0].case.masks) != sorted(pool.masks)
    with pytest.raises(InputError, match="slices with a mask, not 99"):
        one.with_masks(99, 0)


def test_an_encoder_encodes_a_slice_once(tmp_path: Path) -> None:
    quick = QuickLiteMedSam(CPU)
    images = torch.rand(2, 1, 256, 256)
    first = KeptEncoder(quick, tmp_path).encode(images)
    again = KeptEncoder(quick, tmp_path)
    assert torch.equal(first, again.encode(images))
    assert (quick.encoded, again.encoded) == (2, 0)
    torch.testing.assert_close(first, quick.encode(images), atol=1e-2, rtol=1e-2)


def test_slices_without_a_label_are_not_scored(data: Path) -> None:
    (case,) = read_cases(data / "test", "ours")
    loaded = scoring.load(case)
    wrong = loaded.label.copy()
    wrong[5] = ~wrong[5]
    known = loaded.known.copy()
    known[5] = False
    training = scoring.Training(Cell(ONE_PATIENT, "unet", 5, 1, 0), 5)
    row = scoring.row_of(wrong, scoring.Loaded(case, loaded.volume, loaded.label, known), training, "auto", 1.0)
    assert (row.dice, row.label_origin) == (1.0, "ours")


def test_the_cases_of_the_page_have_their_labels_origin() -> None:
    text = (RESULTS.parent / "cases.yaml").read_text()
    for name, origin in (("amos0001", "person"), ("totalseg_slab", "model"), ("crlm1004", "ours")):
        line = next(line for line in text.splitlines() if f"name: {name}," in line)
        assert f"label_origin: {origin}" in line
    assert "ircadb17" not in text, "it is trained on"


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["--cases", "carl"], "no test case 'carl'; there are bert"),
        (["--train", "no.nii.gz", "no.nii.gz"], "needs no.nii.gz, which is not there"),
        (["--test", "nowhere"], "nowhere are not there"),
    ],
)
def test_wrong_arguments_end_with_a_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], match: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        call(data, tmp_path, *more)
    assert caught.value.code == 2
    assert match in capsys.readouterr().err
    assert not (tmp_path / "rows.jsonl").exists()


def a_row(method: str, count: int, case: str, dice: float, **more: Any) -> Row:
    head = {"seed": 0, "label_origin": "person", "boxes": "auto", "hd95_mm": None, "surface_dice_2mm": None}
    head |= {"protocol": ONE_PATIENT, "patients_labelled": 1, "draw": more.get("seed", 0)}
    return Row(
        **{**head, "method": method, "labelled_slices": count, "case": case, "dice": dice, "seconds": 1.0, **more}
    )


def test_the_table_averages_says_who_wins_and_what_is_missing(tmp_path: Path) -> None:
    rows = [
        a_row("sammix_embedding", 5, "x", 0.9),
        a_row("sammix_embedding", 5, "x", 0.8, seed=1),
        a_row("sammix_embedding", 5, "y", 0.95, hd95_mm=4.0, surface_dice_2mm=0.5),
        a_row("sammix_embedding", 5, "y", 0.97, boxes="oracle"),
        a_row("unet", 5, "x", 0.5),
        a_row("unet", 5, "y", 0.96),
        a_row("sam_pp", 5, "x", 0.4),
    ]
    text = table.section(rows)
    assert "| SAM-Mix, embedding CAM | 0.900 (2 seeds) | - | - | - |" in text
    assert "| SAM-PP: Grad-CAM boxes, LiteMedSAM untrained | 0.400 (1 of 2 cases) |" in text
    assert "| SAM-Mix, embedding CAM | 5 | 0.850 | 0.950 / 4.0 / 0.500 |" in text
    assert "- U-Net (MONAI) with 5 slices on y: 0.960 against 0.950." in text
    assert "- SAM-Mix, ResNet-38 Grad-CAM: 5 slices, seed 0; 50 slices, seed 0." in text
    assert "5 slices, seed 1 on y" in text
    assert "| SAM-Mix-50 | .948 / 9.84 | .923 / 11.16 |" in text
    assert plot.curves(rows)["sammix_embedding"] == [(5, pytest.approx(0.85))], "on the case that all have"
    plot.draw(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000
    assert "Nothing is measured yet." in table.section([])


def test_rows_survive_and_are_unique_in_the_result_file(tmp_path: Path) -> None:
    row = a_row("unet", 5, "x", 0.5)
    append(row, tmp_path / "r.jsonl")
    assert read_rows(tmp_path / "r.jsonl") == [row]
    measured = read_rows()
    assert len(done(measured)) == len(measured)
    cells = {cell: cell for cell in planned()}
    for one in measured:
        assert one.method in METHODS
        assert one.labelled_slices in COUNTS if one.protocol == ONE_PATIENT else one.cell in cells
        assert one.draw == one.seed
        assert one.boxes in ("auto", "oracle")
        assert one.dice is None or 0 <= one.dice <= 1
        assert one.case != "lits117" or one.hd95_mm is None, "its spacing is lost"
