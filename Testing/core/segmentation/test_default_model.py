"""The model that ships: small enough, sound, trained on what may be used, and good on a real CT it must know."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from fake_network import turned_volume
from real_data import real_data
from remembering_engine import remembering
from safetensors.torch import load_file
from typer.testing import CliRunner

from sammix_core.boxes import BoxTrack
from sammix_core.cli import app as cli
from sammix_core.model_store import LITE_MEDSAM, find_faults, list_models, resolve, verify
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume.axial_order import AxialOrder
from sammix_core.volume.volume import Volume
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import read_labelmap

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("two_threads")]

MODEL = "liver"
LARGEST_WEIGHTS_BYTES = 20_000_000
LARGEST_MODELS_BYTES = 35_000_000
PERMISSIVE = {"crlm1004", "acrin_flt_breast_001", "acrin_flt_breast_013", "totalseg_slab", "totalseg_example"}
PERMISSIVE |= {"hcc002_portal", "hcc005_portal", "hcc005_plain", "hcc006_portal", "hcc007_arterial", "hcc007_plain10mm"}
PERMISSIVE |= {"hcc007_post_portal", "hcc009_portal", "hcc009_plain10mm", "hcc015_arterial", "hcc015_portal"}
PERMISSIVE.add("kits00072")
VALIDATION_ONLY = ("ircadb", "amos", "lits", "tace")
SLAB, SLAB_LABEL = "totalseg_dicom_slab20", "totalseg_dicom_slab20_label_liver1_MODEL.nii.gz"
SHIPPED = Path(__file__).parents[3] / "sammix_core" / "models"


# What is in the package


def test_a_liver_model_is_shipped() -> None:
    model = resolve(MODEL)
    assert model.shipped
    assert (model.manifest.name, model.manifest.target) == ("liver", "liver")
    assert model.path.is_relative_to(SHIPPED.resolve())


def test_shipped_models_are_small() -> None:
    weights = list(SHIPPED.rglob("weights.safetensors"))
    assert weights
    assert max(file.stat().st_size for file in weights) <= LARGEST_WEIGHTS_BYTES
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) < LARGEST_MODELS_BYTES


def test_shipped_models_are_sound() -> None:
    models = [model for model in list_models() if model.shipped]
    assert models
    assert find_faults() == []
    for model in models:
        assert verify(model) == []


def test_it_was_trained_on_the_permissive_cases_alone() -> None:
    manifest = resolve(MODEL).manifest
    assert set(manifest.training_cases) == PERMISSIVE
    assert manifest.parent is None
    for name in VALIDATION_ONLY:
        assert not any(name in case for case in manifest.training_cases)


def test_it_builds_on_litemedsam_and_brings_head_and_decoder() -> None:
    model = resolve(MODEL)
    assert model.manifest.base_model == {"name": "lite_medsam", "sha256": LITE_MEDSAM.sha256}
    assert PreprocessingSpec.from_dict(model.manifest.preprocessing).size == 256
    state = load_file(model.path / "weights.safetensors")
    assert {name.split(".")[0] for name in state} == {"guidance", "prompt_encoder", "mask_decoder"}
    assert all(bool(tensor.isfinite().all()) for tensor in state.values())


def test_its_card_says_what_one_must_know() -> None:
    card = (resolve(MODEL).path / "MODEL_CARD.md").read_text(encoding="utf-8").lower()
    for word in ("not a medical device", "licence", "crlm1004", "ircadb", "amos", "fail"):
        assert word in card


# On a real CT


@pytest.fixture(scope="module")
def slab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six slices in the middle of a DICOM series."""
    folder = tmp_path_factory.mktemp("slab")
    files = sorted(real_data(SLAB).iterdir(), key=_height)
    for file in files[7:13]:
        shutil.copy(file, folder)
    return folder


def _height(file: Path) -> float:
    return float(pydicom.dcmread(file, stop_before_pixels=True).ImagePositionPatient[2])


