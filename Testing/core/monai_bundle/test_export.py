"""A model as a MONAI bundle gives the masks that SAMMix gives for the same boxes, in a process that has no SAMMix."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from made_models import an_untrained_model
from synthetic_ct import synthetic_ct

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.errors import InputError
from sammix_core.model_store import ModelFolder, open_model, resolve
from sammix_core.monai_bundle.export import export_bundle
from sammix_core.monai_bundle.sources import copied_sources
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume_io import read_volume

SHAPE = (3, 96, 112)
# MONAI's meta_schema_20240725.json requires these.
REQUIRED = {
    "schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version", "task",
    "description", "authors", "copyright", "network_data_format",
}  # fmt: skip
WITHOUT_SAMMIX = """
import json, sys
sys.modules["sammix_core"] = None
import torch
torch.set_num_threads(1)
import monai.bundle as bundle
root, cases, out = sys.argv[1:]
configs = {"config_file": f"{root}/configs/inference.json", "meta_file": f"{root}/configs/metadata.json"}
bundle.run(**configs, bundle_root=root, dataset_dir=cases, output_dir=out)
workflow = bundle.ConfigWorkflow(**configs, workflow_type="inference", bundle_root=root)
workflow.initialize()
bundle.verify_net_in_out("network", **configs, device="cpu", bundle_root=root)
name = root.rpartition("/")[2]
network = bundle.load(name, bundle_dir=root.removesuffix(name), workflow_type="inference", device="cpu")
image = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
whole, half = network(image), network(image, torch.tensor([[10.0, 10.0, 120.0, 240.0]]))
ours = sorted(module for module in sys.modules if module.split(".")[0] == "sammix_core")
print(json.dumps({"missing": workflow.check_properties(), "shape": list(half.shape), "ours": ours,
                  "differ": bool((whole != half).any()), "weights": float(network.guidance.map.weight.sum())}))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """Its meaningless map is a prompt, so that a map that gets lost changes every mask."""
    folder = an_untrained_model(tmp_path_factory.mktemp("models"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["postprocessing"] |= {"mask_prompt": True, "least_cover": 0.0, "prompt_gain": 4.0}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return open_model(folder)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT stored with its axes in another order, with two boxes, and a CT without boxes, which is passed over."""
    folder = tmp_path_factory.mktemp("cases")
    # (i, j, k): k to the back, j to the head, i to the right
    array = np.ascontiguousarray(synthetic_ct(SHAPE).transpose(2, 0, 1)[::-1])
    affine = np.array([[2.5, 0, 0, -140.0], [0, 0, -2.5, 120.0], [0, 6.0, 0, -310.0], [0, 0, 0, 1]])
    for name in ("a", "without_boxes"):
        nibabel.save(nibabel.Nifti1Image(array, affine), folder / f"{name}.nii.gz")
    volume = read_volume(folder / "a.nii.gz")
    track = BoxTrack(volume.shape_kji[::-1], volume.axial_order.slice_axis)
    for index in (0, 1):
        track.set(Box(index, 60, 20, 104, 64, source=BoxSource.EDITED))
    track.write(folder / "a.json")
    return folder


@pytest.mark.slow
def test_a_bundle_makes_the_same_masks_where_there_is_no_sammix(
    model: ModelFolder, cases: Path, tmp_path: Path, one_thread: None
) -> None:
    segmenter = Segmenter.load(model.path, "cpu", engine="torch", precision="float32", refined=False)
    session = segmenter.open_session(read_volume(cases / "a.nii.gz"))
    for slice_index, boxes in BoxTrack.read(cases / "a.json").items():
        session.segment_slice(slice_index, boxes)
    expected = session.result().mask

    bundle = export_bundle(model, tmp_path / "liver_bundle")
    words = [str(bundle), str(cases), str(tmp_path / "masks")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SAMMIX, *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said.pop("weights") == pytest.approx(float(segmenter.model.guidance.head.map.weight.sum()), abs=1e-6)
    assert said == {"missing": [], "shape": [1, 1, 256, 256], "ours": ["sammix_core"], "differ": True}

    (written,) = (tmp_path / "masks").iterdir()
    assert written.name == "a_liver.nii.gz"
    mask = nibabel.load(written)
    assert mask.get_data_dtype() == np.uint8
    np.testing.assert_allclose(mask.affine, nibabel.load(cases / "a.nii.gz").affine)
    np.testing.assert_array_equal(np.asarray(mask.dataobj).transpose(2, 1, 0), expected)
    assert expected.sum() > 200


def test_what_a_bundle_holds(model: ModelFolder, tmp_path: Path) -> None:
    bundle = export_bundle(model, tmp_path / "bundle")
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    assert metadata.keys() >= REQUIRED
    assert metadata["version"] == model.manifest.version
    # Tensors alone, as MONAI loads them
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    assert {name.partition(".")[0] for name in state} == {"sam", "guidance"}
    assert {path.name for path in (bundle / "docs").iterdir()} == {"README.md", "MODEL_CARD.md"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle"]


def test_copied_sources_import_nothing_of_sammix_and_nothing_that_a_bundle_does_not_name() -> None:
    copies = copied_sources(["sammix_core.monai_bundle.network", "sammix_core.monai_bundle.box_segmenter"], "scripts")
    assert "sammix_core/preprocessing/frame.py" in copies
    assert copies["sammix_core/__init__.py"] == ""
    for name, text in copies.items():
        lines = [line.strip() for line in text.splitlines()]
        assert not [line for line in lines if line.startswith(("from sammix_core", "import sammix_core"))], name
        outside = [line for line in lines if line.startswith(("from ", "import ")) and "typer" in line]
        assert not outside, name
    assert not [name for name in copies if name.split("/")[1] in ("engines", "embeddings", "cli", "pacs", "volume_io")]


def test_what_cannot_be_exported_is_one_sentence(model: ModelFolder, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(InputError, match="bundle exists already; name a folder that does not"):
        export_bundle(model, tmp_path / "bundle")
    with pytest.raises(InputError, match=r"The folder .*absent does not exist"):
        export_bundle(model, tmp_path / "absent" / "bundle")
    with pytest.raises(InputError, match="refines masks and segments nothing by itself"):
        export_bundle(resolve("liver-refiner"), tmp_path / "refiner")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert list((tmp_path / "bundle").iterdir()) == []
