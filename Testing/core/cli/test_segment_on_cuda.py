"""The same on an NVIDIA GPU: run with `pytest -m cuda`; skipped, with a reason, where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from made_models import an_untrained_model
from synthetic_ct import synthetic_ct
from typer.testing import CliRunner

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.cli import app as cli
from sammix_core.evaluation import evaluate_files

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no NVIDIA GPU here"),
]

SHAPE = (6, 128, 160)


def run(*words: object) -> str:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ct.nii.gz, boxes.json round its liver and a model."""
    folder = tmp_path_factory.mktemp("case")
    image = sitk.GetImageFromArray(synthetic_ct(SHAPE))
    image.SetSpacing((2.5, 2.5, 8.0))
    sitk.WriteImage(image, str(folder / "ct.nii.gz"))
    boxes = [Box(k, 24, 32, 74, 88, BoxSource.EDITED) for k in range(1, 6)]
    BoxTrack(SHAPE[::-1], boxes=boxes).write(folder / "boxes.json")
    an_untrained_model(folder)
    return folder


def segmented(case: Path, out: Path, device: str, *more: object) -> Path:
    words = ("-o", out, "--model", case / "untrained" / "1.0.0", "--device", device, "--report", f"{out}.json")
    run("segment", case / "ct.nii.gz", *words, "--quiet", *more)
    return out


def test_doctor_convolves_on_the_gpu() -> None:
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert f"CUDA: {torch.cuda.get_device_name(0)}" in result.stdout
    assert "a convolution works" in result.stdout


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_the_gpu_is_used_and_said(case: Path, tmp_path: Path, device: str) -> None:
    before = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    out = segmented(case, tmp_path / "m.nii.gz", device, "--boxes-in", case / "boxes.json")
    assert json.loads(Path(f"{out}.json").read_text())["device"] == "cuda"
    assert torch.cuda.max_memory_allocated() > 20_000_000, f"peak before: {before}"


def test_gpu_and_cpu_agree(case: Path, tmp_path: Path) -> None:
    on_gpu = segmented(case, tmp_path / "gpu.nii.gz", "cuda", "--boxes-in", case / "boxes.json")
    on_cpu = segmented(case, tmp_path / "cpu.nii.gz", "cpu", "--boxes-in", case / "boxes.json")
    scores = evaluate_files(on_gpu, on_cpu)
    assert scores.reference_voxels > 1000
    assert scores.dice is not None
    assert scores.dice > 0.99
    probabilities = [
        [entry["probability"] for entry in json.loads(Path(f"{out}.json").read_text())["per_slice"]]
        for out in (on_gpu, on_cpu)
    ]
    np.testing.assert_allclose(*probabilities, atol=0.02)


def test_the_same_seed_gives_the_same_mask_on_the_gpu(case: Path, tmp_path: Path) -> None:
    first, second = (segmented(case, tmp_path / f"{name}.nii.gz", "cuda", "--seed", 3) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
