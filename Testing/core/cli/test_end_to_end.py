"""`sammix segment` with the real segmenter on a synthetic abdomen.

The model here is LiteMedSAM with a guidance head that was never trained, so that these tests need no shipped model:
boxes come from a file, masks from the real network. How good the shipped model is on real CT,
benchmarks/ measures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from made_models import an_untrained_model
from remembering_engine import remembering
from synthetic_ct import synthetic_ct
from typer.testing import CliRunner

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.cli import app as cli
from sammix_core.segmentation.segmenter import Segmenter

pytestmark = pytest.mark.slow

SHAPE = (6, 128, 160)
SPACING = (2.5, 2.5, 8.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return an_untrained_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("case")


@pytest.fixture(scope="module")
def ct(folder: Path) -> Path:
    """Flipped in j and k, as many scanners store it."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(synthetic_ct(SHAPE)[::-1, ::-1]))
    image.SetSpacing(SPACING)
    image.SetOrigin((-200.0, 160.0, 24.0))
    image.SetDirection((1, 0, 0, 0, -1, 0, 0, 0, -1))
    sitk.WriteImage(image, str(folder / "ct.nii.gz"))
    return folder / "ct.nii.gz"


@pytest.fixture(scope="module")
def truth(ct: Path, folder: Path) -> Path:
    """The liver of the synthetic abdomen, as it was made."""
    slices, rows, cols = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    liver = ((rows + 0.1) / 0.45) ** 2 + ((cols + 0.4) / 0.3) ** 2 + ((slices - 0.2) / 0.9) ** 2 < 1
    image = sitk.GetImageFromArray(np.ascontiguousarray(liver[::-1, ::-1]).astype(np.uint8))
    image.CopyInformation(sitk.ReadImage(str(ct)))
    sitk.WriteImage(image, str(folder / "truth.nii.gz"))
    return folder / "truth.nii.gz"


@pytest.fixture(scope="module")
def boxes(truth: Path, folder: Path) -> Path:
    """Tight boxes round it, as a person would draw them."""
    track = BoxTrack(SHAPE[::-1])
    for k, plane in enumerate(sitk.GetArrayFromImage(sitk.ReadImage(str(truth)))):
        if plane.any():
            rows, cols = np.nonzero(plane)
            edges = (int(cols.min()), int(rows.min()), int(cols.max()) + 1, int(rows.max()) + 1)
            track.set(Box(k, *edges, source=BoxSource.EDITED))
    track.write(folder / "boxes.json")
    return folder / "boxes.json"


@pytest.fixture(scope="module")
def done(model: Path, ct: Path, boxes: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The whole command in a process of its own; its outputs are in the folder "out"."""
    out = folder / "out"
    out.mkdir()
    words = ["segment", ct, "-o", out / "liver.nii.gz", "--boxes-in", boxes, "--boxes-out", out / "boxes.json"]
    words += ["--preview", out / "sheet.png", "--report", out / "report.json", "--model", model, "--device", "cpu"]
    command = [sys.executable, "-m", "sammix_core.cli", *(str(word) for word in words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def loaded(model: Path) -> Segmenter:
    return remembering(Segmenter.load(model, device="cpu"))


@pytest.fixture
def load_once(loaded: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading and encoding take most of the time; the tests that ask for this share a model and what it has encoded."""
    monkeypatch.setattr(Segmenter, "load", lambda *_, **__: loaded)


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def test_it_writes_all_outputs_and_no_library_prints_anything(
    done: subprocess.CompletedProcess[str], folder: Path
) -> None:
    written = sorted(path.name for path in (folder / "out").iterdir())
    assert written == ["boxes.json", "liver.nii.gz", "report.json", "sheet.png"]
    stages = ("Reading", "Loading the model", "Detecting the orientation", "Looking for the liver", "Segmenting")
    assert all(line.startswith(stages) for line in done.stderr.splitlines()), done.stderr


def test_the_liver_is_segmented_from_its_boxes(
    done: subprocess.CompletedProcess[str], folder: Path, truth: Path, boxes: Path
) -> None:
    code, stdout, _ = run("evaluate", folder / "out" / "liver.nii.gz", truth, "--json")
    assert code == 0
    assert json.loads(stdout)["dice"] > 0.9
    assert BoxTrack.read(folder / "out" / "boxes.json") == BoxTrack.read(boxes)


def test_the_report_says_what_the_segmenter_did(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    report = json.loads((folder / "out" / "report.json").read_text())
    assert (report["slices"], report["device"]) == (6, "cpu")
    # Each slice once, and again for the three other ways up, since an untrained model sees nothing either way.
    assert 6 <= report["slices_encoded"] <= 15
    assert (report["model"], report["guidance"]) == ("untrained/1.0.0", "embedding_cam")
    parts = [report["seconds"][stage] for stage in ("read", "load", "guidance", "segmentation")]
    assert all(seconds > 0 for seconds in parts)
    assert sum(parts) <= report["seconds"]["total"] + 1e-3
    for entry in report["per_slice"]:
        assert 0 <= entry["probability"] <= 1
        assert (not entry["boxes"]) == (entry["score"] is None) == (entry["mask_scores"] == [])
        assert entry["area_px"] == 0 or [box["source"] for box in entry["boxes"]] == ["edited"]
    assert f"{report['liver_volume_ml']:,.0f} mL" in done.stdout


def test_another_process_gave_the_same_mask(
    done: subprocess.CompletedProcess[str], load_once: None, model: Path, ct: Path, boxes: Path, folder: Path
) -> None:
    again = folder / "again.nii.gz"
    code, _, stderr = run("segment", ct, "-o", again, "--boxes-in", boxes, "--model", model, "--quiet")
    assert code == 0, stderr
    assert again.read_bytes() == (folder / "out" / "liver.nii.gz").read_bytes()


def test_the_same_seed_gives_the_same_automatic_boxes_and_mask(
    load_once: None, model: Path, ct: Path, tmp_path: Path
) -> None:
    """Wherever the untrained head puts them."""
    made = []
    for name in ("a.nii.gz", "b.nii.gz"):
        words = ("-o", tmp_path / name, "--model", model, "--boxes-out", tmp_path / "found.json")
        code, _, stderr = run("segment", ct, *words, "--seed", 3, "--quiet")
        assert code == 0, stderr
        made.append(((tmp_path / name).read_bytes(), (tmp_path / "found.json").read_bytes()))
    assert made[0] == made[1]


def test_without_boxes_there_is_no_liver_and_no_error(load_once: None, model: Path, ct: Path, tmp_path: Path) -> None:
    BoxTrack(SHAPE[::-1]).write(tmp_path / "none.json")
    words = ("-o", tmp_path / "m.nii.gz", "--model", model, "--boxes-in", tmp_path / "none.json")
    code, stdout, stderr = run("segment", ct, *words)
    assert code == 0, stderr
    assert stdout.splitlines()[0] == "No liver was found in ct.nii.gz; the mask is empty."
    assert stdout.count("No liver") == 1
    assert not sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "m.nii.gz"))).any()


