"""The volumes open in the computing process, with a network that needs no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from fake_network import a_fake_model
from SAMMixSlicerLib.worker.child.volumes import OpenVolumes
from SAMMixSlicerLib.worker.commands import OpenVolume
from SAMMixSlicerLib.worker.shared_array import Upload
from synthetic_ct import synthetic_ct

from sammix_core.boxes import Box, BoxSource
from sammix_core.errors import InputError
from sammix_core.segmentation.segmenter import Segmenter
from sammix_core.segmentation.slice_state import SliceState

AXIAL = synthetic_ct((5, 75, 100))
# As an ordinary CT is stored: canonical columns run to the left, canonical rows to the back.
IJK_TO_RAS = np.diag([-1.1, -1.6, 5.0, 1.0])
ONE_EMBEDDING = 64 * 64 * 16 * 2
BOX = Box(2, 10, 5, 70, 70, BoxSource.EDITED)


Opening = Callable[..., OpenVolume]


@pytest.fixture
def opening() -> Iterator[Opening]:
    """Makes commands with a volume in shared memory, which is let go after the test."""
    uploads = []

    def make(volume_id: str, array: np.ndarray = AXIAL, states: tuple[SliceState, ...] = ()) -> OpenVolume:
        uploads.append(Upload(array))
        while not uploads[-1].step(1.0):
            pass
        return OpenVolume(volume_id, uploads[-1].block, IJK_TO_RAS, True, None, states)

    yield make
    for upload in uploads:
        upload.discard()


@pytest.fixture
def volumes() -> OpenVolumes:
    """With room for the embeddings of two volumes and a half."""
    volumes = OpenVolumes(limit_bytes=10 * ONE_EMBEDDING)
    volumes.segmenter = Segmenter(a_fake_model())
    return volumes


def test_a_volume_arrives_on_its_grid(volumes: OpenVolumes, opening: Opening) -> None:
    volume = volumes.open(opening("a"))
    np.testing.assert_array_equal(volume.array, AXIAL)
    np.testing.assert_allclose(volume.ijk_to_ras, IJK_TO_RAS)
    np.testing.assert_array_equal(volume.axial_order.forward(volume.array), AXIAL)
    assert volume.spacing_known


def test_a_placeholder_geometry_is_recognised(volumes: OpenVolumes, opening: Opening) -> None:
    command = replace(opening("a"), ijk_to_ras=np.diag([-1.0, -1.0, 1.0, 1.0]))
    assert not volumes.open(command).spacing_known


def test_values_on_another_scale_are_converted_unless_a_user_vouches_for_them(
    volumes: OpenVolumes, opening: Opening
) -> None:
    command = opening("a", AXIAL + np.int16(1024))
    volume = volumes.open(command)
    np.testing.assert_array_equal(volume.array, AXIAL)
    assert "1024 was subtracted" in volume.notes[0]
    taken = volumes.open(replace(command, values_are_hu=True))
    np.testing.assert_array_equal(taken.array, AXIAL + np.int16(1024))


def test_a_session_needs_a_volume_and_a_model(volumes: OpenVolumes, opening: Opening) -> None:
    with pytest.raises(InputError, match="not open"):
        volumes.session("a")
    empty = OpenVolumes(10**9)
    empty.open(opening("a"))
    with pytest.raises(InputError, match="No model is loaded"):
        empty.session("a")


def test_states_wait_for_a_model_and_survive_its_replacement(opening: Opening) -> None:
    volumes = OpenVolumes(10**9)
    first = SliceState(1, boxes=(Box(1, 3, 3, 9, 9, BoxSource.EDITED),))
    volumes.open(opening("a", states=(first,)))
    painted = SliceState(3).corrected_to(np.eye(75, 100))
    assert volumes.put("a", (painted,)) == (painted,)
    volumes.use(Segmenter(a_fake_model()))
    session = volumes.session("a")
    assert (session.slices.state(1), session.slices.state(3)) == (first, painted)
    session.find_boxes()
    automatic = session.slices.automatic_boxes[2]
    volumes.use(Segmenter(a_fake_model()))
    again = volumes.session("a")
    assert again is not session
    assert again.slices.state(3).mask == painted.mask
    assert again.slices.state(2).automatic_boxes == automatic
    assert again.guidance is None, "a map of another model was kept"


def test_the_least_recently_used_volume_loses_its_embeddings_first(volumes: OpenVolumes, opening: Opening) -> None:
    for name in ("a", "b", "c"):
        volumes.open(opening(name))
        volumes.session(name).find_boxes()
        volumes.trim()
    kept = {name: volumes.session(name).embedding_bytes // ONE_EMBEDDING for name in ("a", "b", "c")}
    assert kept == {"a": 0, "b": 4, "c": 4}
    volumes.session("b")  # now "a" and "c" are unused for longer
    session = volumes.session("a")
    session.segment_slices(session.boxes)
    volumes.trim()
    assert volumes._opened["c"].session.embedding_bytes == 0  # type: ignore[union-attr]
    assert volumes._opened["b"].session.embedding_bytes == 4 * ONE_EMBEDDING  # type: ignore[union-attr]
    assert session.embedding_bytes == len(session.boxes) * ONE_EMBEDDING


def test_a_single_volume_keeps_its_embeddings(volumes: OpenVolumes, opening: Opening) -> None:
    volumes.open(opening("a", np.concatenate([AXIAL] * 3)))
    volumes.session("a").find_boxes()
    volumes.trim()
    assert 0 < volumes.session("a").embedding_bytes <= 10 * ONE_EMBEDDING


def test_a_volume_of_the_same_name_replaces_the_previous_one(volumes: OpenVolumes, opening: Opening) -> None:
    volumes.open(opening("a"))
    before = volumes.session("a")
    before.segment_slice(2, BOX)
    volumes.open(opening("a", AXIAL[:3]))
    after = volumes.session("a")
    assert after is not before
    assert after.boxes.slice_count == 3
    assert len(after.boxes) == 0


def test_a_closed_volume_releases_its_memory(volumes: OpenVolumes, opening: Opening) -> None:
    volumes.open(opening("a"))
    volumes.session("a").segment_slice(2, BOX)
    memory = volumes._opened["a"].memory
    volumes.close("a")
    volumes.close("a")
    assert memory._memory.buf is None, "something still holds the memory"
    with pytest.raises(InputError, match="not open"):
        volumes.session("a")
