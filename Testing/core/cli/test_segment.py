"""`sammix segment` round the segmenter: what is checked before it, written after it, and left alone when it stops.

The segmenter is replaced by one that answers at once, so that these tests are about the command alone; with the real
one it is tested in test_cli_end_to_end.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from made_results import MadeResult, a_result
from PIL import Image
from typer.testing import CliRunner

import sammix_core.segmentation.segmenter
from sammix_core.boxes import Box, BoxSource, BoxTrack, Click
from sammix_core.cli import app as cli
from sammix_core.model_store import resolve
from sammix_core.progress import Progress
from sammix_core.segmentation.slice_sampling import DEFAULT_SAMPLING, EVERY_SLICE, SliceSampling
from sammix_core.volume.volume import Volume

SHAPE_KJI = (12, 60, 80)


class InstantSegmenter:
    """Answers with a ball, and remembers what it was asked."""

    def __init__(self) -> None:
        self.loaded: dict[str, Any] | None = None
        self.boxes: BoxTrack | None = None
        self.clicks: tuple[Click, ...] = ()
        self.sampling: SliceSampling | None = None
        self.keep_embeddings: bool | None = None
        self.answer: Callable[[Volume], MadeResult] = a_result
        self.seen: list[str] = []

    def load(self, model: str, device: str, guidance: str | None, precision: str, refined: bool) -> InstantSegmenter:
        asked = {"model": model, "device": device, "guidance": guidance}
        self.loaded = {**asked, "precision": precision, "refined": refined}
        return self

    def segment_volume(
        self,
        volume: Volume,
        progress: Any,
        cancel: Any,
        boxes: BoxTrack | None,
        uncertainty: bool,
        sampling: SliceSampling,
        keep_embeddings: bool,
        clicks: tuple[Click, ...],
    ) -> MadeResult:
        self.boxes, self.clicks = boxes, clicks
        self.sampling, self.keep_embeddings = sampling, keep_embeddings
        progress(Progress("Encoding", 1, 12, 3.0))
        assert not cancel()
        result = self.answer(volume)
        result.uncertainty = result.mask * np.uint8(37) if uncertainty else None
        return result


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> InstantSegmenter:
    made = InstantSegmenter()
    monkeypatch.setattr(sammix_core.segmentation.segmenter, "Segmenter", made)
    monkeypatch.setattr("sammix_core.model_store.resolve", lambda name: name)
    return made


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    array = np.full(SHAPE_KJI, -1000, np.int16)
    array[:, 5:-5, 5:-5] = np.random.default_rng(0).integers(-100, 200, (12, 50, 70))
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 2.0, 5.0))
    folder = tmp_path / "in"
    folder.mkdir()
    sitk.WriteImage(image, str(folder / "ct.nii.gz"))
    return folder / "ct.nii.gz"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, ["segment", *(str(word) for word in words)])
    return result.exit_code, result.stdout, result.stderr


def everything(ct: Path, out: Path) -> list[object]:
    return [
        *(ct, "-o", out / "liver.nii.gz", "--boxes-out", out / "boxes.json"),
        *("--preview", out / "preview.png", "--report", out / "report.json"),
    ]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_all_outputs_are_written_and_named(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    code, stdout, stderr = run(*everything(ct, out), "--seed", 5)
    assert code == 0, stderr
    assert sorted(content(out)) == ["boxes.json", "liver.nii.gz", "preview.png", "report.json"]

    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "liver.nii.gz")))
    assert mask.shape == SHAPE_KJI
    track = BoxTrack.read(out / "boxes.json")
    assert set(track) == set(np.flatnonzero(mask.any(axis=(1, 2))))
    report = json.loads((out / "report.json").read_text())
    assert (report["seed"], report["input"]["name"]) == (5, "ct.nii.gz")
    assert report["liver_volume_ml"] == pytest.approx(mask.sum() / 100)
    with Image.open(out / "preview.png") as picture:
        assert picture.width > 1000

    fields = {line.split("  ")[1].strip(): line.split("  ")[-1].strip() for line in stdout.splitlines() if "  " in line}
    assert stdout.splitlines()[0] == "Liver segmented in ct.nii.gz"
    assert fields["slices"] == "12"
    assert fields["with liver"] == str(len(track))
    assert fields["liver volume"] == f"{mask.sum() / 100:,.0f} mL"
    assert fields["mask"] == str(out / "liver.nii.gz")
    assert fields["preview"] == str(out / "preview.png")
    assert stdout.splitlines()[-1] == "For research, not a medical device."
    assert "Encoding: 1 of 12, 3 s left" in stderr.splitlines()


def test_options_reach_the_segmenter(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    words = ("--model", "liver/1.0.0", "--device", "cpu", "--guidance", "embedding-cam")
    assert run(ct, "-o", out / "m.nrrd", *words)[0] == 0
    loaded = {"model": "liver/1.0.0", "device": "cpu", "guidance": "embedding-cam"}
    assert instant.loaded == {**loaded, "precision": "default", "refined": True}
    assert (instant.sampling, instant.keep_embeddings) == (DEFAULT_SAMPLING, False)


def test_the_slow_and_exact_way_can_be_asked_for(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    words = ("--precision", "float32", "--every-slice", "--keep-embeddings", "--refine", "0")
    assert run(ct, "-o", out / "m.nrrd", *words)[0] == 0
    assert instant.loaded is not None
    assert instant.loaded["precision"] == "float32"
    assert instant.loaded["refined"] is False
    assert (instant.sampling, instant.keep_embeddings) == (EVERY_SLICE, True)


def test_a_precision_that_is_not_known_is_refused(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    code, _, stderr = run(ct, "-o", out / "m.nrrd", "--precision", "int4")
    assert code == 2
    assert "int4" in stderr
    assert (instant.loaded, content(out)) == (None, {})


def test_the_uncertainty_map_is_written_where_it_is_asked_for(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    code, stdout, stderr = run(ct, "-o", out / "m.nii.gz", "--uncertainty", out / "u.nrrd")
    assert code == 0, stderr
    image, mask = sitk.ReadImage(str(out / "u.nrrd")), sitk.ReadImage(str(out / "m.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), 37 * sitk.GetArrayFromImage(mask))
    np.testing.assert_allclose(image.GetOrigin(), mask.GetOrigin())
    assert image.GetMetaData("SAMMix.Unit") == "percent"
    assert any(line.split() == ["uncertainty", str(out / "u.nrrd")] for line in stdout.splitlines())


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("u.seg.nrrd", "is a map of percentages; use .nrrd"),
        ("u.png", "--uncertainty .* format that cannot be written"),
        ("m.nii.gz", "the same file as --output"),
    ],
)
def test_an_uncertainty_map_that_cannot_be_written(
    instant: InstantSegmenter, ct: Path, out: Path, name: str, match: str
) -> None:
    code, _, stderr = run(ct, "-o", out / "m.nii.gz", "--uncertainty", out / name)
    assert code == 2
    assert re.search(match, stderr)
    assert content(out) == {}
    assert instant.loaded is None


def test_quiet_prints_nothing(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    assert run(ct, "-o", out / "m.nii.gz", "--quiet") == (0, "", "")
    assert sorted(content(out)) == ["m.nii.gz"]


def test_no_liver_is_no_error(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    instant.answer = lambda volume: a_result(volume, np.zeros(SHAPE_KJI))
    code, stdout, _ = run(*everything(ct, out))
    assert code == 0
    assert stdout.splitlines()[0] == "No liver was found in ct.nii.gz; the mask is empty."
    assert not sitk.GetArrayFromImage(sitk.ReadImage(str(out / "liver.nii.gz"))).any()
    assert json.loads((out / "report.json").read_text())["liver_volume_ml"] == 0.0


def test_unknown_spacing_is_said(instant: InstantSegmenter, out: Path, tmp_path: Path) -> None:
    import nibabel

    array = np.full((5, 30, 30), -1000, np.int16)
    array[:, 5:25, 5:25] = np.random.default_rng(0).integers(-100, 200, (5, 20, 20))
    nibabel.save(nibabel.Nifti1Image(array.T, np.eye(4)), tmp_path / "ct.nii.gz")
    code, stdout, stderr = run(tmp_path / "ct.nii.gz", "-o", out / "m.nii.gz", "--report", out / "r.json")
    assert code == 0, stderr
    assert "unknown (spacing unknown)" in stdout
    report = json.loads((out / "r.json").read_text())
    assert (report["liver_volume_ml"], report["liver_volume_note"]) == (None, "spacing unknown")


def test_the_same_seed_gives_the_same_random_numbers(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    import random

    drawn = []

    def draws(volume: Volume) -> MadeResult:
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(1))))
        return a_result(volume)

    instant.answer = draws
    for seed in (3, 3, 4):
        assert run(ct, "-o", out / "m.nii.gz", "--seed", seed)[0] == 0
    assert drawn[0] == drawn[1]
    assert all(first != other for first, other in zip(drawn[0], drawn[2], strict=True))


def test_edited_boxes_reach_the_segmenter(instant: InstantSegmenter, ct: Path, out: Path, tmp_path: Path) -> None:
    boxes = [Box(4, 10, 10, 30, 40, BoxSource.EDITED), Box(4, 32, 10, 40, 30, BoxSource.EDITED, part=1)]
    track = BoxTrack(SHAPE_KJI[::-1], boxes=[*boxes, Box(5, 10, 10, 40, 40, BoxSource.EDITED)])
    track.write(tmp_path / "edited.json")
    assert run(ct, "-o", out / "m.nii.gz", "--boxes-in", tmp_path / "edited.json")[0] == 0
    assert instant.boxes == track


# Refused before any work


def refused(instant: InstantSegmenter, out: Path, *words: object) -> str:
    """Runs what must be refused, and returns the one line that says why."""
    before = content(out)
    code, stdout, stderr = run(*words, "--quiet")
    assert (code, stdout) == (2, ""), stderr
    assert len(stderr.splitlines()) == 1
    assert instant.loaded is None, "refused after the model was loaded"
    assert content(out) == before
    return stderr


@pytest.mark.parametrize("name", ["m.txt", "m.png", "m", "m.gz", "m.nii.bz2", "m.dicom"])
def test_an_unknown_format_of_the_mask(instant: InstantSegmenter, ct: Path, out: Path, name: str) -> None:
    assert "--output" in refused(instant, out, ct, "-o", out / name)


@pytest.mark.parametrize(
    ("option", "name"), [("--boxes-out", "b.txt"), ("--preview", "p.jpg"), ("--report", "r.pdf"), ("--report", "r")]
)
def test_an_unknown_format_of_another_output(
    instant: InstantSegmenter, ct: Path, out: Path, option: str, name: str
) -> None:
    line = refused(instant, out, ct, "-o", out / "m.nii.gz", option, out / name)
    assert f"{option} {out / name} has a format that cannot be written" in line


@pytest.mark.parametrize("option", ["--output", "--boxes-out", "--preview", "--report"])
def test_a_folder_that_is_not_there(instant: InstantSegmenter, ct: Path, out: Path, option: str) -> None:
    names = {"--output": "m.nii.gz", "--boxes-out": "b.json", "--preview": "p.png", "--report": "r.json"}
    words = {"--output": out / "m.nii.gz", option: out / "absent" / names[option]}
    assert "does not exist" in refused(instant, out, ct, *(word for pair in words.items() for word in pair))


def test_a_folder_in_place_of_a_file(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    (out / "sub.nii.gz").mkdir()
    code, _, stderr = run(ct, "-o", out / "sub.nii.gz")
    assert code == 2
    assert "is not a file that can be overwritten" in stderr


def test_two_outputs_in_one_file(
    instant: InstantSegmenter, ct: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(out)
    words = ("-o", out / "m.nii.gz", "--boxes-out", out / "x.json", "--report", "x.json")
    assert "--report x.json is the same file as --boxes-out" in refused(instant, out, ct, *words)


def test_the_input_is_never_overwritten(instant: InstantSegmenter, ct: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ct.parent)
    for output in (ct, "ct.nii.gz", Path("..") / "in" / "ct.nii.gz"):
        assert "is the same file as the input" in refused(instant, ct.parent, ct, "-o", output)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_nor_through_a_link(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    (out / "link.nii.gz").symlink_to(ct)
    (out / "hard.nii.gz").hardlink_to(ct)
    for name in ("link.nii.gz", "hard.nii.gz"):
        assert "is the same file as the input" in refused(instant, out, ct, "-o", out / name)


def test_edited_boxes_are_not_overwritten(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    BoxTrack(SHAPE_KJI[::-1]).write(out / "b.json")
    words = ("-o", out / "m.nii.gz", "--boxes-in", out / "b.json", "--boxes-out", out / "b.json")
    assert "is the same file as the input" in refused(instant, out, ct, *words)


def test_an_input_that_is_not_there(instant: InstantSegmenter, out: Path, tmp_path: Path) -> None:
    assert "does not exist" in refused(instant, out, tmp_path / "absent.nii.gz", "-o", out / "m.nii.gz")


def test_a_model_that_is_not_there(
    instant: InstantSegmenter, ct: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sammix_core.model_store.resolve", resolve)
    assert "There is no model 'lung'" in refused(instant, out, ct, "-o", out / "m.nii.gz", "--model", "lung")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_cuda_where_there_is_none(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    line = refused(instant, out, ct, "-o", out / "m.nii.gz", "--device", "cuda")
    assert line == "There is no CUDA device that torch can use here; choose --device cpu or auto.\n"


def test_boxes_of_another_volume(instant: InstantSegmenter, ct: Path, out: Path, tmp_path: Path) -> None:
    BoxTrack((80, 60, 13)).write(tmp_path / "b.json")
    line = refused(instant, out, ct, "-o", out / "m.nii.gz", "--boxes-in", tmp_path / "b.json")
    assert "80 x 60 x 13" in line


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "sammix-boxes/9"}'])
def test_what_is_no_box_file(instant: InstantSegmenter, ct: Path, out: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "b.json").write_text(text)
    assert "b.json" in refused(instant, out, ct, "-o", out / "m.nii.gz", "--boxes-in", tmp_path / "b.json")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    out.chmod(0o555)
    try:
        assert "cannot be written to" in refused(instant, out, ct, "-o", out / "m.nii.gz")
    finally:
        out.chmod(0o755)


# Stopped, or failed, on the way


def raises(error: BaseException) -> Callable[[Volume], MadeResult]:
    def answer(_: Volume) -> MadeResult:
        raise error

    return answer


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (RuntimeError("broken"), 1), (MemoryError(), 1)]
)
def test_a_failure_leaves_old_files_as_they_were(
    instant: InstantSegmenter, ct: Path, out: Path, error: BaseException, code: int
) -> None:
    (out / "liver.nii.gz").write_bytes(b"the old mask")
    instant.answer = raises(error)
    assert run(*everything(ct, out))[0] == code
    assert content(out) == {"liver.nii.gz": b"the old mask"}


def raised(error: type[BaseException]) -> Callable[..., None]:
    def fails(*_: object, **__: object) -> None:
        raise error("in the middle")

    return fails


@pytest.mark.parametrize(
    ("function", "error", "code"),
    [
        ("evaluation.report.write_report", KeyboardInterrupt, 130),
        ("volume_io.write_labelmap", OSError, 2),
        ("volume_io.write_labelmap", ValueError, 1),
    ],
)
def test_a_stop_or_a_mask_that_fails_leaves_all_as_it_was(
    instant: InstantSegmenter,
    ct: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    error: type[BaseException],
    code: int,
) -> None:
    (out / "liver.nii.gz").write_bytes(b"the old mask")
    monkeypatch.setattr(f"sammix_core.{function}", raised(error))
    assert run(*everything(ct, out))[0] == code
    assert content(out) == {"liver.nii.gz": b"the old mask"}


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("report.write_report", "report.json"),
        ("report.build_report", "report.json"),
        ("preview.render_preview", "preview.png"),
        ("preview.write_preview", "preview.png"),
    ],
)
def test_a_side_output_that_fails_does_not_lose_the_mask(
    instant: InstantSegmenter, ct: Path, out: Path, monkeypatch: pytest.MonkeyPatch, function: str, name: str
) -> None:
    monkeypatch.setattr(f"sammix_core.evaluation.{function}", raised(ValueError))
    code, _, stderr = run(*everything(ct, out))
    assert code == 2
    assert "liver.nii.gz was written, but" in stderr
    assert name in stderr
    assert sorted(content(out)) == sorted({"boxes.json", "liver.nii.gz", "preview.png", "report.json"} - {name})


STOPPED = """
import sys, time
sys.path.insert(0, {makers!r})
import sammix_core.model_store
import sammix_core.segmentation.segmenter
from sammix_core.cli import app as cli

