"""`--refine N` of `sammix segment` and `sammix lesions`, and refiners as models on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_network import a_fake_model
from image_files import write_with_itk
from typer.testing import CliRunner

import sammix_core.refinement.model
from sammix_core.boxes import BoxSource
from sammix_core.cli.app import app
from sammix_core.errors import InputError
from sammix_core.model_store import ModelFolder
from sammix_core.model_store.base_weights import LITE_MEDSAM
from sammix_core.model_store.weights import write_model
from sammix_core.preprocessing.spec import PreprocessingSpec
from sammix_core.refinement.folder import LESION, LIVER, open_refiner
from sammix_core.refinement.model import decoder_network, load_refiner, refiner_manifest, untrained_refiner
from sammix_core.refinement.msam.clicks import Clicks
from sammix_core.refinement.network import RefinerSpec
from sammix_core.refinement.organ import OrganRefiner
from sammix_core.segmentation import default_refiner
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume_io import read_volume
from sammix_core.volume_io.labelmap_reading import read_labelmap

TINY = RefinerSpec(width=16, heads=2, side=16)
SHAPE = (6, 96, 96)


pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFolder]:
    """A refiner of the liver and one of lesions, as they are born."""
    refiner = untrained_refiner(decoder_network(LITE_MEDSAM.name), TINY, 1)
    found = {}
    for target in (LIVER, LESION):
        name, decoder = f"{target}-refiner", LITE_MEDSAM.name
        manifest = refiner_manifest(name, "0.1.0", target, decoder, TINY, PreprocessingSpec(), ["one"], {})
        found[target] = write_model(tmp_path_factory.mktemp("models"), manifest, refiner.trained_state(), "# card")
    return found


def the_liver() -> np.ndarray:
    liver = np.zeros(SHAPE, dtype=bool)
    liver[1:5, 25:70, 20:75] = True
    return liver


def the_lesion() -> np.ndarray:
    offsets = np.indices(SHAPE) - np.array([3, 45, 40])[:, None, None, None]
    return ((offsets * np.array([3.0, 1.0, 1.0])[:, None, None, None]) ** 2).sum(0) <= 8**2


@pytest.fixture
def case(tmp_path: Path) -> Path:
    hu = np.where(the_liver(), 110, -80) + np.random.default_rng(3).normal(0, 3, SHAPE)
    hu[the_lesion()] -= 70
    hu[:, :6] = hu[:, -6:] = -1000
    write_with_itk(tmp_path / "ct.nii.gz", hu.astype(np.int16), (2.0, 2.0, 6.0))
    write_with_itk(tmp_path / "liver.nii.gz", the_liver().astype(np.uint8), (2.0, 2.0, 6.0))
    write_with_itk(tmp_path / "lesion.nii.gz", the_lesion().astype(np.uint8), (2.0, 2.0, 6.0))
    return tmp_path


class Grows(torch.nn.Module):
    """A refiner that grows the last mask by three network pixels."""

    def forward(self, embeddings: torch.Tensor, mask_logits: torch.Tensor, clicks: Clicks) -> torch.Tensor:
        return 8 * torch.nn.functional.max_pool2d((mask_logits > 0).float(), 7, 1, 3) - 4


def shrunk(embedding: torch.Tensor, mask_logits: torch.Tensor) -> torch.Tensor:
    """A stage that takes two network pixels off; past its box an organ's mask would not grow."""
    return -8 * torch.nn.functional.max_pool2d((mask_logits < 0).float(), 5, 1, 2) + 4


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segmenter without weights, and the refiner that grows."""
    spec = replace(a_fake_model().preprocessing)
    made = Segmenter(a_fake_model(preprocessing=spec))
    monkeypatch.setattr(Segmenter, "load", lambda *_, **__: made)
    monkeypatch.setattr(sammix_core.refinement.model, "load_refiner", lambda *_: Grows())
    monkeypatch.setattr(default_refiner, "load_refiner", lambda *_: None)
    monkeypatch.setattr(default_refiner, "stage_of", lambda *_: shrunk)


def run(command: str, case: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [command, str(case / "ct.nii.gz"), "-o", str(case / "out.nii.gz"), *words])
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.usefixtures("fake")
def test_msam_segment_refines_the_liver_in_stages(case: Path, folders: dict[str, ModelFolder]) -> None:
    sizes = []
    for stages in (0, 1, 2):
        words = ("--refine", str(stages), "--refiner", str(folders[LIVER].path)) if stages else ()
        code, output = run("segment", case, *words)
        assert code == 0, output
        assert ("refined by liver-refiner/0.1.0" in output) is bool(stages)
        sizes.append(int((read_labelmap(case / "out.nii.gz").array > 0).sum()))
    assert sizes[0] > sizes[1] > sizes[2] > 0


@pytest.mark.usefixtures("fake")
def test_msam_segment_refines_lesions_and_not_the_liver(case: Path, folders: dict[str, ModelFolder]) -> None:
    found = []
    for words in ((), ("--refine", "1", "--refiner", str(folders[LESION].path))):
        code, output = run("segment", case, "--target", "lesion", "--click", "40,45,3", *words)
        assert code == 0, output
        found.append(read_labelmap(case / "out.nii.gz").array)
    assert 0 < (found[0] == 2).sum() < (found[1] == 2).sum()
    np.testing.assert_array_equal(found[0] > 0, found[1] > 0)


@pytest.mark.usefixtures("fake")
def test_msam_lesions_are_refined_from_a_mask_and_from_clicks(case: Path, folders: dict[str, ModelFolder]) -> None:
    liver, model = ("--liver", str(case / "liver.nii.gz")), ("--model", str(folders[LESION].path))
    for begin in (("--mask", str(case / "lesion.nii.gz")), ("--click", "40,45,3", "--not", "60,60,3")):
        sizes = []
        for words in ((), (*model, "--refine", "2")):
            code, output = run("lesions", case, *liver, *begin, *words)
            assert code == 0, output
            labels = read_labelmap(case / "out.nii.gz").array
            assert not ((labels == 2) & ~the_liver()).any()
            sizes.append(int((labels == 2).sum()))
        assert 0 < sizes[0] < sizes[1]


@pytest.mark.parametrize(
    ("command", "words", "sentence"),
    [
        ("segment", ("--refiner", "LIVER"), "--refiner goes with --refine N"),
        ("segment", ("--refine", "2", "--refiner", "LESION"), "lesion-refiner/0.1.0 refines lesions, not the liver"),
        ("segment", ("--refine", "2", "--refiner", "liver"), "is no refiner of slices"),
        ("segment", ("--refine", "2", "--refiner", "nowhere"), "There is no model 'nowhere'"),
        ("lesions", ("--click", "40,45,3", "--model", "LESION"), "name the liver's mask with --liver"),
        ("lesions", ("--mask", "MASK", "--model", "LIVER"), "refines the liver, not lesions"),
        ("lesions", ("--click", "40,45,3", "--refine", "1"), "name the liver's mask with --liver"),
    ],
)
def test_msam_what_cannot_be_refined_is_said_and_nothing_written(
    case: Path, folders: dict[str, ModelFolder], command: str, words: tuple[str, ...], sentence: str
) -> None:
    names = {
        "LIVER": str(folders[LIVER].path),
        "LESION": str(folders[LESION].path),
        "MASK": str(case / "lesion.nii.gz"),
    }
    code, output = run(command, case, *(names.get(word, word) for word in words))
    assert code == 2
    assert sentence in output
    assert not (case / "out.nii.gz").exists()


@pytest.mark.usefixtures("fake")
def test_msam_a_slice_that_a_person_corrected_is_not_refined(case: Path) -> None:
    session = Segmenter.load().open_session(read_volume(case / "ct.nii.gz"))
    session.find_boxes()
    before = session.segment_boxes().mask
    session.slices.corrected.add(2)
    session.set_refiner(OrganRefiner("shrinks/1.0.0", shrunk))
    after = session.segment_boxes().mask
    np.testing.assert_array_equal(after[2], before[2])
    assert session.slices.corrected == {2}
    assert 0 < after[3].sum() < before[3].sum()


@pytest.mark.usefixtures("fake")
def test_msam_a_box_that_a_person_moved_is_answered_by_the_decoder_alone(case: Path) -> None:
    session = Segmenter.load().open_session(read_volume(case / "ct.nii.gz"))
    session.find_boxes()
    plain = session.segment_boxes().mask
    session.set_refiner(OrganRefiner("shrinks/1.0.0", shrunk))
    assert session.segment_boxes().refined_by == "shrinks/1.0.0"
    (automatic,) = session.slices.automatic_boxes[3]
    assert session.slices.plane(3).sum() < plain[3].sum()
    edited = replace(automatic, source=BoxSource.EDITED)
    np.testing.assert_array_equal(session.segment_slice(3, edited), plain[3])
    assert session.slices.plane(2).sum() < plain[2].sum()
    session.set_refiner(OrganRefiner("shrinks/1.0.0", shrunk, every_box=True))
    assert session.segment_slice(3, edited).sum() < plain[3].sum()


def test_msam_the_shipped_refiner_goes_with_the_model_that_it_was_measured_on_and_no_other() -> None:
    segmenter = Segmenter.load("liver", device="cpu")
    assert segmenter.refiner is not None
    assert segmenter.refiner.spec.startswith("liver-refiner/")
    assert Segmenter.load("liver", device="cpu", refined=False).refiner is None
    for other in ({"spec": "liver/1.1.1"}, {"target": "kidney"}, {"preprocessing": PreprocessingSpec(size=1024)}):
        assert default_refiner.default_refiner(replace(segmenter.model, **other)) is None


def test_msam_a_refiner_comes_back_from_its_folder(folders: dict[str, ModelFolder]) -> None:
    loaded = load_refiner(open_refiner(folders[LESION].path, LESION), PreprocessingSpec(), "cpu")
    born = untrained_refiner(decoder_network(LITE_MEDSAM.name), TINY, 1).eval()
    embeddings, low = torch.randn(1, 256, 64, 64), torch.zeros(1, 1, 256, 256)
    click = Clicks(torch.tensor([[[100, 90]]]), torch.tensor([[1]]))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(embeddings, low, click), born(embeddings, low, click), atol=0.2, rtol=0.05)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    with pytest.raises(InputError, match="prepared differently"):
        load_refiner(folders[LESION], PreprocessingSpec(window_level=0.0), "cpu")


def test_msam_refiners_that_do_not_fit_are_refused(folders: dict[str, ModelFolder]) -> None:
    manifest = folders[LESION].manifest
    wider = {**manifest.guidance, "sizes": {"width": 32, "heads": 2, "side": 16}}
    for guidance, sentence in (
        (wider, "not those of the refiner"),
        ({**manifest.guidance, "sizes": {"width": 15, "heads": 2, "side": 16}}, "cannot have the sizes"),
        ({"name": "refiner"}, "does not say which decoder"),
        ({**manifest.guidance, "decoder": "absent/1.0.0"}, "There is no model"),
    ):
        changed = replace(folders[LESION], manifest=replace(manifest, guidance=guidance))
        with pytest.raises(InputError, match=sentence):
            load_refiner(changed, PreprocessingSpec(), "cpu")