def test_an_unknown_guidance_is_refused(model: Path, ct: Path, tmp_path: Path) -> None:
    code, stdout, stderr = run(
        "segment", ct, "-o", tmp_path / "m.nii.gz", "--model", model, "--guidance", "dowsing", "--quiet"
    )
    assert (code, stdout) == (2, "")
    assert "There is no guidance 'dowsing'" in stderr
    assert not (tmp_path / "m.nii.gz").exists()


def test_a_guidance_that_the_model_does_not_have_is_refused(model: Path, ct: Path, tmp_path: Path) -> None:
    code, stdout, stderr = run(
        "segment", ct, "-o", tmp_path / "m.nii.gz", "--model", model, "--guidance", "resnet38", "--quiet"
    )
    assert (code, stdout) == (2, "")
    assert len(stderr.splitlines()) == 1
    assert "untrained/1.0.0 carries no ResNet-38 weights" in stderr
    assert not (tmp_path / "m.nii.gz").exists()


def test_a_damaged_model_is_refused(ct: Path, tmp_path: Path) -> None:
    damaged = an_untrained_model(tmp_path / "models")
    weights = damaged / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    code, _, stderr = run("segment", ct, "-o", tmp_path / "m.nii.gz", "--model", damaged, "--quiet")
    assert code == 2
    assert "SHA-256" in stderr
    assert not (tmp_path / "m.nii.gz").exists()


def make_text(path: Path, _: Path) -> None:
    path.write_text("no image")


def make_truncated(path: Path, ct: Path) -> None:
    path.write_bytes(ct.read_bytes()[: ct.stat().st_size // 2])


def make_nan(path: Path, _: Path) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.full((9, 9, 9), np.nan, np.float32), np.eye(4)), path)


def make_flat(path: Path, _: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((9, 9), np.int16)), str(path))


def make_empty_folder(path: Path, _: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [make_text, make_truncated, make_nan, make_flat, make_empty_folder])
def test_what_is_no_ct_is_refused_in_one_line_and_nothing_is_written(
    make: object, ct: Path, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd, out = tmp_path / "odd.nii.gz", tmp_path / "out"
    out.mkdir()
    make(odd, ct)
    code, stdout, stderr = run("segment", odd, "-o", out / "m.nii.gz", "--model", model, "--quiet")
    assert (code, stdout) == (2, "")
    assert len(stderr.splitlines()) == 1
    assert "odd.nii.gz" in stderr
    assert "Traceback" not in stderr
    assert list(out.iterdir()) == []
    # What libraries write to the file descriptor, past Python.
    assert capfd.readouterr().err == ""