class Slow:
    @classmethod
    def load(cls, *_, **__):
        return cls()

    def segment_volume(self, volume, **_):
        print("working", flush=True)
        time.sleep(60)

sammix_core.segmentation.segmenter.Segmenter = Slow
sammix_core.model_store.resolve = lambda name: name
cli.app({words!r})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX signals on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_at_once_and_leaves_nothing(ct: Path, out: Path, number: int) -> None:
    words = ["segment", *(str(word) for word in everything(ct, out))]
    code = textwrap.dedent(STOPPED.format(makers=str(Path(__file__).parents[2] / "makers"), words=words))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        started = time.monotonic()
        stdout, stderr = process.communicate(timeout=20)
    finally:
        process.kill()
    assert time.monotonic() - started < 10
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert stderr.splitlines()[-1] == "Stopped as asked; nothing was written."
    assert "Traceback" not in stderr
    assert content(out) == {}


def test_a_signal_while_files_get_their_names_comes_too_late(
    instant: InstantSegmenter, ct: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, moved = os.replace, []

    def interrupted(source: Any, target: Any) -> None:
        # Some writers replace a file of their own within the staging; its name begins with a dot.
        if Path(target).parent == out.resolve() and not Path(target).name.startswith("."):
            moved.append(Path(target).name)
            if len(moved) == 1:
                signal.raise_signal(signal.SIGINT)
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    assert run(*everything(ct, out))[0] == 0
    assert len(moved) == 4
    assert sorted(content(out)) == ["boxes.json", "liver.nii.gz", "preview.png", "report.json"]


def test_handlers_of_signals_are_put_back(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    run(ct, "-o", out / "m.nii.gz")
    assert signal.getsignal(signal.SIGINT) is before


def test_an_ignored_signal_stays_ignored(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    """As under nohup."""

    def answers(volume: Volume) -> MadeResult:
        signal.raise_signal(signal.SIGINT)
        return a_result(volume)

    instant.answer = answers
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run(ct, "-o", out / "m.nii.gz")[0] == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_names_with_brackets_and_colons_are_printed_as_they_are(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    odd = out / "liver [bold] :smile:"
    odd.mkdir()
    shutil.copy(ct, odd / "ct [1].nii.gz")
    code, stdout, _ = run(odd / "ct [1].nii.gz", "-o", odd / "m.nii.gz")
    assert code == 0
    assert "Liver segmented in ct [1].nii.gz" in stdout
    assert str(odd / "m.nii.gz") in stdout


@pytest.mark.parametrize("words", [["--precision", "usual"], ["--precision=usual"]])
def test_the_former_name_of_the_default_precision_still_works(
    instant: InstantSegmenter, ct: Path, out: Path, words: list[str]
) -> None:
    code, _, _ = run(ct, "-o", out / "m.nii.gz", *words)
    assert code == 0
    assert instant.loaded["precision"] == "default"


def test_clicks_are_voxels_of_the_ct(instant: InstantSegmenter, ct: Path, out: Path) -> None:
    clicks = ("--include", "40,30,6", "--exclude", "12,8,3", "--include", "41,30,6")
    assert run(ct, "-o", out / "liver.nii.gz", *clicks)[0] == 0
    assert instant.clicks == (Click(6, 40, 30), Click(6, 41, 30), Click(3, 12, 8, positive=False))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--include", "40,30"), "--include 40,30 is no voxel: type it as I,J,K"),
        (("--exclude", "80,30,6"), "click on slice 6 reaches to 81, 31, outside the slice"),
        (("--include", "40,30,6", "--exclude", "40,30,6"), "The voxel 40,30,6 is named twice"),
    ],
    ids=["no voxel", "outside", "twice"],
)
def test_clicks_that_cannot_be_are_refused(
    instant: InstantSegmenter, ct: Path, out: Path, words: tuple[str, ...], sentence: str
) -> None:
    code, _, error = run(ct, "-o", out / "liver.nii.gz", *words)
    assert code == 2
    assert sentence in " ".join(error.split())
    assert not list(out.iterdir())
