"""`sammix-boxes/1`: what is written comes back, and what is not understood is refused with a sentence."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sammix_core.boxes import Box, BoxSource, BoxTrack
from sammix_core.errors import InputError

FORMAT_PAGE = Path(__file__).parents[3] / "docs" / "formats" / "boxes.md"


def document() -> dict[str, Any]:
    return {
        "schema": "sammix-boxes/1",
        "slice_axis": "k",
        "shape": [512, 400, 41],
        "boxes": [
            {"slice_index": 7, "i_min": 10, "j_min": 20, "i_max": 30, "j_max": 40, "source": "auto", "score": 0.5},
            {"slice_index": 9, "i_min": 11, "j_min": 21, "i_max": 31, "j_max": 41, "source": "edited"},
        ],
        "deleted": [8],
    }


@st.composite
def tracks(draw: st.DrawFn) -> BoxTrack:
    axis = draw(st.sampled_from("ijk"))
    shape = tuple(draw(st.integers(1, 700)) for _ in range(3))
    track = BoxTrack(shape, axis)
    size = dict(zip("ijk", shape, strict=True))
    first, second = (size[name] for name in track.in_plane_axes)
    number = st.none() | st.floats(allow_nan=False, allow_infinity=False)
    for index in draw(st.sets(st.integers(0, size[axis] - 1), max_size=6)):
        if draw(st.booleans()):
            track.delete(index)
            continue
        i_min, j_min = draw(st.integers(0, first - 1)), draw(st.integers(0, second - 1))
        i_max, j_max = draw(st.integers(i_min + 1, first)), draw(st.integers(j_min + 1, second))
        probability = draw(st.none() | st.floats(0, 1))
        source = draw(st.sampled_from(BoxSource))
        track.set(Box(index, i_min, j_min, i_max, j_max, source, draw(number), probability))
    return track


@given(track=tracks())
def test_what_is_written_comes_back(track: BoxTrack) -> None:
    assert BoxTrack.from_json(track.to_json()) == track
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "boxes.json"
        track.write(path)
        assert BoxTrack.read(path) == track
        first = path.read_bytes()
        BoxTrack.read(path).write(path)
        assert path.read_bytes() == first


def test_the_document_in_full() -> None:
    track = BoxTrack((512, 400, 41))
    track.set(Box(9, 11, 21, 31, 41, BoxSource.EDITED))
    track.set(Box(7, 10, 20, 30, 40, BoxSource.AUTO, score=0.5))
    track.delete(8)
    assert track.to_json() == document()
    assert BoxTrack.from_json(document()) == track


def test_the_file_has_one_box_a_line(tmp_path: Path) -> None:
    BoxTrack.from_json(document()).write(tmp_path / "boxes.json")
    assert (tmp_path / "boxes.json").read_text(encoding="utf-8") == (
        "{\n"
        '  "schema": "sammix-boxes/1",\n'
        '  "slice_axis": "k",\n'
        '  "shape": [512, 400, 41],\n'
        '  "boxes": [\n'
        '    {"slice_index": 7, "i_min": 10, "j_min": 20, "i_max": 30, "j_max": 40, "source": "auto", "score": 0.5},\n'
        '    {"slice_index": 9, "i_min": 11, "j_min": 21, "i_max": 31, "j_max": 41, "source": "edited"}\n'
        "  ],\n"
        '  "deleted": [8]\n'
        "}\n"
    )


def test_the_example_in_the_documentation_is_valid(tmp_path: Path) -> None:
    example = FORMAT_PAGE.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0]
    (tmp_path / "boxes.json").write_text(example, encoding="utf-8")
    track = BoxTrack.read(tmp_path / "boxes.json")
    track.write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == example


def test_a_byte_order_mark_and_a_missing_deleted_are_fine(tmp_path: Path) -> None:
    content = document()
    del content["deleted"]
    (tmp_path / "boxes.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    assert list(BoxTrack.read(tmp_path / "boxes.json")) == [7, 9]


def change(**changes: Any) -> Callable[[dict], object]:
    return lambda content: content.update(changes)


def change_box(**changes: Any) -> Callable[[dict], object]:
    return lambda content: content["boxes"][0].update(changes)


BAD = {
    "unknown version": (change(schema="sammix-boxes/2"), "schema 'sammix-boxes/2' is unknown; this version reads"),
    "schema of another kind": (change(schema=1), "schema 1 is unknown"),
    "no schema": (lambda content: content.pop("schema"), 'must be a JSON object with "schema": "sammix-boxes/1"'),
    "no shape": (lambda content: content.pop("shape"), "The file lacks the key 'shape'"),
    "no axis": (lambda content: content.pop("slice_axis"), "The file lacks the key 'slice_axis'"),
    "no boxes": (lambda content: content.pop("boxes"), "The file lacks the key 'boxes'"),
    "unknown key": (change(patient="x"), "The file has the unknown key 'patient'"),
    "unknown axis": (change(slice_axis="z"), "slice axis 'z' is unknown"),
    "axis of another kind": (change(slice_axis=["k"]), r"slice axis \['k'\] is unknown"),
    "flat shape": (change(shape=[512, 512]), "must be three whole numbers"),
    "shape is text": (change(shape="512"), '"shape" must be a list'),
    "shape with fractions": (change(shape=[512, 400, 41.5]), r"shape must be a whole number, not 41\.5"),
    "boxes no list": (change(boxes={}), '"boxes" must be a list'),
    "deleted no list": (change(deleted=3), '"deleted" must be a list'),
    "box is a list": (change(boxes=[[7, 10, 20, 30, 40]]), "Each box must be a JSON object"),
    "box without an edge": (lambda content: content["boxes"][0].pop("i_min"), "slice 7 lacks the key 'i_min'"),
    "box without a slice": (
        lambda content: content["boxes"][0].pop("slice_index"),
        "A box lacks the key 'slice_index'",
    ),
    "box without a source": (lambda content: content["boxes"][0].pop("source"), "slice 7 lacks the key 'source'"),
    "box with an unknown key": (change_box(note="x"), "slice 7 has the unknown key 'note'"),
    "unknown source": (change_box(source="me"), "unknown source 'me'"),
    "empty box": (change_box(i_max=10), "slice 7 is empty"),
    "swapped edges": (change_box(j_min=40, j_max=20), "slice 7 is empty"),
    "box past the edge": (change_box(j_max=401), "slice 7 reaches to 30, 401, outside the slice of 512 x 400"),
    "box on no slice": (change_box(slice_index=41), "Slice 41 is outside the volume"),
    "negative edge": (change_box(i_min=-1), "i_min must not be negative"),
    "fraction": (change_box(i_min=1.5), r"i_min must be a whole number, not 1\.5"),
    "two on a slice": (change_box(slice_index=9), "two boxes on slice 9"),
    "probability over 1": (change_box(probability=2), "must lie from 0 to 1"),
    "score is text": (change_box(score="high"), "score that is no finite number"),
    "deleted has a box": (change(deleted=[7]), "Slice 7 is named as deleted and once more"),
    "deleted twice": (change(deleted=[8, 8]), "Slice 8 is named as deleted and once more"),
    "deleted no slice": (change(deleted=[41]), "Slice 41 is outside"),
    "deleted is text": (change(deleted=["8"]), "must be a whole number, not '8'"),
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


BAD_TEXT = {
    "not JSON": (b'{"schema": "sammix-boxes/1",\n "shape": [512', r"no valid JSON \(line 2"),
    "empty": (b"", "no valid JSON"),
    "an image": (b"\x1f\x8b\x08\x00\xff\xfe", "is no text, so it is no box file"),
    "a list": (b"[]", "must be a JSON object"),
    "a key twice": (b'{"schema": "sammix-boxes/1", "schema": "sammix-boxes/1"}', "'schema' is there twice"),
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
