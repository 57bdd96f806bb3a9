"""ResNet-38 is trained, repeatable and resumable, and finds boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from paper_training import RESNET, config, trainer
from safetensors.torch import load_file
from stopping import Stop
from training_cases import QuickLiteMedSam

from sammix_core.errors import Cancelled, InputError
from sammix_core.model_store import ModelFolder, verify
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.training import supervised
from sammix_core.training.context import TrainingContext
from sammix_core.training.resnet_training import classification_loss, train_resnet38, weak_views
from sammix_core.training.run import train_from_config
from sammix_core.training.settings import ResNetTraining
from sammix_core.training.views import View
from sammix_core.volume_io import read_volume

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_backend")]


CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(quick: QuickLiteMedSam, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervised, "LiteMedSam", lambda *_: quick)
        return train_from_config(config(tmp_path_factory.mktemp("resnet"), resnet38=RESNET))


def test_the_model_carries_resnet38_in_a_file_of_its_own(model: ModelFolder) -> None:
    assert verify(model) == []
    assert sorted(model.manifest.files) == ["resnet38.safetensors", "weights.safetensors"]
    assert model.manifest.guidance["name"] == "embedding_cam"
    entry = model.manifest.guidance["resnet38"]
    assert entry["cam"] == {"method": "gradcam", "layer": "layer4", "threshold": 0.4, "gain": 10.0}
    assert entry["boxes"]["whole_cells"] is True
    assert not any("layer4" in name for name in load_file(model.path / "weights.safetensors"))


def test_it_finds_boxes_where_it_is_asked_for(model: ModelFolder) -> None:
    volume = read_volume(model.path.parents[2] / "data" / "anna_ct.nii.gz")
    segmenter = Segmenter.load(model.path, device="cpu", engine="torch", guidance="resnet38")
    segmenter.model.backend.encode = QuickLiteMedSam(CPU).encode  # type: ignore[method-assign]
    result = segmenter.segment_volume(volume)
    assert result.guidance == "resnet38"
    assert result.cam.shape == (5, 8, 8)
    assert result.slices_encoded == len(result.boxes)
    assert Segmenter.load(model.path, device="cpu", engine="torch").model.guidance.name == "embedding_cam"


def test_a_model_without_it_says_so(tmp_path: Path) -> None:
    plain = train_from_config(config(tmp_path))
    with pytest.raises(InputError, match=r"small/0.1.0 carries no ResNet-38 weights.*leave --guidance out") as caught:
        Segmenter.load(plain.path, device="cpu", engine="torch", guidance="resnet38")
    assert "\n" not in str(caught.value)


def test_images_are_those_of_the_views(tmp_path: Path, quick: QuickLiteMedSam) -> None:
    made = trainer(tmp_path, resnet38=RESNET)
    for view, images in zip(made.views, made.images, strict=True):
        assert images.shape == (len(view.slices), 256, 256)
        again = quick.encode(torch.from_numpy(images.astype(np.float32))[:, None])
        np.testing.assert_allclose(again.numpy(), view.embeddings.astype(np.float32), atol=2e-2)


def test_images_are_drawn_once_and_not_from_other_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trainer(tmp_path, resnet38=RESNET)
    assert len(first.images) == 4
    monkeypatch.setattr("sammix_core.training.case_views.draw_slice", lambda *_: pytest.fail("drawn again"))
    assert len(trainer(tmp_path, resnet38=RESNET).images) == 4
    monkeypatch.undo()
    for file in tmp_path.rglob("*.images.npy"):
        file.unlink()
    shares = next(iter(tmp_path.rglob("view-00.shares.npy")))
    np.save(shares, 255 - np.load(shares))
    monkeypatch.setattr(supervised, "LiteMedSam", lambda device, *_: QuickLiteMedSam(device))
    with pytest.raises(InputError, match="was drawn in another way than now; delete"):
        _ = trainer(tmp_path, resnet38=RESNET).images


def test_stopped_it_goes_on_to_the_same_network(model: ModelFolder, tmp_path: Path) -> None:
    path = config(tmp_path, resnet38=RESNET)
    stop = Stop("ResNet-38", 2)
    with pytest.raises(Cancelled):
        train_from_config(path, stop.report, stop.is_wanted)
    assert len(list((tmp_path / "work" / "checkpoints").glob("resnet38-all-*.pt"))) == 1
    again = load_file(train_from_config(path).path / "resnet38.safetensors")
    whole = load_file(model.path / "resnet38.safetensors")
    assert [name for name in whole if not torch.equal(whole[name], again[name])] == []


def test_it_learns_to_tell_slices_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.uniform(0.2, 0.4, (2, 24, 64, 64))
    shares = np.zeros((2, 24, 64, 64), np.uint8)
    shares[:, ::2, 20:44, 12:36] = 255
    pictures[shares > 0] += 0.4
    nothing = np.empty(0)
    views = [View(case, "clean", nothing, shares[n], np.arange(24)) for n, case in enumerate(("anna", "bert"))]
    settings = ResNetTraining(steps=40, batch=8, width=0.0625, learning_rate=5e-3)
    network = train_resnet38(views, list(pictures), settings, TrainingContext("ResNet-38", tmp_path / "r.pt", seed=3))
    with torch.inference_mode():
        scores = torch.softmax(network(torch.from_numpy(pictures[0]).float()[:, None]), 1)[:, 1].numpy()
    assert scores[::2].min() > scores[1::2].max()


def test_the_threshold_is_calibrated_on_networks_without_the_patient(tmp_path: Path) -> None:
    made = trainer(tmp_path, resnet38={**RESNET, "threshold": "calibrated"})
    guidance, boxes = made.resnet38_guidance()
    assert guidance.settings.threshold in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert boxes.threshold == 0.0
    names = {file.name.split("-")[1] for file in (tmp_path / "work" / "checkpoints").glob("resnet38-*.pt")}
    assert names == {"all", "anna", "bert"}
    otsu, _ = trainer(tmp_path, resnet38={**RESNET, "threshold": "otsu"}).resnet38_guidance()
    assert otsu.settings.threshold == "otsu"


def test_the_losses() -> None:
    output, positive = torch.tensor([[0.0, 2.0], [0.0, 2.0]]), torch.tensor([1.0, 0.0])
    p = torch.sigmoid(torch.tensor(2.0))
    entropy = torch.stack([-torch.log(p), -torch.log(1 - p)])
    assert classification_loss(output, positive, "cross_entropy").item() == pytest.approx(entropy.mean().item())
    focal = torch.stack([(1 - p) ** 2, p**2]) * entropy
    assert classification_loss(output, positive, "focal").item() == pytest.approx(focal.mean().item(), rel=1e-5)


def test_weak_views_move_and_do_not_flip() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[..., 20:30, 40:44] = 1.0
    moved = [weak_views(image, seed) for seed in range(6)]
    assert torch.equal(moved[0], weak_views(image, 0))
    centres = [torch.nonzero(one[0, 0] > 0.6).float().mean(0) for one in moved]
    for centre in centres:
        assert abs(centre[0] - 24.5) <= 9
        assert abs(centre[1] - 41.5) <= 9
    assert len({tuple(centre.tolist()) for centre in centres}) > 3
    assert all(one.min() >= 0 and one.max() <= 1 for one in moved)
