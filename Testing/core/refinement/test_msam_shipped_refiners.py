"""The refiners that ship: small, sound, trained on what may be used, and used where `--refine` names none."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import write_with_itk
from typer.testing import CliRunner

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.cli.app import app
from sammix_core.errors import InputError
from sammix_core.model_store import activate, find_faults, is_active, list_models, resolve, store, verify
from sammix_core.model_store.store import ModelFolder
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.refinement.folder import LESION, LIVER, SHIPPED, open_refiner
from sammix_core.refinement.model import decoder_network, load_refiner
from sammix_core.refinement.msam.clicks import Clicks
from sammix_core.refinement.network import RefinerSpec, SliceRefiner
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume_io.labelmap_reading import read_labelmap

TARGETS = (LIVER, LESION)
LARGEST_BYTES = 3_500_000
PERMISSIVE = {"crlm1004", "acrin_flt_breast_001", "acrin_flt_breast_013", "totalseg_slab", "totalseg_example"}
PERMISSIVE_2 = {"hcc002", "hcc005", "hcc006", "hcc007", "hcc009", "hcc015", "kits00072"}
TRAINED_ON = {LIVER: (PERMISSIVE | PERMISSIVE_2, "twelve patients"), LESION: (PERMISSIVE, "five patients")}
SHAPE = (3, 96, 112)
SPACING = (3.0, 3.0, 5.0)


pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path / "home"))


# What is in the package


@pytest.mark.parametrize("target", TARGETS)
def test_msam_a_refiner_is_shipped_small_and_sound(target: str) -> None:
    folder = open_refiner(None, target)
    assert folder.shipped
    assert verify(folder) == []
    assert folder.manifest.target == target
    assert folder.weights.stat().st_size <= LARGEST_BYTES
    patients, count = TRAINED_ON[target]
    hcc_or_kits = re.compile(r"(hcc\d+|kits\d+).*")
    assert {hcc_or_kits.sub(r"\1", case) for case in folder.manifest.training_cases} == patients
    card = (folder.path / "MODEL_CARD.md").read_text(encoding="utf-8").lower()
    for word in ("not a medical device", "experimental", count, "ircadb17", "worse"):
        assert word in card


@pytest.mark.parametrize("target", TARGETS)
def test_mask_enhanced_adapters_that_ship_have_learnt(target: str) -> None:
    """A refiner as it is born is the decoder below it; these are not, and not by chance: the same input, the same."""
    folder = open_refiner(None, target)
    loaded = load_refiner(folder, PreprocessingSpec(), "cpu")
    guidance = folder.manifest.guidance
    network = decoder_network(guidance["decoder"])
    born = SliceRefiner(network.prompt_encoder, network.mask_decoder, RefinerSpec.from_dict(guidance["sizes"])).eval()
    assert float(loaded.widen.weight.abs().max()) > 0
    assert all(bool(tensor.isfinite().all()) for tensor in loaded.trained_state().values())
    embeddings = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(2))
    low = torch.full((1, 1, 256, 256), -4.0)
    low[..., 90:150, 80:160] = 4.0
    none = Clicks.none(1, torch.device("cpu"), axes=2)
    with torch.inference_mode():
        found, again, before = loaded(embeddings, low, none), loaded(embeddings, low, none), born(embeddings, low, none)
    assert torch.equal(found, again)
    assert float((found - before).abs().mean()) > 0.01


def test_msam_weights_that_were_changed_are_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(resolve(SHIPPED[LIVER]).path, tmp_path / "copy")
    file = folder / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match="not the file that the model's manifest names"):
        load_refiner(open_refiner(folder, LIVER), PreprocessingSpec(), "cpu")


# That they are not taken for models that segment


def test_msam_refiners_are_listed_and_segment_nothing() -> None:
    listed = CliRunner().invoke(app, ["models", "list"]).output.splitlines()
    for target in TARGETS:
        folder = resolve(SHIPPED[target])
        assert any(line.startswith(folder.spec) and line.endswith(f"refines {target}") for line in listed)
        assert not is_active(folder)
        with pytest.raises(InputError, match=f"cannot be what '{target}' means"):
            activate(folder.spec)
        with pytest.raises(InputError, match="segments nothing by itself"):
            Segmenter.load(folder.spec, device="cpu")
    assert resolve("liver").manifest.segments
    assert {model.manifest.target for model in list_models() if model.manifest.segments} == {"liver"}
    assert find_faults() == []


def test_msam_no_refiner_is_taken_for_another_organ() -> None:
    with pytest.raises(InputError, match="No refiner of the spleen is shipped"):
        open_refiner(None, "spleen")
    with pytest.raises(InputError, match=r"liver-refiner/\S+ refines the liver, not the spleen"):
        open_refiner(SHIPPED[LIVER], "spleen")


# `--refine` without a refiner's name


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A body with one bright organ and a dark ball in it, boxes round the organ, masks of both with edges cut off."""
    folder = tmp_path_factory.mktemp("case")
    _, j, i = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    body = ((i - 56) / 52) ** 2 + ((j - 48) / 42) ** 2 < 1
    organ = ((i - 38) / 24) ** 2 + ((j - 44) / 26) ** 2 < 1
    ball = ((i - 38) / 19) ** 2 + ((j - 44) / 19) ** 2 < 1
    hu = np.where(body, np.where(organ, np.where(ball, 40, 130), 20), -1000)
    hu = (hu + np.random.default_rng(7).normal(0, 8, SHAPE)).astype(np.int16)
    write_with_itk(folder / "ct.nii.gz", hu, SPACING)
    write_with_itk(folder / "liver.nii.gz", organ.astype(np.uint8), SPACING)
    write_with_itk(folder / "lesion.nii.gz", (ball & (i < 44)).astype(np.uint8), SPACING)
    boxes = [Box(at, 13, 17, 63, 71, source=BoxSource.EDITED) for at in range(SHAPE[0])]
    BoxTrack((SHAPE[2], SHAPE[1], SHAPE[0]), "k", boxes).write(folder / "boxes.json")
    return folder