@pytest.fixture(scope="module")
def label(slab: Path) -> np.ndarray:
    """The slab's label, (k, j, i), put on its slices by where they lie in space."""
    volume, whole = read_volume(slab), read_labelmap(real_data(SLAB_LABEL))
    image = sitk.GetImageFromArray(whole.array.astype(np.uint8))
    image.SetOrigin(whole.origin)
    image.SetSpacing(whole.spacing)
    image.SetDirection(whole.direction.ravel().tolist())
    grid = sitk.GetImageFromArray(volume.array)
    grid.SetOrigin(volume.origin)
    grid.SetSpacing(volume.spacing)
    grid.SetDirection(volume.direction.ravel().tolist())
    return sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor)) > 0


@pytest.fixture(scope="module")
def segmented(slab: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what `sammix segment` wrote."""
    out = tmp_path_factory.mktemp("out")
    run(slab, out, "--boxes-out", out / "boxes.json", "--report", out / "report.json")
    return out


def run(ct: Path, out: Path, *words: object) -> None:
    words = (ct, "-o", out / "liver.nii.gz", *words, "--model", MODEL, "--device", "cpu", "--quiet")
    result = CliRunner().invoke(cli.app, ["segment", *map(str, words)])
    assert result.exit_code == 0, result.output


def mask_in(folder: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "liver.nii.gz")))


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    """Encodes a slice once, however it lies in its volume."""
    return remembering(Segmenter.load(MODEL, device="cpu"))


@pytest.mark.real_data
def test_one_command_segments_a_dicom_series(segmented: Path, slab: Path, label: np.ndarray) -> None:
    mask = mask_in(segmented)
    volume = read_volume(slab)
    assert mask.shape == volume.array.shape == label.shape
    assert label.any((1, 2)).all(), "the test needs slices with liver"
    dice = 2 * ((mask > 0) & label).sum() / (mask.sum() + label.sum())
    assert dice > 0.9
    image = sitk.ReadImage(str(segmented / "liver.nii.gz"))
    assert image.GetSpacing() == pytest.approx(volume.spacing, abs=1e-4)
    assert image.GetOrigin() == pytest.approx(volume.origin, abs=1e-3)
    report = json.loads((segmented / "report.json").read_text())
    assert report["liver_volume_ml"] == pytest.approx(volume.mask_volume_ml(mask), abs=1e-3), "it is rounded"
    assert len(BoxTrack.read(segmented / "boxes.json")) == 6


@pytest.mark.real_data
def test_its_own_boxes_give_the_identical_mask(
    segmented: Path, slab: Path, segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Segmenter, "load", lambda *_, **__: segmenter)
    run(slab, tmp_path, "--boxes-in", segmented / "boxes.json", "--boxes-out", tmp_path / "boxes.json")
    np.testing.assert_array_equal(mask_in(tmp_path), mask_in(segmented))
    assert (tmp_path / "boxes.json").read_bytes() == (segmented / "boxes.json").read_bytes()


@pytest.mark.real_data
def test_the_same_input_gives_the_same_mask(segmented: Path, slab: Path, segmenter: Segmenter) -> None:
    """Here through the library, with the model loaded again."""
    np.testing.assert_array_equal(segmenter.segment_volume(read_volume(slab)).mask, mask_in(segmented))


@pytest.mark.real_data
def test_orientations_give_the_identical_mask(slab: Path, segmenter: Segmenter) -> None:
    """Four of the 48, each with another slice axis or flips; all 48 are in test_session.py."""
    volume = read_volume(slab)
    axial = np.ascontiguousarray(volume.axial_order.forward(volume.array)[2:5])
    spacing = volume.axial_order.spacing(volume.spacing)
    masks = []
    for axes, flips in [
        ((2, 1, 0), (False, False, False)),
        ((2, 0, 1), (True, False, True)),
        ((1, 2, 0), (False, True, False)),
        ((0, 1, 2), (True, True, True)),
    ]:
        order = AxialOrder(axes, flips)
        turned: Volume = turned_volume(axial, order, spacing)
        masks.append(order.forward(segmenter.segment_volume(turned).mask))
    assert masks[0].any()
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])
