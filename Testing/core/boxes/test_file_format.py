"""`sammix-boxes/2` and `/1`: what is written comes back, and what is not understood is refused with a sentence."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sammix_core.boxes import Box, BoxFile, BoxSource, BoxTrack, Click
from sammix_core.errors import InputError
from sammix_core.volume import VolumeGrid

FORMAT_PAGE = Path(__file__).parents[3] / "docs" / "formats" / "boxes.md"


def document() -> dict[str, Any]:
    return {
        "schema": "sammix-boxes/2",
        "slice_axis": "k",
        "shape": [512, 400, 41],
        "geometry": {
            "spacing": [0.5, 0.5, 3.0],
            "origin": [-10.0, 20.0, 30.5],
            "direction": {"i": [1.0, 0.0, 0.0], "j": [0.0, -1.0, 0.0], "k": [0.0, 0.0, 1.0]},
        },
        "boxes": [
            {
                **{"slice_index": 7, "i_min": 10, "j_min": 20, "i_max": 30, "j_max": 40},
                **{"source": "auto", "score": 0.5, "part": 0},
            },
            {
                **{"slice_index": 9, "i_min": 11, "j_min": 21, "i_max": 31, "j_max": 41},
                **{"source": "edited", "part": 2},
            },
        ],
        "clicks": [{"slice_index": 9, "i": 15, "j": 399, "positive": False}],
        "deleted": [8],
    }


def document_1() -> dict[str, Any]:
    content = document()
    for key in ("geometry", "clicks"):
        del content[key]
    for box in content["boxes"]:
        del box["part"]
    return {**content, "schema": "sammix-boxes/1"}


@st.composite
def files(draw: st.DrawFn) -> BoxFile:
    axis = draw(st.sampled_from("ijk"))
    n_i, n_j, n_k = shape = tuple(draw(st.integers(1, 700)) for _ in range(3))
    size = dict(zip("ijk", shape, strict=True))
    first, second = (size[name] for name in "ijk" if name != axis)
    number = st.none() | st.floats(allow_nan=False, allow_infinity=False)
    boxes, clicks, deleted, deleted_boxes = [], [], [], []
    for index in draw(st.sets(st.integers(0, size[axis] - 1), max_size=6)):
        if draw(st.booleans()):
            deleted.append(index)
            continue
        for part in draw(st.sets(st.integers(0, 9), max_size=3)):
            i_min, j_min = draw(st.integers(0, first - 1)), draw(st.integers(0, second - 1))
            i_max, j_max = draw(st.integers(i_min + 1, first)), draw(st.integers(j_min + 1, second))
            probability, source = draw(st.none() | st.floats(0, 1)), draw(st.sampled_from(BoxSource))
            boxes.append(Box(index, i_min, j_min, i_max, j_max, source, draw(number), probability, part))
        if boxes and boxes[-1].slice_index == index and draw(st.booleans()):
            deleted_boxes.append(replace(boxes[-1], part=draw(st.integers(0, 9))))
        for i, j in draw(st.sets(st.tuples(st.integers(0, first - 1), st.integers(0, second - 1)), max_size=2)):
            clicks.append(Click(index, i, j, draw(st.booleans())))
    grid = None
    if draw(st.booleans()):
        spacing = tuple(draw(st.floats(0.1, 10)) for _ in range(3))
        origin = tuple(draw(st.floats(-2000, 2000)) for _ in range(3))
        turned = Rotation.from_euler("xyz", [draw(st.floats(-180, 180)) for _ in range(3)], degrees=True).as_matrix()
        i, j, k = (tuple(float(part) for part in column) for column in turned.T)
        grid = VolumeGrid((n_i, n_j, n_k), spacing, origin, (i, j, k))
    return BoxFile((n_i, n_j, n_k), axis, grid, tuple(boxes), tuple(clicks), tuple(deleted), tuple(deleted_boxes))


@given(file=files())
def test_what_is_written_comes_back(file: BoxFile) -> None:
    assert BoxFile.from_json(file.to_json()) == file
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "boxes.json"
        file.write(path)
        assert BoxFile.read(path) == file
        first = path.read_bytes()
        BoxFile.read(path).write(path)
        assert path.read_bytes() == first


@given(file=files())
def test_a_track_loses_nothing_of_a_file(file: BoxFile) -> None:
    track = BoxTrack.from_file(file)
    assert track.to_file() == file
    assert track.copy().to_file() == file
    assert BoxTrack.from_json(track.to_json()) == track


def test_the_document_in_full() -> None:
    directions = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))
    grid = VolumeGrid((512, 400, 41), (0.5, 0.5, 3.0), (-10.0, 20.0, 30.5), directions)
    track = BoxTrack((512, 400, 41), grid=grid)
    track.set(Box(9, 11, 21, 31, 41, BoxSource.EDITED, part=2))
    track.set(Box(7, 10, 20, 30, 40, BoxSource.AUTO, score=0.5))
    track.delete(8)
    track.put_clicks(9, [Click(9, 15, 399, positive=False)])
    assert track.to_json() == document()
    read = BoxTrack.from_json(document())
    assert (read, read.grid) == (track, grid)


def test_deleted_boxes_are_written_where_there_are_any() -> None:
    track = BoxTrack.from_json(document())
    track.set(Box(9, 50, 60, 70, 80, BoxSource.AUTO, part=4))
    track.delete(9, 4)
    gone = {"slice_index": 9, "i_min": 50, "j_min": 60, "i_max": 70, "j_max": 80, "source": "auto", "part": 4}
    assert track.to_json() == {**document(), "deleted_boxes": [gone]}
    assert BoxTrack.from_json(track.to_json()) == track


def test_the_example_of_the_documentation_can_be_read() -> None:
    page = (Path(__file__).parents[3] / "docs" / "formats" / "boxes.md").read_text(encoding="utf-8")
    track = BoxTrack.from_json(json.loads(page.split("```json")[1].split("```")[0]))
    assert [len(boxes) for boxes in track.values()] == [1, 1, 2]
    assert (track.deleted, len(track.deleted_boxes)) == ({31}, 1)


def test_the_format_before_is_read(tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text(json.dumps(document_1()))
    track = BoxTrack.read(tmp_path / "boxes.json")
    assert {box.slice_index: box.edges for box in track.every_box} == {7: (10, 20, 30, 40), 9: (11, 21, 31, 41)}
    assert (track.grid, track.deleted) == (None, {8})
    track.write(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text())["geometry"] is None


def test_the_file_has_one_box_a_line(tmp_path: Path) -> None:
    BoxTrack.from_json(document()).write(tmp_path / "boxes.json")
    assert (tmp_path / "boxes.json").read_text(encoding="utf-8") == (
        "{\n"
        '  "schema": "sammix-boxes/2",\n'
        '  "slice_axis": "k",\n'
        '  "shape": [512, 400, 41],\n'
        '  "geometry": {"spacing": [0.5, 0.5, 3.0], "origin": [-10.0, 20.0, 30.5], "direction": '
        '{"i": [1.0, 0.0, 0.0], "j": [0.0, -1.0, 0.0], "k": [0.0, 0.0, 1.0]}},\n'
        '  "boxes": [\n'
        '    {"slice_index": 7, "i_min": 10, "j_min": 20, "i_max": 30, "j_max": 40, "source": "auto", "score": 0.5, '
        '"part": 0},\n'
        '    {"slice_index": 9, "i_min": 11, "j_min": 21, "i_max": 31, "j_max": 41, "source": "edited", "part": 2}\n'
        "  ],\n"
        '  "clicks": [\n'
        '    {"slice_index": 9, "i": 15, "j": 399, "positive": false}\n'
        "  ],\n"
        '  "deleted": [8]\n'
        "}\n"
    )


def test_the_example_in_the_documentation_is_valid(tmp_path: Path) -> None:
    example = FORMAT_PAGE.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0]
    (tmp_path / "boxes.json").write_text(example, encoding="utf-8")
    file = BoxFile.read(tmp_path / "boxes.json")
    assert [box.part for box in file.boxes if box.slice_index == 9] == [0, 1]
    file.write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == example


def test_a_byte_order_mark_and_missing_deleted_and_clicks_are_fine(tmp_path: Path) -> None:
    content = document()
    del content["deleted"], content["clicks"]
    (tmp_path / "boxes.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    assert list(BoxTrack.read(tmp_path / "boxes.json")) == [7, 9]


def change(**changes: Any) -> Callable[[dict], object]:
    return lambda content: content.update(changes)


def change_box(**changes: Any) -> Callable[[dict], object]:
    return lambda content: content["boxes"][0].update(changes)


def change_click(**changes: Any) -> Callable[[dict], object]:
    return lambda content: content["clicks"][0].update(changes)


def change_geometry(**changes: Any) -> Callable[[dict], object]:
    return lambda content: content["geometry"].update(changes)


def drop(key: str, *where: str | int) -> Callable[[dict], object]:
    def spoil(content: Any) -> None:
        for step in where:
            content = content[step]
        del content[key]

    return spoil


BAD = {
    "unknown version": (change(schema="sammix-boxes/3"), "'sammix-boxes/3' is unknown; this version reads"),
    "schema of another kind": (change(schema=["a"]), r"schema \['a'\] is unknown"),
    "no schema": (drop("schema"), 'must be a JSON object with "schema": "sammix-boxes/2"'),
    "no shape": (drop("shape"), "The file lacks the key 'shape'"),
    "no axis": (drop("slice_axis"), "The file lacks the key 'slice_axis'"),
    "no boxes": (drop("boxes"), "The file lacks the key 'boxes'"),
    "no geometry": (drop("geometry"), "The file lacks the key 'geometry'"),
    "unknown key": (change(patient="x"), "The file has the unknown key 'patient'"),
    "unknown axis": (change(slice_axis="z"), "slice axis 'z' is unknown"),
    "axis of another kind": (change(slice_axis=["k"]), r"slice axis \['k'\] is unknown"),
    "flat shape": (change(shape=[512, 512]), "must be three whole numbers"),
    "shape is text": (change(shape="512"), '"shape" must be a list'),
    "shape with fractions": (change(shape=[512, 400, 41.5]), r"shape must be a whole number, not 41\.5"),
    "boxes no list": (change(boxes={}), '"boxes" must be a list'),
    "clicks no list": (change(clicks={}), '"clicks" must be a list'),
    "deleted no list": (change(deleted=3), '"deleted" must be a list'),
    "box is a list": (change(boxes=[[7, 10, 20, 30, 40]]), "Each box must be a JSON object"),
    "box without an edge": (drop("i_min", "boxes", 0), "slice 7 lacks the key 'i_min'"),
    "box without a slice": (drop("slice_index", "boxes", 0), "A box lacks the key 'slice_index'"),
    "box without a source": (drop("source", "boxes", 0), "slice 7 lacks the key 'source'"),
    "box with an unknown key": (change_box(note="x"), "slice 7 has the unknown key 'note'"),
    "unknown source": (change_box(source="me"), "unknown source 'me'"),
    "empty box": (change_box(i_max=10), "slice 7 is empty"),
    "swapped edges": (change_box(j_min=40, j_max=20), "slice 7 is empty"),
    "box past the edge": (change_box(j_max=401), "box on slice 7 reaches to 30, 401, outside the slice of 512 x 400"),
    "box on no slice": (change_box(slice_index=41), "Slice 41 is outside the volume"),
    "negative edge": (change_box(i_min=-1), "i_min must not be negative"),
    "fraction": (change_box(i_min=1.5), r"i_min must be a whole number, not 1\.5"),
    "negative part": (change_box(part=-1), "part must not be negative"),
    "two of a part on a slice": (change_box(slice_index=9, part=2), "two boxes with the part number 2 on slice 9"),
    "probability over 1": (change_box(probability=2), "must lie from 0 to 1"),
    "score is text": (change_box(score="high"), "score that is no finite number"),
    "deleted box past the edge": (
        change(deleted_boxes=[{**document()["boxes"][0], "j_max": 401}]),
        "box on slice 7 reaches to 30, 401, outside the slice of 512 x 400",
    ),
    "deleted boxes no list": (change(deleted_boxes=3), '"deleted_boxes" must be a list'),
    "deleted has a box": (change(deleted=[7]), "Slice 7 is named as deleted and once more"),
    "deleted twice": (change(deleted=[8, 8]), "Slice 8 is named as deleted and once more"),
    "deleted no slice": (change(deleted=[41]), "Slice 41 is outside"),
    "deleted is text": (change(deleted=["8"]), "must be a whole number, not '8'"),
    "deleted is a list": (change(deleted=[[8]]), r"must be a whole number, not \[8\]"),
    "click is a list": (change(clicks=[[9, 15, 20]]), "Each click must be a JSON object"),
    "click without a voxel": (drop("j", "clicks", 0), "The click on slice 9 lacks the key 'j'"),
    "click past the edge": (change_click(j=400), "click on slice 9 reaches to 16, 401, outside the slice"),
    "click on no slice": (change_click(slice_index=41), "Slice 41 is outside"),
    "click is neither": (change_click(positive=1), "must say true or false for positive, not 1"),
    "two clicks on a voxel": (change(clicks=2 * document()["clicks"]), "There are two clicks on the voxel"),
    "geometry is a list": (change(geometry=[]), '"geometry" must be a JSON object, or null'),
    "geometry without an origin": (drop("origin", "geometry"), "The geometry lacks the key 'origin'"),
    "geometry with a name": (change_geometry(name="x"), "The geometry has the unknown key 'name'"),
    "two spacings": (change_geometry(spacing=[1.0, 1.0]), "The spacing must be a list of three numbers"),
    "spacing of 0": (change_geometry(spacing=[1.0, 1.0, 0]), "must be three lengths above 0"),
    "huge spacing": (change_geometry(spacing=[1.0, 1.0, 10**400]), "The spacing must be a list of three numbers"),
    "origin is text": (change_geometry(origin=["0", 0, 0]), "The origin must be a list of three numbers"),
    "direction is a list": (change_geometry(direction=[1, 0, 0]), '"direction" must be a JSON object'),
    "direction without an axis": (drop("j", "geometry", "direction"), "The geometry's direction lacks the key 'j'"),
    "sheared": (
        lambda content: content["geometry"]["direction"].update(j=[0.6, 0.8, 0.0]),
        "three unit vectors at right angles",
    ),
}


@pytest.mark.parametrize(("spoil", "sentence"), BAD.values(), ids=BAD.keys())
def test_bad_content_is_refused_with_a_sentence_that_names_the_file(
    tmp_path: Path, spoil: Callable[[dict], object], sentence: str
) -> None:
    content = document()
    spoil(content)
    (tmp_path / "edited.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=sentence) as refusal:
        BoxTrack.read(tmp_path / "edited.json")
    assert str(refusal.value).startswith(str(tmp_path / "edited.json"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (change_box(slice_index=9), "two boxes on slice 9; in sammix-boxes/1 a slice has one at most"),
        (change_box(part=1), "slice 7 has the unknown key 'part'"),
        (change(clicks=[]), "The file has the unknown key 'clicks'"),
        (change(geometry=None), "The file has the unknown key 'geometry'"),
    ],
)
def test_the_format_before_has_none_of_the_new_keys(spoil: Callable[[dict], object], sentence: str) -> None:
    content = document_1()
    spoil(content)
    with pytest.raises(InputError, match=sentence):
        BoxFile.from_json(content)


BAD_TEXT = {
    "not JSON": (b'{"schema": "sammix-boxes/2",\n "shape": [512', r"no valid JSON \(line 2"),
    "empty": (b"", "no valid JSON"),
    "an image": (b"\x1f\x8b\x08\x00\xff\xfe", "is no text, so it is no box file"),
    "a list": (b"[]", "must be a JSON object"),
    "a key twice": (b'{"schema": "sammix-boxes/2", "schema": "sammix-boxes/2"}', "'schema' is there twice"),
    "NaN": (b'{"schema": NaN}', "NaN is no number that JSON knows"),
    "deep": (b"[" * 100_000, "is no box file"),
    "long number": (b"1" * 5_000, "is no box file"),
    "huge": (b" " * (16 * 1024 * 1024 + 1), "far too large to be a box file"),
}


@pytest.mark.parametrize(("text", "sentence"), BAD_TEXT.values(), ids=BAD_TEXT.keys())
def test_what_is_no_box_file_is_refused(tmp_path: Path, text: bytes, sentence: str) -> None:
    (tmp_path / "boxes.json").write_bytes(text)
    with pytest.raises(InputError, match=sentence):
        BoxTrack.read(tmp_path / "boxes.json")


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"boxes\.json cannot be read: no such file"):
        BoxTrack.read(tmp_path / "boxes.json")
    with pytest.raises(InputError, match="cannot be read"):
        BoxTrack.read(tmp_path)


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        BoxTrack((9, 9, 9)).write(tmp_path / "new" / "boxes.json")
    assert list(tmp_path.iterdir()) == []


def test_a_grid_that_is_none_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="three finite numbers"):
        VolumeGrid((2, 2, 2), (1.0, 1.0, 1.0), (np.nan, 0.0, 0.0), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