def run(command: str, case: Path, output: Path, *words: str) -> tuple[int, str]:
    given = [command, str(case / "ct.nii.gz"), "-o", str(output), "--device", "cpu", *words]
    result = CliRunner().invoke(app, given)
    return result.exit_code, " ".join(result.output.split())


def test_msam_one_stage_of_the_shipped_refiner_changes_the_liver_and_keeps_it(case: Path, tmp_path: Path) -> None:
    found = []
    for words in ((), ("--refine", "1")):
        code, output = run("segment", case, tmp_path / "out.nii.gz", "--boxes-in", str(case / "boxes.json"), *words)
        assert code == 0, output
        assert ("were refined by liver-refiner/" in output) is bool(words)
        found.append(read_labelmap(tmp_path / "out.nii.gz").array > 0)
    assert (found[0] != found[1]).any()
    organ = read_labelmap(case / "liver.nii.gz").array > 0
    assert 2 * (found[1] & organ).sum() / (found[1].sum() + organ.sum()) > 0.9


def test_msam_stages_of_the_shipped_refiner_change_lesions_within_the_liver(case: Path, tmp_path: Path) -> None:
    found = []
    for words in ((), ("--refine", "3")):
        masks = ("--liver", str(case / "liver.nii.gz"), "--mask", str(case / "lesion.nii.gz"))
        code, output = run("lesions", case, tmp_path / "out.nii.gz", *masks, *words)
        assert code == 0, output
        assert ("were refined by lesion-refiner/" in output) is bool(words)
        found.append(read_labelmap(tmp_path / "out.nii.gz").array)
    before, after = (labels == 2 for labels in found)
    assert (before != after).any()
    assert (before & after).any()
    np.testing.assert_array_equal(found[0] > 0, found[1] > 0)


@pytest.mark.parametrize(
    ("name", "command", "words"),
    [
        (SHIPPED[LIVER], "segment", ()),
        (SHIPPED[LESION], "segment", ("--target", "lesion", "--candidates")),
        (SHIPPED[LESION], "lesions", ("--mask", "MASK")),
    ],
)
def test_msam_a_missing_file_of_a_refiner_is_said_before_anything_is_computed(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, command: str, words: tuple[str, ...]
) -> None:
    shipped = tmp_path / "shipped"
    shutil.copytree(store.shipped_models_folder(), shipped)
    next((shipped / name).rglob("weights.safetensors")).unlink()
    monkeypatch.setattr(store, "shipped_models_folder", lambda: shipped)
    monkeypatch.setattr(Segmenter, "load", _must_not_run)
    words = tuple(str(case / "lesion.nii.gz") if word == "MASK" else word for word in words)
    code, output = run(command, case, tmp_path / "out.nii.gz", *words, "--refine", "1")
    assert code == 2
    assert f"There is no model '{name}'" in output
    assert "is not complete: weights.safetensors is missing" in output
    assert "Traceback" not in output
    assert not (tmp_path / "out.nii.gz").exists()


def _must_not_run(*_: object, **__: object) -> Callable[[], None]:
    raise AssertionError("a model was loaded")


def test_msam_models_on_other_slices_are_refused_before_anything_is_computed(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    liver = resolve("liver")
    home = tmp_path / "home" / "models" / "wide" / "1.0.0"
    shutil.copytree(liver.path, home)
    document = json.loads((home / "manifest.json").read_text(encoding="utf-8"))
    document |= {"name": "wide", "version": "1.0.0"}
    document["preprocessing"]["window_width"] = 800.0
    (home / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    monkeypatch.setattr(Segmenter, "load", _must_not_run)
    code, output = run("segment", case, tmp_path / "out.nii.gz", "--model", "wide", "--refine", "1")
    assert code == 2
    assert "was trained on slices that were prepared differently" in output
    assert not (tmp_path / "out.nii.gz").exists()


def test_msam_a_manifest_says_whether_its_model_segments() -> None:
    folder: ModelFolder = resolve("liver")
    assert folder.manifest.segments
    for name in ("refiner", "msam"):
        assert not replace(folder.manifest, guidance={"name": name}).segments
