"""A batch on a Ray cluster of one node that the test starts: studies, a broken one, a worker that dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from batch_inputs import SETTINGS, Harness, write_ct, write_dicom
from batch_models import DIES_ONCE, FOLDER_VARIABLE, load
from fake_network import a_fake_model
from image_files import truncate

from sammix_core.batch.folder import BatchFolder
from sammix_core.batch.ledger import State
from sammix_core.batch.ray_pool import RayPool, RaySetup
from sammix_core.errors import InputError
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.volume_io import read_volume

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray", reason="Ray is not installed; pip install 'sammix[batch]' brings it")


@pytest.fixture(scope="module")
def marks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("marks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Ray's workers would wait for every other process of a busy computer.
        patch.setenv("RAY_worker_niceness", "0")
        # Nodes have a Python path of their own, and must find the model of this test.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "Testing" / "makers"), str(ROOT)]))
        yield folder


@pytest.fixture(scope="module")
def cluster(marks: Path) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "memory": 8 * 1024**3, "object_store_memory": 80 * 1024**2}
    node |= {"include_dashboard": False, "no_monitor": True}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    yield cluster
    cluster.shutdown()


class RayHarness(Harness):
    """A harness whose workers are on a cluster."""

    address = ""

    def start(self, studies: int) -> RayPool:
        setup = RaySetup(self.address, SETTINGS, load, workers=2)
        self.pools.append(RayPool(setup, SETTINGS.model_hash(), studies))
        return self.pools[-1]


def test_a_batch_on_a_cluster(cluster: Any, tmp_path: Path, marks: Path) -> None:
    for number, name in enumerate(("a", "b", "c")):
        write_ct(tmp_path / "in" / f"{name}.nii.gz", number)
    write_ct(tmp_path / "in" / "kills.nii.gz", 5, DIES_ONCE)
    truncate(write_ct(tmp_path / "in" / "broken.nii.gz", 6))
    harness = RayHarness(BatchFolder(tmp_path / "out"))
    harness.address = cluster.address
    write_dicom(tmp_path / "in", 1)
    assert harness.run([tmp_path / "in"]).counts == {State.DONE: 5, State.FAILED: 1}
    assert (marks / "died").exists()
    assert not ray.is_initialized()
    expected = Segmenter(a_fake_model()).segment_volume(read_volume(tmp_path / "in" / "kills.nii.gz")).mask
    written = sitk.ReadImage(str(tmp_path / "out" / "masks" / "kills.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), expected)
    # Ray's own logs hold nothing of the patient either.
    logs = [path for path in Path(cluster.head_node.get_session_dir_path()).rglob("*") if path.is_file()]
    assert len(logs) > 5
    assert [path.name for path in logs if b"Zzyzx" in path.read_bytes() or b"55501234" in path.read_bytes()] == []


def test_a_cluster_that_is_not_there_is_one_sentence(marks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: object) -> None:
        raise ConnectionError("no GCS at 127.0.0.1:1")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(
        InputError, match=r"^No Ray cluster can be reached at 127\.0\.0\.1:1; start one with: ray start"
    ):
        RayPool(RaySetup("127.0.0.1:1", SETTINGS, load), "", 1)
